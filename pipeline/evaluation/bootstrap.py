"""Confidence intervals by resampling the images with replacement, paired for differences between models.

A resample is a weight per image: an image drawn twice has its poses and people counted twice. So every resample
reuses the one table of matches, and two models that see the same weights are compared on the same images.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pipeline.evaluation.average_precision import RECALLS, STATS
from pipeline.evaluation.matching import Matches

LEVEL = 0.95
_CURVES = {"AP": "all", "AP_M": "medium", "AP_L": "large"}


def image_weights(images: int, resamples: int, seed: int = 0) -> np.ndarray:
    """[B, I] how often each resample draws each image."""
    drawn = np.random.default_rng(seed)
    return np.stack([np.bincount(drawn.integers(images, size=images), minlength=images) for _ in range(resamples)])


def resampled_stats(matches: Matches, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The ten stats of each resample, [B] each; NaN where a resample has nobody of that size."""
    half, three_quarters = (int(np.flatnonzero(matches.thresholds == t)[0]) for t in (0.5, 0.75))
    order = np.argsort(-matches.score, kind="mergesort")
    image = matches.pose_image[order]
    figures: dict[str, np.ndarray] = {}
    for name, area in _CURVES.items():
        a = matches.areas.index(area)
        outcome = np.where(matches.skipped[a], -1, matches.person[a] >= 0)[:, order].astype(np.int8)
        people = np.bincount(matches.person_image[matches.counts[a]], minlength=matches.images)
        precision, recall = _resample(weights, outcome, image, weights @ people, RECALLS)
        figures |= {name: precision.mean(1), name.replace("AP", "AR"): recall.mean(1)}
        if area == "all":
            figures |= {"AP50": precision[:, half], "AP75": precision[:, three_quarters]}
            figures |= {"AR50": recall[:, half], "AR75": recall[:, three_quarters]}
    return {name: figures[name] for name in STATS}


def intervals(matches: Matches, resamples: int, seed: int = 0) -> dict[str, tuple[float, float]]:
    """95 % percentile interval of each stat that is defined."""
    return _percentiles(resampled_stats(matches, image_weights(matches.images, resamples, seed)))


def difference_intervals(
    first: Matches, second: Matches, resamples: int, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """95 % interval of `second` minus `first`, each resample drawing the same images for both.

    ValueError when the two were not measured on the same images.
    """
    if first.images != second.images or not np.array_equal(first.person_image, second.person_image):
        raise ValueError("a paired difference needs both models on the same images and people")
    weights = image_weights(first.images, resamples, seed)
    one, two = resampled_stats(first, weights), resampled_stats(second, weights)
    return _percentiles({name: two[name] - one[name] for name in STATS})


def _percentiles(samples: dict[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    tail = 100 * (1 - LEVEL) / 2
    defined = {name: values[np.isfinite(values)] for name, values in samples.items()}
    return {
        name: (float(np.percentile(values, tail)), float(np.percentile(values, 100 - tail)))
        for name, values in defined.items()
        if len(values)
    }


@njit(cache=True)
def _resample(weights, outcome, image, people, recalls):  # type: ignore[no-untyped-def]
    """Mean interpolated precision and largest recall of each resample and threshold, [B, T] each.

    `outcome` [T, D]: 1 right, 0 wrong, -1 skipped, poses by falling score; `people` [B] to be found.
    """
    resamples, (thresholds, poses) = len(weights), outcome.shape
    precision = np.full((resamples, thresholds), np.nan)
    recall = np.full((resamples, thresholds), np.nan)
    hits_at, precision_at = np.empty(poses), np.empty(poses)
    for b in range(resamples):
        if people[b] == 0:
            continue
        for t in range(thresholds):
            hits, all_poses, steps = 0.0, 0.0, 0
            for d in range(poses):
                if outcome[t, d] < 0:
                    continue
                weight = weights[b, image[d]]
                all_poses += weight
                if outcome[t, d] == 1 and weight > 0:
                    hits += weight
                    hits_at[steps], precision_at[steps] = hits, hits / all_poses
                    steps += 1
            # From the last step backwards: the best precision at this recall or a higher one.
            total, best, place = 0.0, 0.0, len(recalls) - 1
            for step in range(steps - 1, -1, -1):
                below = hits_at[step - 1] if step else -1.0
                while place >= 0 and recalls[place] > hits_at[step] / people[b]:
                    place -= 1
                best = max(best, precision_at[step])
                while place >= 0 and recalls[place] > below / people[b]:
                    total += best
                    place -= 1
            precision[b, t] = total / len(recalls)
            recall[b, t] = hits / people[b]
    return precision, recall
