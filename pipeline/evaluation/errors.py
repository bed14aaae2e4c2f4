"""Why a keypoint is off: jitter, inversion, swap or miss, after Ronchi and Perona 2017 (Benchmarking and Error
Diagnosis in Multi-Instance Pose Estimation)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.matching import match_poses
from pipeline.evaluation.people import Poses, Truth
from pipeline.evaluation.similarity import offsets

REASONS = ("good", "jitter", "inversion", "swap", "miss", "unlabelled")
NEAR, EXACT = 0.5, 0.85  # keypoint similarity from which a place is near, and from which it is right
_LOOSE = np.array([0.1])  # OKS from which a pose is taken as a person's at all


@dataclass(frozen=True)
class Diagnosis:
    """The pose of each found person: `person` and `pose` [N], `oks` [N], `reason` [N, K] index into `REASONS`, and
    `similarity` [N, K] of each keypoint with its own place, NaN where that is not labelled.
    """

    person: np.ndarray
    pose: np.ndarray
    oks: np.ndarray
    reason: np.ndarray
    similarity: np.ndarray

    def counts(self) -> dict[str, int]:
        """How many keypoints have each reason."""
        return {name: int((self.reason == i).sum()) for i, name in enumerate(REASONS)}

    def worst_reason(self) -> list[str]:
        """For each pose the reason that most of its wrong keypoints have (the graver one on a tie), or `good`."""
        graver = [REASONS.index(name) for name in ("miss", "swap", "inversion", "jitter")]
        counts = np.stack([(self.reason == i).sum(1) for i in graver], 1)
        return [REASONS[graver[int(row.argmax())]] if row.any() else "good" for row in counts]


def diagnose(truth: Truth, poses: Poses, mirror: np.ndarray) -> Diagnosis:
    """Match poses to people loosely and name the reason for each keypoint.

    A keypoint is near a place when its similarity exp(-d^2 / (2 area (2 sigma)^2)) with it is at least 0.5. Good: at
    least 0.85 with its own place; jitter: near it. Otherwise, whichever is nearest of: the mirror keypoint of the same
    person (inversion), the same or the mirror keypoint of somebody else (swap); near none: miss. `mirror` [K].
    """
    matches = match_poses(truth, poses, _LOOSE)
    row = matches.person[0, 0]
    matched = (row >= 0) & ~matches.skipped[0, 0]
    person, pose = row[matched], matches.pose[matched]
    bounds = offsets(truth.image, len(truth.images))
    reason = np.full((len(person), len(truth.names)), REASONS.index("miss"))
    right = np.full(reason.shape, np.nan)
    for n, (g, d) in enumerate(zip(person, pose, strict=True)):
        neighbours = np.arange(bounds[truth.image[g]], bounds[truth.image[g] + 1])
        similarity = _similarities(truth, neighbours, poses.points[d])
        reason[n], right[n] = _reasons(similarity, int(np.flatnonzero(neighbours == g)[0]), mirror)
    unlabelled = truth.keypoints[person, :, 2] == 0
    reason[unlabelled] = REASONS.index("unlabelled")
    right[unlabelled] = np.nan
    oks = np.where(unlabelled, 0, right).sum(1) / np.maximum((~unlabelled).sum(1), 1)
    return Diagnosis(person, pose, oks, reason, right)


def _similarities(truth: Truth, people: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[P, K, K] of pose keypoint i (second axis) with keypoint j of each person; -1 where j is not labelled."""
    assert truth.sigmas is not None
    places = truth.keypoints[people]
    square = ((points[None, :, None] - places[:, None, :, :2]) ** 2).sum(3)
    scale = 2 * (truth.area[people, None] + np.spacing(1)) * (2 * truth.sigmas) ** 2
    return np.where(places[:, None, :, 2] > 0, np.exp(-square / scale[:, None]), -1)


def _reasons(similarity: np.ndarray, own: int, mirror: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    keypoints = np.arange(similarity.shape[1])
    right = similarity[own, keypoints, keypoints]
    inverted = np.where(mirror == keypoints, -1, similarity[own, keypoints, mirror])
    others = np.delete(similarity, own, 0)
    swapped = np.maximum(others[:, keypoints, keypoints], others[:, keypoints, mirror]).max(0, initial=-1)
    reason = np.full(len(keypoints), REASONS.index("miss"))
    reason[swapped >= NEAR] = REASONS.index("swap")
    reason[(inverted >= NEAR) & (inverted >= swapped)] = REASONS.index("inversion")
    reason[right >= NEAR] = REASONS.index("jitter")
    reason[right >= EXACT] = REASONS.index("good")
    return reason, right
