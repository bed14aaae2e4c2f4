"""Several models as one on the evaluation sets: their heatmaps averaged (Table 11's CCM+)."""

from __future__ import annotations

from typing import Any

from pipeline import layout
from pipeline.evaluation.evaluating import evaluate_all, headline
from pipeline.evaluation.postprocess import Decoded, padded_areas
from pipeline.evaluation.sets import EvaluationSet, network_text
from pipeline.learning.devices import pick_device
from pipeline.learning.ensemble import FuseShard, load_members
from pipeline.learning.shards import forget, shards_of
from pipeline.progress import Progress
from pipeline.records.artefacts import write_json
from pipeline.records.keypoints import load_keypoint_set
from pipeline.settings import Params


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Evaluate the ensemble `item`, a list of folders under `models/`, as a strategy's model is evaluated."""
    assert item is not None
    folders = [layout.MODELS / name for name in params.evaluate_ensemble[item]]
    keypoints = load_keypoint_set(params.data.keypoints)
    work = f"evaluate_ensemble/{item}"

    def find(chosen: EvaluationSet, title: str) -> Decoded:
        fuse = FuseShard(
            work,
            chosen.people,
            tuple(folders),
            keypoints,
            params.evaluate.postprocessing,
            params.evaluate.batch_size,
            params.compute,
        )
        shards = shards_of(chosen.people, params.spread.shard_images)
        poses = fuse.read(progress.map(fuse, shards, description=title, unit="shard"))
        first = fuse.members[0]
        areas = padded_areas(chosen.people, first.network.spec.input_size, first.padding)
        return Decoded(poses.points, poses.scores, areas)

    members = load_members(folders, keypoints, pick_device(params.compute.device))
    networks = {f: network_text(member.network.spec) for f, member in zip(folders, members, strict=True)}
    figures = evaluate_all(params, progress, item, networks, find)
    write_json(layout.figures("evaluate_ensemble", item), figures)
    forget(work)
    return headline(figures)
