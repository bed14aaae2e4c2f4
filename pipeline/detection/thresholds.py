"""Score thresholds: the one that matches a number of people, and how much survives at any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def matched_threshold(scores: np.ndarray, images: int, people_per_image: float) -> float:
    """The score at which `images` images have `people_per_image` people each (section 4.2; the paper's 0.9924).

    `scores` [N] are those of all detections on the images. Of the scores that occur, it is the one at or above which
    the number of detections is closest to `people_per_image * images`, the higher of two that are as close. With fewer
    detections than people it is the lowest score, and 0 where there are none.
    """
    if not len(scores):
        return 0.0
    values, counts = np.unique(scores, return_counts=True)
    at_or_above = counts[::-1].cumsum()  # from the highest score down
    return float(values[::-1][np.abs(at_or_above - people_per_image * images).argmin()])


def precision_threshold(scores: np.ndarray, probability: np.ndarray, precision: float) -> float | None:
    """The lowest score at or above which a share of `precision` is right; None where not even the surest are.

    `scores` [N] are those of all detections, `probability` [N], which does not fall with the score, how likely each is
    right.
    """
    values, group, counts = np.unique(scores, return_inverse=True, return_counts=True)
    right = np.bincount(group, probability, len(values))[::-1].cumsum()  # at or above, from the highest score down
    enough = np.flatnonzero(right >= precision * counts[::-1].cumsum())
    return float(values[::-1][enough[-1]]) if len(enough) else None


def counts_at(scores: np.ndarray, thresholds: Sequence[float]) -> dict[str, int]:
    """How many of the scores [N] are at or above each threshold, by the threshold as it is written."""
    return {f"{threshold:g}": int((scores >= threshold).sum()) for threshold in thresholds}
