"""Evaluating whatever finds keypoints, one network or several, on every set and kind of boxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import layout
from pipeline.evaluation.false_positives import false_positive_figures
from pipeline.evaluation.measures import OWN_FIGURES, OwnPoses, measure, own_figures, partial_views, with_own
from pipeline.evaluation.people import read_poses
from pipeline.evaluation.postprocess import Decoded, poses_of, settings_text
from pipeline.evaluation.results_file import write_results
from pipeline.evaluation.sets import EvaluationSet, evaluation_set
from pipeline.progress import Progress
from pipeline.records.artefacts import provenance
from pipeline.records.keypoints import KeypointSet, load_keypoint_set
from pipeline.records.tables import to_numpy, write_table
from pipeline.settings import Params

Finder = Callable[[EvaluationSet, str], Decoded]
"""Finds the keypoints of a set's boxes; the text says which these are."""


def evaluate_all(
    params: Params, progress: Progress, name: str, networks: Mapping[Path, str], find: Finder
) -> dict[str, Any]:
    """Poses and COCO results of every set and kind of boxes, written to `layout.results(name)`; the figures, returned.

    `networks` are the models' folders that `find` uses, and their networks in words. Figures are by set, then by kind
    of boxes, each with its conditions: boxes, model and post-processing.
    """
    keypoints = load_keypoint_set(params.data.keypoints)
    figures: dict[str, Any] = {}
    for source in params.evaluate.sets:
        figures[source] = {}
        for boxes in params.evaluate.boxes:
            title = f"{source}, {boxes} boxes"
            with progress.task(title):
                chosen = evaluation_set(params, source, boxes, keypoints)
                inputs = [*networks, layout.detections(source) if chosen.row is None else layout.instances(source)]
                path = layout.results(name) / f"{source}-{boxes}"
                about = {
                    "boxes": chosen.boxes,
                    "model": " + ".join(dict.fromkeys(networks.values())),
                    "postprocessing": settings_text(params.evaluate.postprocessing, keypoints),
                }
                found = _evaluate(params, name, chosen, find(chosen, title), keypoints, inputs, path)
                figures[source][boxes] = about | found
    progress.table("evaluation", _rows(figures), "AP and AR by COCO's protocol, with the boxes they used")
    return figures


def headline(figures: dict[str, Any]) -> dict[str, float]:
    """The few figures to look at first, by set and kind of boxes."""
    return {
        f"{row['set']}.{row['boxes']}.{name}": row[name]
        for row in _rows(figures)
        for name in ("AP", "AR", *OWN_FIGURES, "PCK", "distance")
        if name in row
    }


def _rows(figures: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"set": source, "boxes": boxes, **{name: value for name, value in found.items() if not isinstance(value, dict)}}
        for source, kinds in figures.items()
        for boxes, found in kinds.items()
    ]


def _evaluate(
    params: Params,
    name: str,
    chosen: EvaluationSet,
    decoded: Decoded,
    keypoints: KeypointSet,
    inputs: Sequence[Path],
    path: Path,
) -> dict[str, Any]:
    settings = params.evaluate.postprocessing
    made_by = provenance(settings.model_dump(), inputs)
    table, rows = poses_of(chosen.people, chosen.box_scores, decoded, settings, keypoints, name, made_by)
    write_table(path.with_suffix(".parquet"), table)
    write_results(path.with_suffix(".json"), table, chosen.about_source)

    truth, poses = chosen.truth, read_poses(table, chosen.truth)
    resamples = params.evaluate.bootstrap
    figures = measure(truth, poses, to_numpy(table, "bbox"), resamples, chosen.mirror)
    own = None
    if chosen.row is None and len(truth):  # where nobody is annotated, nobody knows which boxes are false
        figures |= false_positive_figures(truth, chosen.people, chosen.box_scores, decoded.scores)
    if chosen.row is not None:
        person = np.argsort(truth.row)[chosen.row]  # whose box each row is, in the truth's order
        points = np.full((len(truth), len(truth.names), 2), np.inf)
        points[person] = decoded.points[:, [keypoints.index(name) for name in truth.names]]
        own = OwnPoses(person[rows], points)
        figures = with_own(figures, own_figures(truth, own, resamples))
    return figures | partial_views(truth, poses, own, resamples)
