"""Everything `evaluate` reports about one set of poses: stats, intervals, and the paper's partial views."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.evaluation.average_precision import summarise
from pipeline.evaluation.bootstrap import intervals
from pipeline.evaluation.boxed import mean_share, own_oks, pck
from pipeline.evaluation.errors import diagnose
from pipeline.evaluation.matching import match_poses
from pipeline.evaluation.people import Poses, Truth
from pipeline.evaluation.subsets import OVERLAPS, outside_overlap


def measure(truth: Truth, poses: Poses, boxes: np.ndarray, resamples: int, mirror: np.ndarray) -> dict[str, Any]:
    """Ten stats, their intervals and the reasons for errors; PCK for a keypoint set without sigmas.

    `boxes` [D, 4] are the poses' boxes, `mirror` [K] the truth's mirror keypoints. Stats that nobody annotated defines
    are left out.
    """
    figures: dict[str, Any] = {
        "images": len(truth.images),
        "people": int((~truth.ignored).sum()),
        "poses": len(poses),
    }
    if not figures["people"]:
        return figures
    if truth.sigmas is None:
        return figures | _defined(pck(truth, poses, boxes))
    matches = match_poses(truth, poses)
    figures |= _defined(summarise(matches))
    if resamples:
        figures["interval"] = {
            name: {"low": low, "high": high} for name, (low, high) in intervals(matches, resamples).items()
        }
    return figures | {"errors": diagnose(truth, poses, mirror).counts()}


def partial_views(truth: Truth, poses: Poses, person: np.ndarray | None) -> dict[str, Any]:
    """Tables 3, 13 and 14: overlapping people, visible and occluded keypoints, people by labelled keypoints.

    `person` [D] is whom each pose's annotated box belongs to, where it does: poses of people outside a view are then
    left out. With detected boxes nobody knows, so people outside a view are ignored as COCO ignores crowds.
    """
    if truth.sigmas is None or truth.ignored.all():
        return {}
    views: dict[str, Any] = {
        "visible": _view(truth.only(2), poses, person),
        "occluded": _view(truth.only(1), poses, person),
    }
    views["max_iou"] = {name: _view(truth.ignoring(outside_overlap(truth, name)), poses, person) for name in OVERLAPS}
    by_count = {}
    for count in range(1, len(truth.names) + 1):
        view = _view(truth.ignoring(truth.labelled != count), poses, person)
        by_count[str(count)] = {key: view[key] for key in ("AP", "people") if key in view}
    return views | {"labelled_keypoints": by_count}


def own_box_views(truth: Truth, points: np.ndarray) -> dict[str, float]:
    """Eq 26 and 27 on annotated boxes, `points` [G, K, 2] being each person's own pose; crowds do not count."""
    figures: dict[str, float] = {}
    for name, view in (("all", truth), ("visible", truth.only(2)), ("occluded", truth.only(1))):
        people = ~view.ignored
        if view.sigmas is not None and people.any():
            oks = own_oks(view, points)[people]
            figures |= {f"mean_share_{name}": mean_share(oks), f"mean_oks_{name}": float(oks.mean())}
    return figures


def _view(truth: Truth, poses: Poses, person: np.ndarray | None) -> dict[str, Any]:
    people = int((~truth.ignored).sum())
    if not people:
        return {"people": 0}
    chosen = poses if person is None else poses.select(~truth.ignored[person])
    return {"people": people, **_defined(summarise(match_poses(truth, chosen)))}


def _defined(figures: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if value >= 0}
