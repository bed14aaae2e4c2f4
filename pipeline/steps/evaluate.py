"""A strategy's model on the evaluation sets: poses, COCO results, and figures that say which boxes they used."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline import layout
from pipeline.artefacts import provenance, write_json
from pipeline.devices import pick_device
from pipeline.evaluation.measures import measure, own_box_views, partial_views
from pipeline.evaluation.people import read_poses
from pipeline.evaluation.postprocess import decode_people, poses_of
from pipeline.evaluation.results_file import write_results
from pipeline.evaluation.sets import Model, evaluation_set, load_model
from pipeline.params import Params
from pipeline.progress import Progress
from pipeline.tables import to_numpy, write_table


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Evaluate strategy `item`'s final model on every set and kind of boxes."""
    assert item is not None
    model = load_model(params, item)
    figures: dict[str, Any] = {}
    for source in params.evaluate.sets:
        figures[source] = {}
        for boxes in params.evaluate.boxes:
            with progress.task(f"{source}, {boxes} boxes"):
                figures[source][boxes] = evaluate(params, progress, item, model, source, boxes)
    write_json(layout.metrics("evaluate", item), figures)
    rows = [
        {"set": source, "boxes": boxes, **{name: value for name, value in found.items() if not isinstance(value, dict)}}
        for source, kinds in figures.items()
        for boxes, found in kinds.items()
    ]
    progress.table("evaluation", rows, "AP and AR by COCO's protocol, with the boxes they used")
    return {
        f"{row['set']}, {row['boxes']} boxes: {name}": row[name]
        for row in rows
        for name in ("AP", "PCK")
        if name in row
    }


def evaluate(
    params: Params, progress: Progress, strategy: str, model: Model, source: str, boxes: str
) -> dict[str, Any]:
    """Poses and COCO results of one set on one kind of boxes, written; the figures, returned."""
    chosen = evaluation_set(params, source, boxes, model.keypoints)
    settings = params.evaluate.postprocessing
    decoded = decode_people(
        model.network,
        chosen.people,
        {"": settings},
        keypoints=model.keypoints,
        padding=model.padding,
        batch_size=params.evaluate.batch_size,
        compute=params.compute,
        device=pick_device(params.compute.device),
        progress=progress,
        description=f"{source}, {boxes} boxes",
    )[""]
    inputs = [layout.final(strategy), layout.detections(source) if chosen.row is None else layout.instances(source)]
    table, rows = poses_of(
        chosen.people,
        chosen.box_scores,
        decoded,
        settings,
        model.keypoints,
        strategy,
        provenance(settings.model_dump(), inputs),
    )
    write_table(layout.results(strategy) / f"{source}-{boxes}.parquet", table)
    write_results(layout.results(strategy) / f"{source}-{boxes}.json", table)

    truth, poses = chosen.truth, read_poses(table, chosen.truth)
    figures: dict[str, Any] = {"boxes": chosen.boxes}
    figures |= measure(truth, poses, to_numpy(table, "bbox"), params.evaluate.bootstrap, chosen.mirror)
    person = None
    if chosen.row is not None:
        person = np.argsort(truth.row)[chosen.row]  # whose box each row is, in the truth's order
        points = np.full((len(truth), len(truth.names), 2), np.inf)
        places = [model.keypoints.index(name) for name in truth.names]
        points[person] = decoded.points[:, places]
        figures |= own_box_views(truth, points)
    return figures | partial_views(truth, poses, None if person is None else person[rows])
