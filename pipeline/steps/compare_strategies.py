"""Differences between models with their confidence intervals, each resample drawing the same images for both."""

from __future__ import annotations

import itertools
from typing import Any

from pipeline import layout
from pipeline.evaluation.average_precision import summarise
from pipeline.evaluation.bootstrap import as_bounds, check_paired, image_weights, interval, resampled_stats
from pipeline.evaluation.matching import Matches, match_poses
from pipeline.evaluation.people import read_poses, read_truth
from pipeline.progress import Progress
from pipeline.records.artefacts import write_json
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import read_table
from pipeline.settings import Params


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Every strategy and ensemble against every one before it, on each set and kind of boxes.

    Figures are by pair (`ACHU->CH minus AC->C`), set and kind of boxes; each stat has its difference and, with
    `evaluate.bootstrap`, the bounds of its 95 % interval.
    """
    names = [*params.strategies, *params.evaluate_ensemble]
    figures: dict[str, Any] = {}
    for source, boxes in itertools.product(params.evaluate.sets, params.evaluate.boxes):
        with progress.task(f"{source}, {boxes} boxes"):
            found = [(name, _matches(params, name, source, boxes)) for name in names]
            measured = [(name, matches) for name, matches in found if matches is not None]
            for pair, difference in _differences(measured, params.evaluate.bootstrap).items():
                figures.setdefault(pair, {}).setdefault(source, {})[boxes] = difference
    write_json(layout.figures("compare_strategies"), figures)
    rows = [
        {"pair": pair, "set": source, "boxes": boxes, **found["AP"]}
        for pair, sets in figures.items()
        for source, kinds in sets.items()
        for boxes, found in kinds.items()
    ]
    progress.table("differences", rows, "AP of one model minus another's, with the bounds of its 95 % interval")
    return {f"{row['pair']}.{row['set']}.{row['boxes']}.AP": row["difference"] for row in rows}


def _matches(params: Params, name: str, source: str, boxes: str) -> Matches | None:
    """None where a set has no AP: nobody annotated, or no sigmas."""
    instances = read_table(layout.instances(source), "instances")
    truth = read_truth(read_table(layout.images(source), "images"), instances, load_keypoint_set(params.data.keypoints))
    if truth.sigmas is None or truth.ignored.all():
        return None
    return match_poses(
        truth, read_poses(read_table(layout.results(name) / f"{source}-{boxes}.parquet", "poses"), truth)
    )


def _differences(measured: list[tuple[str, Matches]], resamples: int) -> dict[str, dict[str, dict[str, float]]]:
    stats = {name: summarise(matches) for name, matches in measured}
    samples = {}
    if resamples:
        for name, matches in measured:
            check_paired(measured[0][1], matches)
            samples[name] = resampled_stats(matches, image_weights(matches.images, resamples))
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for (first, _), (second, _) in itertools.combinations(measured, 2):
        pair = figures[f"{second} minus {first}"] = {}
        for stat, value in stats[second].items():
            if value >= 0:
                bounds = interval(samples[second][stat] - samples[first][stat]) if resamples else None
                pair[stat] = {"difference": value - stats[first][stat], **as_bounds(bounds)}
    return figures
