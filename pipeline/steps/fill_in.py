"""Keypoints that nobody labelled on labelled people, by the teachers: A's face, C's neck.

A person stays one row. The keypoints that its labels lack get what the ensemble says, where the thresholds of U let it
pass, supervised and weighed as in U; what is labelled stays as it is. The ensemble is that of the U which the
strategies train on: after rounds, of the last that was kept. `keypoint_scores` marks what was filled in: the
ensemble's score there, 0 at every keypoint that is labelled or left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import layout
from pipeline.learning.calibration import chosen_keypoints
from pipeline.learning.degenerate import check_members
from pipeline.learning.ensemble import FusedPoses
from pipeline.learning.shards import forget, shards_of
from pipeline.progress import Progress
from pipeline.records.artefacts import provenance, write_json
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import TableInfo, table_from, table_info, to_numpy, write_table
from pipeline.settings import Params
from pipeline.steps.compose_sets import labelled_source, trained_rows
from pipeline.steps.pseudo_label import calibrated, ensemble
from pipeline.steps.rounds import last_kept, teachers_of


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Write the people of source `item`, of C or A, with the keypoints that its labels lack."""
    assert item is not None
    target, teachers = load_keypoint_set(params.data.keypoints), teachers_of(params, last_kept(params))
    people = trained_rows(labelled_source(params, item), target)
    with progress.task("label"):
        label = ensemble(params, f"fill_in/{item}", people, "instance_id", teachers)
        check_members(label.members, label.folders, people, params.compute)
        shards = shards_of(people, params.spread.shard_images)
        poses = label.read(progress.map(label, shards, description=f"fill in {item}", unit="shard"))
    probability = None
    if params.pseudo_label.calibrated:
        with progress.task("calibrate"):
            probability = calibrated(params, progress, f"{label.work}-calibration", teachers)[0](poses.scores)
    with progress.task("write"):
        table = filled(params, people, poses, label.teachers, probability, teachers.inputs)
        write_table(layout.filled(item), table)
        forget(label.work)
    scores = to_numpy(table, "keypoint_scores")
    figures: dict[str, Any] = {
        "people": table.num_rows,
        "people_filled_in": int((scores > 0).any(1).sum()),
        "keypoints_labelled": int((to_numpy(people, "keypoints")[:, 2::3] > 0).sum()),
        "keypoints_filled_in": int((scores > 0).sum()),
        "filled_in_by_keypoint": dict(zip(target.names, (scores > 0).sum(0).tolist(), strict=True)),
    }
    write_json(layout.figures("fill_in", item), figures)
    return {key: value for key, value in figures.items() if not isinstance(value, dict)}


def filled(
    params: Params,
    people: pa.Table,
    poses: FusedPoses,
    teachers: list[str],
    probability: np.ndarray | None,
    inputs: Sequence[Path],
) -> pa.Table:
    """The same rows, the keypoints without a label from the teachers; `probability` [N, K] as for `pseudo_labels`."""
    settings = params.pseudo_label
    triples = to_numpy(people, "keypoints").reshape(people.num_rows, -1, 3).copy()
    free = (triples[:, :, 2] == 0) & ~to_numpy(people, "supervised").astype(bool)
    chosen = free & chosen_keypoints(settings.cut, poses.scores, probability) & (poses.scores > 0)
    triples[chosen] = np.concatenate([poses.points, np.full_like(poses.points[:, :, :1], 2)], 2)[chosen]
    weight = probability if settings.weigh and probability is not None else np.ones(chosen.shape)
    columns = {name: people[name] for name in people.column_names} | {
        "keypoints": triples.reshape(people.num_rows, -1),
        "supervised": to_numpy(people, "supervised").astype(bool) | chosen,
        "weight": np.where(chosen, weight, to_numpy(people, "weight")).astype(np.float32),
        "keypoint_scores": np.where(chosen, poses.scores, 0).astype(np.float32),
        "teacher": [" ".join(teachers) if any(row) else None for row in chosen],
    }
    info = table_info(people)
    made_by = provenance(settings.model_dump(), inputs)
    return table_from("instances", columns, TableInfo(info.keypoint_set, info.image_roots, made_by))
