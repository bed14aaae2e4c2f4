"""Everything `evaluate` reports about one set of poses: stats, intervals, and the paper's partial views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.evaluation.average_precision import summarise
from pipeline.evaluation.bootstrap import intervals
from pipeline.evaluation.boxed import mean_share, own_oks, pck
from pipeline.evaluation.errors import diagnose
from pipeline.evaluation.matching import match_poses
from pipeline.evaluation.people import Poses, Truth
from pipeline.evaluation.subsets import OVERLAPS, outside_overlap

OWN_FIGURES = ("OKS", "AP_Eq27")  # on annotated boxes only, where each person has a pose of its own


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


@dataclass(frozen=True)
class OwnPoses:
    """What annotated boxes tell: whose box each pose has, `person` [D], and the pose of each person before any
    suppression, `points` [G, K, 2]."""

    person: np.ndarray
    points: np.ndarray


def partial_views(truth: Truth, poses: Poses, own: OwnPoses | None) -> dict[str, Any]:
    """Tables 3, 13 and 14: overlapping people, visible and occluded keypoints, people by labelled keypoints.

    With annotated boxes (`own`), poses of people outside a view are left out. With detected boxes nobody knows whose
    they are, so people outside a view are ignored as COCO ignores crowds.
    """
    if truth.sigmas is None or truth.ignored.all():
        return {}
    views: dict[str, Any] = {
        "visible": _view(truth.only(2), poses, own),
        "occluded": _view(truth.only(1), poses, own),
    }
    views["max_iou"] = {name: _view(truth.ignoring(outside_overlap(truth, name)), poses, own) for name in OVERLAPS}
    by_count = {}
    for count in range(1, len(truth.names) + 1):
        view = _view(truth.ignoring(truth.labelled != count), poses, own)
        by_count[str(count)] = {key: view[key] for key in ("people", "AP", *OWN_FIGURES) if key in view}
    return views | {"labelled_keypoints": by_count}


def own_figures(truth: Truth, own: OwnPoses) -> dict[str, float]:
    """`OWN_FIGURES`: mean OKS, and AP as Eq 26 and 27 write it; crowds and people without keypoints do not count."""
    people = ~truth.ignored
    if truth.sigmas is None or not people.any():
        return {}
    oks = own_oks(truth, own.points)[people]
    return dict(zip(OWN_FIGURES, (float(oks.mean()), mean_share(oks)), strict=True))


def _view(truth: Truth, poses: Poses, own: OwnPoses | None) -> dict[str, Any]:
    people = int((~truth.ignored).sum())
    if not people:
        return {"people": 0}
    chosen = poses if own is None else poses.select(~truth.ignored[own.person])
    figures = {"people": people, **_defined(summarise(match_poses(truth, chosen)))}
    return figures if own is None else figures | own_figures(truth, own)


def _defined(figures: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if value >= 0}
