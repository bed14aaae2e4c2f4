"""How similar poses (OKS, Eq 28) and boxes (IoU) are, for every pair within an image, as pycocotools rounds it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from pipeline.evaluation.people import Poses, Truth

_CHUNK = 100_000  # pairs at a time, about 14 MB an array


@dataclass(frozen=True)
class Pairs:
    """Every (pose, person) pair of one image, image by image, poses outermost. `start` [I + 1] bounds the images."""

    pose: np.ndarray
    person: np.ndarray
    start: np.ndarray


def offsets(image: np.ndarray, images: int) -> np.ndarray:
    """[I + 1] where each image begins in a sorted list of image numbers."""
    return np.searchsorted(image, np.arange(images + 1))


def pairs_within_images(poses: np.ndarray, people: np.ndarray, images: int) -> Pairs:
    """Pairs of the entries of two sorted lists of image numbers."""
    first, second = offsets(poses, images), offsets(people, images)
    count = np.diff(second)[poses] if len(poses) else np.zeros(0, np.int64)
    pose = np.repeat(np.arange(len(poses)), count)
    begin = np.cumsum(count) - count
    person = np.arange(len(pose)) - np.repeat(begin - second[poses], count) if len(poses) else pose
    start = np.r_[0, np.cumsum(np.diff(first) * np.diff(second))]
    return Pairs(pose, person, start)


def oks_of_pairs(truth: Truth, poses: Poses, pairs: Pairs) -> np.ndarray:
    """OKS of each pair (Eq 28), [P]. A person without labelled keypoints is compared by its box, as COCO does.

    ValueError without sigmas: there is no OKS then, only PCK.
    """
    if truth.sigmas is None:
        raise ValueError("this keypoint set has no sigmas, so there is no OKS; use PCK")
    spread = (truth.sigmas * 2) ** 2
    area = truth.area + np.spacing(1)
    result = np.empty(len(pairs.pose))
    labelled = truth.keypoints[:, :, 2] > 0
    empty = np.logical_not(np.any(labelled, 1))
    counted = labelled | empty[:, None]
    for begin in range(0, len(result), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        person = pairs.person[part]
        delta = poses.points[pairs.pose[part]] - truth.keypoints[person, :, :2]
        boxed = empty[person]
        if boxed.any():
            delta[boxed] = _outside_double_box(poses.points[pairs.pose[part][boxed]], truth.boxes[person[boxed]])
        # The order of these operations is pycocotools', so that not even the last bit differs.
        exponent = (delta[:, :, 0] ** 2 + delta[:, :, 1] ** 2) / spread / area[person, None] / 2
        result[part] = _mean_of_counted(np.exp(-exponent), counted[person])
    return result


def _outside_double_box(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """How far points [P, K, 2] lie outside their boxes [P, 4] grown by one box on every side, [P, K, 2]."""
    low = (boxes[:, :2] - boxes[:, 2:])[:, None]
    high = (boxes[:, :2] + boxes[:, 2:] * 2)[:, None]
    return np.maximum(0, low - points) + np.maximum(0, points - high)


@njit(cache=True)
def _mean_of_counted(values, counted):  # type: ignore[no-untyped-def]
    """Row means over the counted entries; sums in numpy's pairwise order (blocks of eight) for bit-equal results."""
    rows, width = values.shape
    result = np.empty(rows)
    kept = np.empty(width)
    block = np.empty(8)
    for row in range(rows):
        n = 0
        for k in range(width):
            if counted[row, k]:
                kept[n] = values[row, k]
                n += 1
        total = 0.0
        first = 0
        if n >= 8:
            block[:] = kept[:8]
            first = n - n % 8
            for i in range(8, first):
                block[i % 8] += kept[i]
            total = ((block[0] + block[1]) + (block[2] + block[3])) + ((block[4] + block[5]) + (block[6] + block[7]))
        for i in range(first, n):
            total += kept[i]
        result[row] = total / n
    return result


def box_iou(boxes: np.ndarray, others: np.ndarray, crowd: np.ndarray | bool = False) -> np.ndarray:
    """IoU of boxes [P, 4] with others [P, 4] (x, y, w, h), row by row; with a crowd, the share of the box inside it."""
    low = np.maximum(boxes[:, :2], others[:, :2])
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], others[:, :2] + others[:, 2:])
    inside = np.maximum(high - low, 0)
    overlap = inside[:, 0] * inside[:, 1]
    own = boxes[:, 2] * boxes[:, 3]
    union = np.where(crowd, own, own + others[:, 2] * others[:, 3] - overlap)
    return np.where(overlap > 0, overlap / union, 0.0)
