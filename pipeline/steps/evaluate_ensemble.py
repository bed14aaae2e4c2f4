"""Several models as one on the evaluation sets: their heatmaps averaged (Table 11's CCM+)."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline import layout
from pipeline.artefacts import write_json
from pipeline.ensemble import load_members, predict_fused
from pipeline.evaluation.evaluating import evaluate_all, headline
from pipeline.evaluation.postprocess import Decoded, padded_areas
from pipeline.evaluation.sets import EvaluationSet
from pipeline.keypoints import load_keypoint_set
from pipeline.params import Params
from pipeline.progress import Progress


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Evaluate the ensemble `item`, a list of folders under `models/`, as a strategy's model is evaluated."""
    assert item is not None
    folders = [layout.MODELS / name for name in params.evaluate_ensemble[item]]
    keypoints = load_keypoint_set(params.data.keypoints)
    members = load_members(folders, keypoints)

    def find(chosen: EvaluationSet, title: str) -> Decoded:
        count = chosen.people.num_rows
        points, scores = np.zeros((count, len(keypoints), 2)), np.zeros((count, len(keypoints)))
        for batch in predict_fused(
            members,
            chosen.people,
            settings=params.evaluate.postprocessing,
            keypoints=keypoints,
            batch_size=params.evaluate.batch_size,
            compute=params.compute,
            progress=progress,
        ):
            points[batch.rows], scores[batch.rows] = batch.points, batch.scores
        areas = padded_areas(chosen.people, members[0].network.spec.input_size, members[0].padding)
        return Decoded(points, scores, areas)

    figures = evaluate_all(params, progress, item, folders, find)
    write_json(layout.metrics("evaluate_ensemble", item), figures)
    return headline(figures)
