"""Poses on annotated boxes: each belongs to a person, so that it is judged against that person alone.

AP as Eq 26 and 27 write it, the mean share of people above each OKS threshold, and PCK where a keypoint set has no
sigmas.
"""

from __future__ import annotations

import numpy as np

from pipeline.evaluation.matching import THRESHOLDS
from pipeline.evaluation.people import Poses, Truth
from pipeline.evaluation.similarity import Pairs, box_iou, oks_of_pairs, pairs_within_images
from pipeline.learning.training.validation import PCK_SHARE


def own_oks(truth: Truth, points: np.ndarray) -> np.ndarray:
    """OKS of each person's own pose `points` [G, K, 2] (Eq 28), [G]."""
    everybody = np.arange(len(truth))
    poses = Poses(truth.image, points, np.ones(len(truth)))
    return oks_of_pairs(truth, poses, Pairs(everybody, everybody, np.zeros(0, np.int64)))


def shares_above(oks: np.ndarray) -> np.ndarray:
    """[N] share of the ten thresholds that each person's OKS [N] is above; their mean over people is Eq 26 and 27."""
    return np.asarray((oks[:, None] > THRESHOLDS).mean(1))


def pck(truth: Truth, poses: Poses, boxes: np.ndarray) -> dict[str, float]:
    """Share of labelled keypoints within 0.2 of the longer side of the annotated box (Yang and Ramanan 2013).

    A person's pose is the one whose box [D, 4] overlaps the annotated one most (IoU at least 0.5, best score first on a
    tie); without one, all the person's keypoints are missed. Keys: `PCK`, `PCK_<keypoint>`, and `distance`, the mean
    distance of the keypoints that are not missed, as a share of that side.
    """
    order = np.lexsort((-poses.scores, poses.image))
    pairs = pairs_within_images(poses.image[order], truth.image, len(truth.images))
    overlap = box_iou(boxes[order][pairs.pose], truth.boxes[pairs.person])
    points = np.full((len(truth), len(truth.names), 2), np.inf)
    taken = np.zeros(len(poses), bool)
    for p in np.argsort(-overlap, kind="stable"):
        if overlap[p] < 0.5:
            break
        person, pose = pairs.person[p], order[pairs.pose[p]]
        if np.isinf(points[person]).all() and not taken[pose]:
            points[person], taken[pose] = poses.points[pose], True
    counted = (truth.keypoints[:, :, 2] > 0) & ~truth.ignored[:, None]
    side = truth.boxes[:, 2:].max(1, initial=0)[:, None]
    distance = np.hypot(*np.moveaxis(points - truth.keypoints[:, :, :2], 2, 0))
    near = distance <= PCK_SHARE * side
    found = (distance / np.maximum(side, 1e-9))[counted & np.isfinite(distance)]
    figures = {"PCK": _share(near, counted), "distance": float(found.mean()) if len(found) else -1.0}
    return figures | {f"PCK_{name}": _share(near[:, k], counted[:, k]) for k, name in enumerate(truth.names)}


def _share(near: np.ndarray, counted: np.ndarray) -> float:
    return float(near[counted].mean()) if counted.any() else -1.0
