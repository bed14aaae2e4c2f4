"""Everything `evaluate` reports about one set of poses: stats, intervals, and the paper's partial views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.evaluation.average_precision import summarise
from pipeline.evaluation.bootstrap import as_bounds, image_weights, interval, intervals, resampled_ap, resampled_mean
from pipeline.evaluation.boxed import own_oks, pck, shares_above
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
        figures["interval"] = {name: as_bounds(bounds) for name, bounds in intervals(matches, resamples).items()}
    return figures | {"errors": diagnose(truth, poses, mirror).counts()}


@dataclass(frozen=True)
class OwnPoses:
    """What annotated boxes tell: whose box each pose has, `person` [D], and the pose of each person before any
    suppression, `points` [G, K, 2]."""

    person: np.ndarray
    points: np.ndarray


def partial_views(truth: Truth, poses: Poses, own: OwnPoses | None, resamples: int) -> dict[str, Any]:
    """Tables 3, 13 and 14: overlapping people, visible and occluded keypoints, people by labelled keypoints.

    With annotated boxes (`own`), poses of people outside a view are left out. With detected boxes nobody knows whose
    they are, so people outside a view are ignored as COCO ignores crowds. Every AP has its interval.
    """
    if truth.sigmas is None or truth.ignored.all():
        return {}

    def view(part: Truth) -> dict[str, Any]:
        return _view(part, poses, own, resamples)

    by_count = {}
    for count in range(1, len(truth.names) + 1):
        found = view(truth.ignoring(truth.labelled != count))
        by_count[str(count)] = {key: found[key] for key in ("people", "AP", *OWN_FIGURES, "interval") if key in found}
    return {
        "visible": view(truth.only(2)),
        "occluded": view(truth.only(1)),
        "max_iou": {name: view(truth.ignoring(outside_overlap(truth, name))) for name in OVERLAPS},
        "labelled_keypoints": by_count,
    }


def own_figures(truth: Truth, own: OwnPoses, resamples: int) -> dict[str, Any]:
    """`OWN_FIGURES`: mean OKS, and AP as Eq 26 and 27 write it; crowds and people without keypoints do not count."""
    people = ~truth.ignored
    if truth.sigmas is None or not people.any():
        return {}
    oks = own_oks(truth, own.points)[people]
    values = dict(zip(OWN_FIGURES, (oks, shares_above(oks)), strict=True))
    figures: dict[str, Any] = {name: float(each.mean()) for name, each in values.items()}
    if resamples:
        weights, image = image_weights(len(truth.images), resamples), truth.image[people]
        figures["interval"] = {
            name: as_bounds(interval(resampled_mean(each, image, weights))) for name, each in values.items()
        }
    return figures


def with_own(figures: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """A set's figures and its `own_figures` as one."""
    intervals_of_both = {**figures.get("interval", {}), **own.get("interval", {})}
    return {**figures, **own, **({"interval": intervals_of_both} if intervals_of_both else {})}


def _view(truth: Truth, poses: Poses, own: OwnPoses | None, resamples: int) -> dict[str, Any]:
    people = int((~truth.ignored).sum())
    if not people:
        return {"people": 0}
    matches = match_poses(truth, poses if own is None else poses.select(~truth.ignored[own.person]))
    figures: dict[str, Any] = {"people": people, **_defined(summarise(matches))}
    if resamples:
        samples = resampled_ap(matches, image_weights(len(truth.images), resamples))
        figures["interval"] = {"AP": as_bounds(interval(samples))}
    return figures if own is None else with_own(figures, own_figures(truth, own, resamples))


def _defined(figures: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if value >= 0}
