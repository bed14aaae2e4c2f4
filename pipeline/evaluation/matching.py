"""Who is found by which pose: COCO's greedy matching at each OKS threshold, as one table for all that follows.

Ten stats, bootstrap intervals, error reasons and boxes' AP are all read off the same `Matches`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from pipeline.evaluation.cores import over_cores
from pipeline.evaluation.people import Poses, Truth
from pipeline.evaluation.similarity import Pairs, box_iou, offsets, oks_of_pairs, pairs_within_images

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # Eq 26
POSES_PER_IMAGE = 20
BOXES_PER_IMAGE = 100
_LEAST_IMAGES = 128  # a thread's share
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
    return _match(
        truth.images,
        (order, best.image, best.scores, _extent(best.points)),
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


@njit(cache=True, nogil=True)
def _extent(points):  # type: ignore[no-untyped-def]
    """[D] area of the box around each pose's points [D, K, 2]; numpy's reductions of so short an axis take longer."""
    area = np.empty(len(points))
    for d in range(len(points)):
        left, right = points[d, 0, 0], points[d, 0, 0]
        top, bottom = points[d, 0, 1], points[d, 0, 1]
        for k in range(1, points.shape[1]):
            left, right = min(left, points[d, k, 0]), max(right, points[d, k, 0])
            top, bottom = min(top, points[d, k, 1]), max(bottom, points[d, k, 1])
        area[d] = (right - left) * (bottom - top)
    return area


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
    low, high = np.array(list(areas.values()), np.float64).T[:, :, None]
    outside = ignored | (person_area < low) | (person_area > high)
    beyond = (pose_area < low) | (pose_area > high)
    person = np.empty((len(areas), len(thresholds), len(pose)), np.int64)
    skipped = np.empty(person.shape, bool)
    first_pose, first_person = offsets(pose_image, count), offsets(person_image, count)
    limits = np.minimum(thresholds, 1 - 1e-10)

    def part(first: int, last: int) -> None:
        bounds = first_pose[first : last + 1], first_person[first : last + 1], pairs.start[first:last]
        _greedy(*bounds, similarity, outside, beyond, crowd, limits, person, skipped)

    over_cores(part, count, least=_LEAST_IMAGES)
    return Matches(count, thresholds, tuple(areas), pose, pose_image, score, person_image, ~outside, person, skipped)


@njit(cache=True, nogil=True)
def _greedy(poses, people, start, similarity, outside, beyond, crowd, thresholds, person, skipped):  # type: ignore[no-untyped-def]
    """Fill `person` and `skipped` [A, T, D] of some images: the most similar free person, one to be found first.

    `poses`, `people` [I + 1] and `start` [I] are where each image's poses, people and pairs begin; `outside` [A, G]
    and `beyond` [A, D] say who is no person to be found, and which unmatched pose is not wrong.
    """
    lowest = thresholds.min()
    widest = 0
    for image in range(len(start)):
        widest = max(widest, (poses[image + 1] - poses[image]) * (people[image + 1] - people[image]))
    near, value = np.empty(widest, np.int64), np.empty(widest)  # pairs that any threshold lets match
    for image in range(len(start)):
        first, count = poses[image], poses[image + 1] - poses[image]
        begin, width = people[image], people[image + 1] - people[image]
        bounds = np.zeros(count + 1, np.int64)
        n = 0
        for d in range(count):
            for g in range(width):
                found = similarity[start[image] + d * width + g]
                if found >= lowest:
                    near[n], value[n] = g, found
                    n += 1
            bounds[d + 1] = n
        taken = np.empty(width, np.bool_)
        for a in range(len(outside)):
            for t in range(len(thresholds)):
                taken[:] = False
                for d in range(count):
                    match = -1
                    for ignored in (False, True):
                        best = thresholds[t]
                        for n in range(bounds[d], bounds[d + 1]):
                            g = begin + near[n]
                            if value[n] < best or outside[a, g] != ignored or (taken[near[n]] and not crowd[g]):
                                continue
                            best, match = value[n], g
                        if match >= 0:
                            taken[match - begin] = True
                            break
                    person[a, t, first + d] = match
                    skipped[a, t, first + d] = outside[a, match] if match >= 0 else beyond[a, first + d]
