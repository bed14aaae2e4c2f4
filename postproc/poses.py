"""Poses of an image: similarity, suppression of duplicates by NMS or Soft-NMS, and scores.

People of all images lie in one array; `offsets` `[I + 1]` says that image i has people `offsets[i]` to
`offsets[i + 1] - 1`.  Everything is numpy in image pixels; how far a keypoint may stray, its `sigma`, is the caller's
to give, since it belongs to a keypoint set.
"""

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
EPSILON = float(np.spacing(1.0))
"""COCO adds it to an area that may be 0."""


def oks(
    poses: ArrayLike, others: ArrayLike, areas: ArrayLike, sigmas: ArrayLike, visible: ArrayLike | None = None
) -> Floats:
    """Object keypoint similarity of each pose with each other one, `[N, M]`, as COCO defines it.

    The mean over the keypoints of `exp(-d^2 / (2 area (2 sigma)^2))`, d the distance in image pixels.

    Args:
        poses: `[N, K, 2]` x, y in image pixels; COCO has the annotated people here.
        others: `[M, K, 2]`; COCO has the detected people here.
        areas: in square pixels, anything that broadcasts to `[N, M]`.  COCO takes the annotated person's, `[N, 1]`;
            between two detections the toolboxes take the mean of both, as `oks_nms` does.
        sigmas: `[K]` COCO's per-keypoint constants.
        visible: `[N, K]`, which keypoints of `poses` count; by default all do.  A pose of which none counts has
            similarity 0 (COCO's evaluation ignores such people).

    Raises:
        ValueError: shapes that do not match.
    """
    one, two, sigma = _points(poses, "poses"), _points(others, "others"), np.asarray(sigmas, np.float64)
    _check_sigmas(sigma, one.shape[1])
    if one.shape[1] != two.shape[1]:
        raise ValueError(f"poses have {one.shape[1]} keypoints, others {two.shape[1]}")
    area = np.broadcast_to(np.asarray(areas, np.float64), (len(one), len(two)))
    distance = ((one[:, None] - two[None]) ** 2).sum(-1)
    similarity = np.exp(-distance / (2 * (2 * sigma) ** 2) / (area[..., None] + EPSILON))
    if visible is None:
        return similarity.mean(-1)
    counts = (np.asarray(visible) > 0).astype(np.float64)
    if counts.shape != one.shape[:2]:
        raise ValueError(f"visible must be [N, K] = {one.shape[:2]}, got {counts.shape}")
    return (similarity * counts[:, None]).sum(-1) / np.maximum(counts.sum(-1), 1)[:, None]


def oks_nms(
    poses: ArrayLike,
    scores: ArrayLike,
    areas: ArrayLike,
    sigmas: ArrayLike,
    offsets: ArrayLike | None = None,
    threshold: float = 0.9,
) -> Places:
    """Places of the poses that stay, image by image, best score first.

    As HRNet's and Simple Baseline's code does it: the best pose stays and removes what is too similar to it, then the
    next best of the rest.  The similarity is `oks` over all keypoints with the mean of the two areas.

    Args:
        poses: `[P, K, 2]` x, y in image pixels; one that holds NaN is similar to none.
        scores: `[P]`; equal ones keep their order, NaN comes last.
        areas: `[P]` in square pixels; the toolboxes take the padded box's.
        sigmas: `[K]`.
        offsets: `[I + 1]` bounds of the images' people; by default all are in one image.
        threshold: poses with a similarity at or above it are removed.

    Raises:
        ValueError: shapes that do not match, offsets that do not span the poses, an area or threshold below 0.
    """
    order, leader, _ = _suppress(poses, scores, areas, sigmas, offsets, threshold)
    return order[leader[order] == order]


def soft_nms(
    poses: ArrayLike,
    scores: ArrayLike,
    areas: ArrayLike,
    sigmas: ArrayLike,
    offsets: ArrayLike | None = None,
    threshold: float = 0.9,
) -> tuple[Places, Floats]:
    """Places of the poses that stay, and these poses `[Q, K, 2]` fused with those they removed (Equations 23-24).

    Keeps what `oks_nms` keeps, arguments and errors are the same.  A fused pose is the mean of the pose that stays and
    those that it removes, each weighted with its similarity to the one that stays, which has weight 1 itself.
    """
    order, leader, similarity = _suppress(poses, scores, areas, sigmas, offsets, threshold)
    points = _points(poses, "poses")
    total, weight = np.zeros_like(points), np.zeros(len(points))
    np.add.at(total, leader, similarity[:, None, None] * points)
    np.add.at(weight, leader, similarity)
    keep = order[leader[order] == order]
    return keep, total[keep] / weight[keep, None, None]


def rescore(box_scores: ArrayLike, keypoint_scores: ArrayLike, threshold: float = 0.2) -> Floats:
    """Pose scores `[P]`: box score times the mean of the keypoint scores above `threshold`, 0 if none is.

    Args:
        box_scores: `[P]`.
        keypoint_scores: `[P, K]`; NaN, of a heatmap that was not finite, counts as below.
        threshold: 0.2 as Xiao 2018 and Sun 2019 have it.
    """
    boxes, keypoints = np.asarray(box_scores, np.float64), np.asarray(keypoint_scores, np.float64)
    if keypoints.ndim != 2 or boxes.shape != keypoints.shape[:1]:
        raise ValueError(f"needs [P] box and [P, K] keypoint scores, got {boxes.shape} and {keypoints.shape}")
    counts = keypoints > threshold
    return boxes * np.where(counts, keypoints, 0).sum(1) / np.maximum(counts.sum(1), 1)


def _suppress(
    poses: ArrayLike,
    scores: ArrayLike,
    areas: ArrayLike,
    sigmas: ArrayLike,
    offsets: ArrayLike | None,
    threshold: float,
) -> tuple[Places, Places, Floats]:
    """People by image and score, the pose that each of them gave way to, and its similarity with that pose."""
    points, sigma = _points(poses, "poses"), np.asarray(sigmas, np.float64)
    _check_sigmas(sigma, points.shape[1])
    score, area = np.asarray(scores, np.float64), np.asarray(areas, np.float64)
    if score.shape != (len(points),) or area.shape != (len(points),) or not (area >= 0).all():
        raise ValueError(
            f"{len(points)} poses need as many scores, got {score.shape}, and areas not below 0, got {area.shape}"
        )
    bounds = np.array([0, len(points)]) if offsets is None else np.asarray(offsets, np.int64)
    if (
        bounds.ndim != 1
        or len(bounds) < 1
        or bounds[0] != 0
        or bounds[-1] != len(points)
        or (np.diff(bounds) < 0).any()
    ):
        raise ValueError(f"offsets must rise from 0 to the number of poses, {len(points)}, got {bounds.tolist()}")
    if not threshold > 0:
        raise ValueError(f"threshold must be above 0, got {threshold}")
    images = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    order = np.lexsort((np.where(np.isnan(score), np.inf, -score), images))
    leader, similarity = np.full(len(points), -1), np.ones(len(points))
    _lead(points, area, 2 * (2 * sigma) ** 2, order, bounds, float(threshold), leader, similarity)
    return order, leader, similarity


@njit(cache=True, nogil=True, error_model="numpy")
def _lead(points, area, spread, order, bounds, threshold, leader, similarity):  # type: ignore[no-untyped-def]
    """Fill `leader` `[P]`, given as -1, and `similarity` `[P]`, given as 1."""
    for image in range(len(bounds) - 1):
        for first in range(bounds[image], bounds[image + 1]):
            top = order[first]
            if leader[top] >= 0:
                continue
            leader[top] = top
            for place in range(first + 1, bounds[image + 1]):
                other = order[place]
                if leader[other] >= 0:
                    continue
                weight = _similarity(points[top], points[other], (area[top] + area[other]) / 2, spread, threshold)
                if weight >= threshold:
                    leader[other] = top
                    similarity[other] = weight


@njit(cache=True, nogil=True, error_model="numpy")
def _similarity(one, two, area, spread, threshold):  # type: ignore[no-untyped-def]
    """OKS of two poses `[K, 2]`, or 0 as soon as it is clear that it stays below the threshold.

    Most pairs are far apart, and exp(-e) <= 1 / (1 + e) says so after a keypoint or two without an exponential.
    """
    keypoints, scale = len(spread), area + EPSILON
    bound, needed = 1.0 * keypoints, (threshold - 1e-9) * keypoints
    for k in range(keypoints):
        dx, dy = one[k, 0] - two[k, 0], one[k, 1] - two[k, 1]
        bound -= 1 - 1 / (1 + (dx * dx + dy * dy) / spread[k] / scale)
        if bound < needed:
            return 0.0
    total = 0.0
    for k in range(keypoints):
        dx, dy = one[k, 0] - two[k, 0], one[k, 1] - two[k, 1]
        total += np.exp(-(dx * dx + dy * dy) / spread[k] / scale)
    return total / keypoints


def _points(poses: ArrayLike, name: str) -> Floats:
    points = np.asarray(poses, np.float64)
    if points.ndim != 3 or points.shape[2] != 2:
        raise ValueError(f"{name} must be [N, K, 2], got {points.shape}")
    return points


def _check_sigmas(sigmas: Floats, keypoints: int) -> None:
    if sigmas.shape != (keypoints,) or not (sigmas > 0).all():
        raise ValueError(f"sigmas must be {keypoints} numbers above 0, got {sigmas.tolist()}")
