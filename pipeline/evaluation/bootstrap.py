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
Interval = tuple[float, float]
_AREAS = {"AP": "all", "AP_M": "medium", "AP_L": "large"}


def image_weights(images: int, resamples: int, seed: int = 0) -> np.ndarray:
    """[B, I] how often each resample draws each image."""
    drawn = np.random.default_rng(seed)
    return np.stack([np.bincount(drawn.integers(images, size=images), minlength=images) for _ in range(resamples)])


def resampled_ap(matches: Matches, weights: np.ndarray) -> np.ndarray:
    """AP of each resample, [B]: the first of the ten stats, in a third of their time."""
    precision, _ = _curves(matches, weights, "all")
    return np.asarray(precision.mean(1))


def resampled_stats(matches: Matches, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The ten stats of each resample, [B] each; NaN where a resample has nobody of that size."""
    half, three_quarters = (int(np.flatnonzero(matches.thresholds == t)[0]) for t in (0.5, 0.75))
    figures: dict[str, np.ndarray] = {}
    for name, area in _AREAS.items():
        precision, recall = _curves(matches, weights, area)
        figures |= {name: precision.mean(1), name.replace("AP", "AR"): recall.mean(1)}
        if area == "all":
            figures |= {"AP50": precision[:, half], "AP75": precision[:, three_quarters]}
            figures |= {"AR50": recall[:, half], "AR75": recall[:, three_quarters]}
    return {name: figures[name] for name in STATS}


def resampled_mean(values: np.ndarray, image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over people of `values` [N], on the images `image` [N], in each resample [B]; NaN where it draws nobody."""
    images = weights.shape[1]
    total = weights @ np.bincount(image, values, minlength=images)
    people = weights @ np.bincount(image, minlength=images)
    return np.divide(total, people, out=np.full(len(weights), np.nan), where=people > 0)


def intervals(matches: Matches, resamples: int, seed: int = 0) -> dict[str, Interval]:
    """95 % percentile interval of each stat that is defined."""
    samples = resampled_stats(matches, image_weights(matches.images, resamples, seed))
    found = {name: interval(values) for name, values in samples.items()}
    return {name: bounds for name, bounds in found.items() if bounds is not None}


def interval(samples: np.ndarray) -> Interval | None:
    """The middle 95 % of the finite samples; None where there is none."""
    finite = samples[np.isfinite(samples)]
    tail = 100 * (1 - LEVEL) / 2
    return (float(np.percentile(finite, tail)), float(np.percentile(finite, 100 - tail))) if len(finite) else None


def as_bounds(bounds: Interval | None) -> dict[str, float]:
    """An interval as the metrics have it; empty for None."""
    return {} if bounds is None else {"low": bounds[0], "high": bounds[1]}


def check_paired(first: Matches, second: Matches) -> None:
    """ValueError when two models were not measured on the same images and people: only then is a difference paired."""
    if first.images != second.images or not np.array_equal(first.person_image, second.person_image):
        raise ValueError("a paired difference needs both models on the same images and people")


def _curves(matches: Matches, weights: np.ndarray, area: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean interpolated precision and largest recall of each resample and threshold, [B, T] each."""
    a = matches.areas.index(area)
    order = np.argsort(-matches.score, kind="mergesort")
    outcome = np.where(matches.skipped[a], -1, matches.person[a] >= 0)[:, order].astype(np.int8)
    people = np.bincount(matches.person_image[matches.counts[a]], minlength=matches.images)
    precision, recall = _resample(weights, outcome, matches.pose_image[order], weights @ people, RECALLS)
    return precision, recall


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
