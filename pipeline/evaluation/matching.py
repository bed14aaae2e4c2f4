"""Who is found by which pose: COCO's greedy matching at each OKS threshold, as one table for all that follows.

Ten stats, bootstrap intervals, error reasons and boxes' AP are all read off the same `Matches`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from pipeline.evaluation.people import Poses, Truth
from pipeline.evaluation.similarity import Pairs, box_iou, offsets, oks_of_pairs, pairs_within_images

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # Eq 26
POSES_PER_IMAGE = 20
BOXES_PER_IMAGE = 100
AREAS = {"all": (0.0, 1e5**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e5**2)}


@dataclass(frozen=True)
class Matches:
    """D poses (an image's best ones, by image and falling score) against G people, for A area ranges, T thresholds.

    `person` [A, T, D] is the person a pose found, -1 for none. `skipped` [A, T, D]: the pose is neither right nor
    wrong. `counts` [A, G]: people to be found. `pose` [D] points into what was matched.
    """

    images: int
    thresholds: np.ndarray
    areas: tuple[str, ...]
    pose: np.ndarray
    pose_image: np.ndarray
    score: np.ndarray
    person_image: np.ndarray
    counts: np.ndarray
    person: np.ndarray
    skipped: np.ndarray


def match_poses(truth: Truth, poses: Poses, thresholds: np.ndarray = THRESHOLDS) -> Matches:
    """COCO's keypoint protocol: at most 20 poses an image, OKS, area ranges all, medium and large.

    ValueError when a pose or score is not finite, or the set has no sigmas.
    """
    if not (np.isfinite(poses.points).all() and np.isfinite(poses.scores).all()):
        bad = np.flatnonzero(~(np.isfinite(poses.points).all((1, 2)) & np.isfinite(poses.scores)))[0]
        raise ValueError(f"pose {bad} on image '{truth.images[poses.image[bad]]}' is not finite; nothing can match it")
    order = best_of_each_image(poses.image, poses.scores, POSES_PER_IMAGE)
    best = poses.select(order)
    pairs = pairs_within_images(best.image, truth.image, len(truth.images))
    span = best.points.max(1) - best.points.min(1)
    return _match(
        truth.images,
        (order, best.image, best.scores, span[:, 0] * span[:, 1]),
        (truth.image, truth.area, truth.ignored, truth.crowd),
        pairs,
        oks_of_pairs(truth, best, pairs),
        thresholds,
        AREAS,
    )


def match_boxes(truth: Truth, image: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> Matches:
    """COCO's box protocol for people's boxes [N, 4]: at most 100 an image, IoU; only crowds are ignored."""
    order = best_of_each_image(image, scores, BOXES_PER_IMAGE)
    pairs = pairs_within_images(image[order], truth.image, len(truth.images))
    chosen = np.asarray(boxes, np.float64)[order]
    overlap = box_iou(chosen[pairs.pose], truth.boxes[pairs.person], truth.crowd[pairs.person])
    return _match(
        truth.images,
        (order, image[order], scores[order], chosen[:, 2] * chosen[:, 3]),
        (truth.image, truth.area, truth.crowd, truth.crowd),
        pairs,
        overlap,
        THRESHOLDS,
        {"all": AREAS["all"]},
    )


def best_of_each_image(image: np.ndarray, scores: np.ndarray, limit: int) -> np.ndarray:
    """Indices sorted by image, then falling score (equal scores keep their order), at most `limit` an image."""
    order = np.lexsort((-scores, image))
    sorted_image = image[order]
    first = np.searchsorted(sorted_image, sorted_image)
    return order[np.arange(len(order)) - first < limit]


def _match(
    images: tuple[str, ...],
    found: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    people: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    pairs: Pairs,
    similarity: np.ndarray,
    thresholds: np.ndarray,
    areas: dict[str, tuple[float, float]],
) -> Matches:
    pose, pose_image, score, pose_area = found
    person_image, person_area, ignored, crowd = people
    count = len(images)
    person = np.full((len(areas), len(thresholds), len(pose)), -1, np.int64)
    skipped = np.zeros(person.shape, bool)
    counts = np.zeros((len(areas), len(person_image)), bool)
    for a, (low, high) in enumerate(areas.values()):
        outside = ignored | (person_area < low) | (person_area > high)
        _greedy(
            offsets(pose_image, count),
            offsets(person_image, count),
            pairs.start,
            similarity,
            outside,
            crowd,
            np.minimum(thresholds, 1 - 1e-10),
            person[a],
        )
        beyond = (pose_area < low) | (pose_area > high)
        matched = person[a] >= 0
        skipped[a] = np.where(matched, np.append(outside, False)[person[a]], beyond[None])
        counts[a] = ~outside
    return Matches(count, thresholds, tuple(areas), pose, pose_image, score, person_image, counts, person, skipped)


@njit(cache=True)
def _greedy(poses, people, start, similarity, ignored, crowd, thresholds, person):  # type: ignore[no-untyped-def]
    """Fill `person` [T, D], given as -1: the most similar free person, one to be found before an ignored one."""
    taken = np.zeros(len(ignored), np.bool_)
    for t in range(len(thresholds)):
        taken[:] = False
        for image in range(len(poses) - 1):
            width = people[image + 1] - people[image]
            for d in range(poses[image], poses[image + 1]):
                row = start[image] + (d - poses[image]) * width - people[image]
                for wanted in (False, True):
                    best, found = thresholds[t], -1
                    for g in range(people[image], people[image + 1]):
                        if ignored[g] != wanted or (taken[g] and not crowd[g]):
                            continue
                        if similarity[row + g] >= best:
                            best, found = similarity[row + g], g
                    if found >= 0:
                        person[t, d] = found
                        taken[found] = True
                        break
