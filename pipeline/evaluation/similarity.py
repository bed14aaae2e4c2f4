"""How similar poses (OKS, Eq 28) and boxes (IoU) are, for every pair within an image, as pycocotools rounds it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from pipeline.evaluation.cores import over_cores
from pipeline.evaluation.people import Poses, Truth

_CHUNK = 4096  # pairs at a time: their terms fit a core's cache


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
    labelled = truth.keypoints[:, :, 2] > 0
    empty = np.logical_not(np.any(labelled, 1))
    counted = labelled | empty[:, None]
    count = counted.sum(1)
    result = np.empty(len(pairs.pose))

    def part(first: int, last: int) -> None:
        for begin in range(first, last, _CHUNK):
            pose, person = (
                pairs.pose[begin : min(begin + _CHUNK, last)],
                pairs.person[begin : min(begin + _CHUNK, last)],
            )
            terms = np.empty(int(count[person].sum()))
            _exponents(poses.points, truth.keypoints, truth.boxes, spread, area, counted, empty, pose, person, terms)
            # numpy's own exponential, as pycocotools calls it: another library's differs in the last bit.
            _means(np.exp(terms, out=terms), count, person, result[begin : begin + len(person)])

    over_cores(part, len(result), least=_CHUNK)
    return result


@njit(cache=True, nogil=True)
def _exponents(points, keypoints, boxes, spread, area, counted, empty, pose, person, terms):  # type: ignore[no-untyped-def]
    """Fill `terms` with the exponents of the counted keypoints of each pair, pair by pair.

    The order of these operations is pycocotools', so that not even the last bit differs.
    """
    n = 0
    for p in range(len(pose)):
        d, g = pose[p], person[p]
        for k in range(len(spread)):
            if not counted[g, k]:
                continue
            x, y = points[d, k, 0], points[d, k, 1]
            if empty[g]:  # how far the point lies outside the person's box grown by one box on every side
                left, top, wide, high = boxes[g, 0], boxes[g, 1], boxes[g, 2], boxes[g, 3]
                x = max(0.0, (left - wide) - x) + max(0.0, x - (left + wide * 2))
                y = max(0.0, (top - high) - y) + max(0.0, y - (top + high * 2))
            else:
                x, y = x - keypoints[g, k, 0], y - keypoints[g, k, 1]
            terms[n] = -((x * x + y * y) / spread[k] / area[g] / 2)
            n += 1


@njit(cache=True, nogil=True)
def _means(terms, count, person, result):  # type: ignore[no-untyped-def]
    """Mean of each pair's terms; sums in numpy's pairwise order (blocks of eight) for bit-equal results."""
    block = np.empty(8)
    begin = 0
    for p in range(len(person)):
        n = count[person[p]]
        end, total, first = begin + n, 0.0, begin
        if n >= 8:
            block[:] = terms[begin : begin + 8]
            first = end - n % 8
            for i in range(begin + 8, first):
                block[(i - begin) % 8] += terms[i]
            total = ((block[0] + block[1]) + (block[2] + block[3])) + ((block[4] + block[5]) + (block[6] + block[7]))
        for i in range(first, end):
            total += terms[i]
        result[p] = total / n
        begin = end


def box_iou(boxes: np.ndarray, others: np.ndarray, crowd: np.ndarray | bool = False) -> np.ndarray:
    """IoU of boxes [P, 4] with others [P, 4] (x, y, w, h), row by row; with a crowd, the share of the box inside it."""
    low = np.maximum(boxes[:, :2], others[:, :2])
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], others[:, :2] + others[:, 2:])
    inside = np.maximum(high - low, 0)
    overlap = inside[:, 0] * inside[:, 1]
    own = boxes[:, 2] * boxes[:, 3]
    union = np.where(crowd, own, own + others[:, 2] * others[:, 3] - overlap)
    return np.where(overlap > 0, overlap / union, 0.0)
