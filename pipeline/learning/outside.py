"""Teachers from outside: what somebody else's network says of the pictures, made fit to teach ours."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

_ENOUGH = 10  # labelled keypoints that an offset is measured on; below it is taken for none
_SAME = 0.3  # IoU of two boxes from which they show the same person


@dataclass(frozen=True)
class Predictions:
    """What a teacher says of a source's pictures, M people in the keypoints of the target set."""

    images: np.ndarray  # [M] int, row of the source's `images` table
    boxes: np.ndarray  # [M, 4] x, y, w, h in image pixels
    points: np.ndarray  # [M, K, 2] image pixels, NaN for keypoints that the teacher does not know
    scores: np.ndarray  # [M, K], 0 for those

    def of(self, chosen: np.ndarray) -> Predictions:
        """Some of the people, [M] bool."""
        return Predictions(self.images[chosen], self.boxes[chosen], self.points[chosen], self.scores[chosen])


@dataclass(frozen=True)
class Opinion:
    """What a teacher from outside says of the N people of a table: calibrated, in the target set's definitions."""

    identity: str  # its name and what it is made of
    weight: float  # in the ensemble, where a network of ours has 1
    points: np.ndarray  # [N, K, 2] image pixels, NaN for what it does not know
    scores: np.ndarray  # [N, K]

    def of(self, first: int, end: int) -> Opinion:
        """Of a range of the people."""
        return Opinion(self.identity, self.weight, self.points[first:end], self.scores[first:end])


def whose(boxes: np.ndarray, images: np.ndarray, predictions: Predictions) -> np.ndarray:
    """[N] the prediction of each person with a box [N, 4] in an image [N]: the best IoU from 0.3 on; -1 for none."""
    there = defaultdict(list)
    for number, image in enumerate(predictions.images.tolist()):
        there[image].append(number)
    found = np.full(len(boxes), -1)
    for person, image in enumerate(images.tolist()):
        if image in there:
            overlap = _overlaps(boxes[person], predictions.boxes[there[image]])
            if overlap.max() >= _SAME:
                found[person] = there[image][int(overlap.argmax())]
    return found


def _overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU [M] of a box [4] with others [M, 4]."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[:2] + box[2:], others[:, :2] + others[:, 2:])
    shared = (high - low).clip(0).prod(1)
    return np.asarray(shared / (box[2:].prod() + others[:, 2:].prod(1) - shared))


def offsets(points: np.ndarray, truth: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """[K, 2] how far off the labels a teacher's keypoints lie as a rule, as shares of the person's size.

    Another data set's hip is another place than ours. The median over the people of C, so that keypoints that are
    plainly wrong do not count; none where fewer than ten are labelled. `points` [N, K, 2] with NaN, `truth` [N, K, 3]
    (x, y, v), `sizes` [N], the root of each person's box.
    """
    known = (truth[:, :, 2] > 0) & np.isfinite(points).all(2)
    away = np.where(known[:, :, None], (points - truth[:, :, :2]) / sizes[:, None, None], np.nan)
    enough = known.sum(0) >= _ENOUGH
    result = np.zeros((points.shape[1], 2))
    result[enough] = np.nanmedian(away[:, enough], axis=0)
    return result


def agreed(
    points: np.ndarray, scores: np.ndarray, weights: np.ndarray, sigmas: np.ndarray, area: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each keypoint from the member of an ensemble that agrees most with all of them.

    Two members agree by the OKS of their keypoints; each has a say of its weight times its score. What is returned is
    the chosen member's point, and its score times its agreement with the others, 1 where there are none.

    Args:
        points: [M, N, K, 2] image pixels; NaN where a member does not know a keypoint.
        scores: [M, N, K].
        weights: [M] of the members.
        sigmas: [K] COCO's constants.
        area: [N] of the people, square pixels.

    Returns:
        points [N, K, 2], 0 where no member knows the keypoint, and scores [N, K].
    """
    known = np.isfinite(points).all(3)
    points = np.where(known[:, :, :, None], points, 0.0)
    say = np.where(known, weights[:, None, None] * scores.clip(0), 0.0)
    spread = 2 * np.maximum(area, 1.0)[:, None] * (2 * sigmas) ** 2
    support, others, heard = np.zeros_like(say), np.zeros_like(say), np.zeros_like(say)
    for i in range(len(points)):
        for j in range(len(points)):
            alike = np.exp(-((points[i] - points[j]) ** 2).sum(2) / spread)
            support[i] += say[j] * alike
            if i != j:
                others[i] += say[j] * alike
                heard[i] += say[j]
    agreement = np.where(heard > 0, others / np.maximum(heard, 1e-12), 1.0)
    best = np.where(known, support, -1.0).argmax(0)[None]
    point = np.take_along_axis(points, best[:, :, :, None], 0)[0]
    score = np.take_along_axis(np.where(known, agreement * scores.clip(0), 0.0), best, 0)[0]
    return point, score
