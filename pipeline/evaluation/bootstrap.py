"""Confidence intervals by resampling the images with replacement, paired for differences between models.

A resample is a weight per image: an image drawn twice has its poses and people counted twice. So every resample
reuses the one table of matches, and two models that see the same weights are compared on the same images.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit

from pipeline.evaluation.average_precision import RECALLS, STATS
from pipeline.evaluation.cores import over_cores
from pipeline.evaluation.matching import Matches

LEVEL = 0.95
_LEAST_RESAMPLES = 16  # a thread's share
Interval = tuple[float, float]
_AREAS = {"AP": "all", "AP_M": "medium", "AP_L": "large"}


@lru_cache(maxsize=2)
def image_weights(images: int, resamples: int, seed: int = 0) -> np.ndarray:
    """[B, I] how often each resample draws each image; read-only, for all views of a set see the same."""
    drawn = np.random.default_rng(seed)
    weights = np.empty((resamples, images), np.int32)
    for weight in weights:
        weight[:] = np.bincount(drawn.integers(images, size=images), minlength=images)
    weights.flags.writeable = False
    return weights


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
    drawn, place = np.unique(image, return_inverse=True)
    weights = weights[:, drawn].astype(np.float64)
    total = weights @ np.bincount(place, values)
    people = weights @ np.bincount(place).astype(np.float64)
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
    order = np.argsort(-matches.score, kind="stable")
    outcome = np.where(matches.skipped[a], -1, matches.person[a] >= 0)[:, order].astype(np.int8)
    events = _events(outcome, matches.pose_image[order])
    people_on = np.bincount(matches.person_image[matches.counts[a]], minlength=matches.images)
    present = np.flatnonzero(people_on)
    people = weights[:, present] @ people_on[present]
    precision = np.full((len(weights), len(outcome)), np.nan)
    recall = np.full(precision.shape, np.nan)

    def part(first: int, last: int) -> None:
        span = slice(first, last)
        _resample(weights[span], people[span], RECALLS, events, precision[span], recall[span])

    over_cores(part, len(weights), least=_LEAST_RESAMPLES)
    return precision, recall


class _Events(NamedTuple):
    """What `_resample` needs to know of the poses at all thresholds.

    Most poses are wrong at every threshold, or skipped at every one. The others are the E events: `image` [E], and how
    many of the always wrong poses come `before` each [E]; `wrong` [W] are the images of those. Threshold t's events
    that are not skipped are `event[begin[t] : begin[t + 1]]`, and `right` says which of them are right.
    """

    image: np.ndarray
    before: np.ndarray
    wrong: np.ndarray
    begin: np.ndarray
    event: np.ndarray
    right: np.ndarray


def _events(outcome: np.ndarray, image: np.ndarray) -> _Events:
    """Events of `outcome` [T, D] (1 right, 0 wrong, -1 skipped; poses by falling score) on images `image` [D]."""
    wrong = (outcome == 0).all(0)
    chosen = np.flatnonzero(~wrong & (outcome >= 0).any(0))
    threshold, event = np.nonzero(outcome[:, chosen] >= 0)
    begin = np.searchsorted(threshold, np.arange(len(outcome) + 1))
    right = outcome[threshold, chosen[event]] == 1
    return _Events(image[chosen], np.cumsum(wrong)[chosen], image[wrong], begin, event, right)


@njit(cache=True, nogil=True)
def _resample(weights, people, recalls, events, precision, recall):  # type: ignore[no-untyped-def]
    """Fill mean interpolated precision and largest recall of each resample and threshold, [B, T] each."""
    weight, wrong = np.empty(len(events.image), np.int64), np.empty(len(events.image), np.int64)
    hits_at, precision_at = np.empty(len(events.image), np.int64), np.empty(len(events.image))
    needed = np.empty(len(recalls), np.int64)  # people to be found for each recall
    for b in range(len(weights)):
        if people[b] == 0:
            continue
        w, sum_wrong = 0, 0
        for e in range(len(events.image)):
            for i in range(w, events.before[e]):
                sum_wrong += weights[b, events.wrong[i]]
            w = events.before[e]
            weight[e], wrong[e] = weights[b, events.image[e]], sum_wrong
        found = 0
        for r in range(len(recalls)):
            while found / people[b] < recalls[r]:
                found += 1
            needed[r] = found
        for t in range(len(events.begin) - 1):
            hits, poses, steps = 0, 0, 0
            for n in range(events.begin[t], events.begin[t + 1]):
                e = events.event[n]
                poses += weight[e]
                if events.right[n] and weight[e] > 0:
                    hits += weight[e]
                    hits_at[steps], precision_at[steps] = hits, hits / (poses + wrong[e])
                    steps += 1
            # From the last step backwards: the best precision at this recall or a higher one.
            total, best, place = 0.0, 0.0, len(recalls) - 1
            for step in range(steps - 1, -1, -1):
                below = hits_at[step - 1] if step else -1
                while place >= 0 and needed[place] > hits_at[step]:
                    place -= 1
                best = max(best, precision_at[step])
                while place >= 0 and needed[place] > below:
                    total += best
                    place -= 1
            precision[b, t] = total / len(recalls)
            recall[b, t] = hits / people[b]
