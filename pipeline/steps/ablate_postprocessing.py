"""Every row of Tables 7 and 8 from one pass over the network, and a second one mirrored (section 6.2.3)."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline import layout
from pipeline.evaluation.ablation import ABLATION, OWN_SETTINGS, row_settings
from pipeline.evaluation.average_precision import STATS, summarise
from pipeline.evaluation.bootstrap import as_bounds, image_weights, interval, resampled_ap
from pipeline.evaluation.boxed import pck
from pipeline.evaluation.matching import match_poses
from pipeline.evaluation.people import read_poses
from pipeline.evaluation.postprocess import decode_people, poses_of
from pipeline.evaluation.sets import evaluation_set, load_model, network_text
from pipeline.learning.devices import pick_device
from pipeline.progress import Progress
from pipeline.records.artefacts import write_json
from pipeline.records.tables import to_numpy
from pipeline.settings import Decoding, Params


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Ten stats of strategy `item`'s model under each combination of the techniques, and under params' own."""
    assert item is not None
    with progress.task("load"):
        model = load_model(params, item)
        chosen = evaluation_set(
            params, params.ablate_postprocessing.set, params.ablate_postprocessing.boxes, model.keypoints
        )
        if chosen.truth.ignored.all():
            raise ValueError(
                f"ablate_postprocessing.set = {params.ablate_postprocessing.set!r}: no annotated people, so there is "
                "nothing to compare with"
            )
    rows = {name: row_settings(row, params.evaluate.postprocessing) for name, row in ABLATION.items()}
    rows[OWN_SETTINGS] = params.evaluate.postprocessing
    decodings = {decoding_key(row): row for row in rows.values()}
    with progress.task("predict"):
        decoded = decode_people(
            model.network,
            chosen.people,
            decodings,
            keypoints=model.keypoints,
            padding=model.padding,
            batch_size=params.evaluate.batch_size,
            compute=params.compute,
            device=pick_device(params.compute.device),
            progress=progress,
            description=f"{len(decodings)} decodings of one pass",
        )
    figures: dict[str, Any] = {}
    resamples, samples = params.evaluate.bootstrap, dict[str, np.ndarray]()
    with progress.task("evaluate"):
        for name, settings in rows.items():
            table, _ = poses_of(
                chosen.people, chosen.box_scores, decoded[decoding_key(settings)], settings, model.keypoints, item, {}
            )
            poses = read_poses(table, chosen.truth)
            if chosen.truth.sigmas is None:
                figures[name] = pck(chosen.truth, poses, to_numpy(table, "bbox"))
                continue
            matches = match_poses(chosen.truth, poses)
            figures[name] = {key: value for key, value in summarise(matches).items() if value >= 0}
            if resamples:
                samples[name] = resampled_ap(matches, image_weights(matches.images, resamples))
    for name, row in samples.items():
        figures[name] |= _uncertainty(row, next(iter(samples.values())))
    about = {"set": params.ablate_postprocessing.set, "boxes": chosen.boxes, "images": len(chosen.truth.images)}
    about["model"] = network_text(model.network.spec)
    write_json(layout.figures("ablate_postprocessing", item), {"conditions": about, "rows": figures})
    progress.table(
        "ablation", [{"row": name, **{s: row[s] for s in STATS if s in row}} for name, row in figures.items()]
    )
    measure = "AP" if chosen.truth.sigmas is not None else "PCK"
    best = max(figures, key=lambda name: figures[name].get(measure, -1))
    return {"best": best, **{f"{name}: {measure}": figures[name].get(measure) for name in (best, OWN_SETTINGS)}}


def _uncertainty(row: np.ndarray, plain: np.ndarray) -> dict[str, Any]:
    """The interval of a row's resampled AP [B], and that of its gain over the row without any technique."""
    return {"interval": {"AP": as_bounds(interval(row))}, "gain_interval": {"AP": as_bounds(interval(row - plain))}}


def decoding_key(settings: Decoding) -> str:
    """Rows with the same key share their keypoints; only their suppression differs."""
    shift = settings.shift if settings.flip else "-"
    return f"{settings.refinement} {shift} {settings.gaussian}"
