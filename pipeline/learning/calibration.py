"""From a teacher's score to the probability that its keypoint is right: fitted on people whose truth is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.settings import KeypointThreshold

RIGHT = 0.5  # OKS of a single keypoint from which it counts as right
FEWEST = 20  # people to calibrate scores on
TARGETS = (0.8, 0.9, 0.95)  # precisions whose cost the figures tell
_SHARED = 25.0  # people that the curve of all keypoints together stands for in the curve of each
_FOLDS = 5
_BINS = 10
_PLACES = 1000  # to which the scores that a curve is fitted to are thinned
_SURE = 20  # parts of equal size that the correction is fitted to: its highest holds a twentieth of all keypoints


@dataclass(frozen=True)
class Curve:
    """A function that never falls: linear between its points, level beyond them."""

    scores: np.ndarray  # [P], rising
    values: np.ndarray  # [P], not falling

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Its values at scores of any shape."""
        return np.interp(scores, self.scores, self.values)


def isotonic(scores: np.ndarray, values: np.ndarray, weights: np.ndarray, places: int = _PLACES) -> Curve:
    """The curve that fits values [N] at scores [N] best by weighted least squares, by pooling adjacent violators.

    Equal scores have one value (Barlow et al. 1972). Where there are more scores than `places`, neighbours are taken
    together first, as many groups of one weight. Without any points it is 0 everywhere.
    """
    if not len(scores):
        return Curve(np.zeros(1), np.zeros(1))
    place, group = np.unique(scores, return_inverse=True)
    weight = np.bincount(group, weights)
    mean = np.bincount(group, weights * values) / weight
    if len(place) > places:
        part = np.minimum(((np.cumsum(weight) - weight / 2) * places / weight.sum()).astype(int), places - 1)
        part = np.unique(part, return_inverse=True)[1]
        together = np.bincount(part, weight)
        place, mean = np.bincount(part, weight * place) / together, np.bincount(part, weight * mean) / together
        weight = together
    blocks: list[tuple[float, float, int]] = []  # mean, weight and number of places of each level part
    for level, heavy in zip(mean.tolist(), weight.tolist(), strict=True):
        count = 1
        while blocks and blocks[-1][0] >= level:
            before, weight_before, places_before = blocks.pop()
            level = (before * weight_before + level * heavy) / (weight_before + heavy)
            heavy, count = weight_before + heavy, places_before + count
        blocks.append((level, heavy, count))
    return Curve(place, np.repeat([block[0] for block in blocks], [block[2] for block in blocks]))


@dataclass(frozen=True)
class Calibration:
    """A curve for each keypoint, and one that corrects what they say.

    The highest parts of a fitted curve are high by luck too, and whoever keeps the surest keypoints keeps that luck:
    what a curve says of people that it was not fitted on is too high there, by how much `correction` knows.
    """

    curves: tuple[Curve, ...]
    correction: Curve

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """The probabilities [N, K] of being right that scores [N, K] mean."""
        return self.correction(_said(self.curves, scores))


def fitted(scores: np.ndarray, right: np.ndarray) -> Calibration:
    """From scores [N, K] to how often they are right; `right` [N, K] is 0 or 1, NaN where nobody knows."""
    known = np.isfinite(right)
    unseen = _of_others(scores, right, lambda s, r: lambda others: _said(_curves(s, r), others))
    correction = isotonic(unseen[known], right[known], np.ones(int(known.sum())), _SURE)
    return Calibration(_curves(scores, right), correction)


def cross_fitted(scores: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Probabilities [N, K] of people whom nothing was fitted on: five times four fifths for the last."""
    return _of_others(scores, right, fitted)


def _said(curves: Sequence[Curve], scores: np.ndarray) -> np.ndarray:
    return np.stack([curve(column) for curve, column in zip(curves, scores.T, strict=True)], 1)


def _of_others(
    scores: np.ndarray, right: np.ndarray, fit: Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]
) -> np.ndarray:
    """What a fit to four fifths of the people says of the last, for all [N, K]."""
    fold = np.random.default_rng(0).permutation(len(scores)) % _FOLDS
    said = np.zeros(scores.shape)
    for number in range(_FOLDS):
        said[fold == number] = fit(scores[fold != number], right[fold != number])(scores[fold == number])
    return said


def _curves(scores: np.ndarray, right: np.ndarray) -> tuple[Curve, ...]:
    """A curve of its own for each keypoint takes hundreds of people: each leans on that of all together.

    Which counts as much as 25 people, whose scores are spread as all are.
    """
    known = np.isfinite(right)
    together = isotonic(scores[known], right[known], np.ones(int(known.sum())))
    shared = _spread(scores[known])
    weight = np.full(len(shared), _SHARED / max(len(shared), 1))
    curves = []
    for k in range(scores.shape[1]):
        own = scores[known[:, k], k]
        values = np.concatenate([right[known[:, k], k], together(shared)])
        curves.append(isotonic(np.concatenate([own, shared]), values, np.concatenate([np.ones(len(own)), weight])))
    return tuple(curves)


def _spread(scores: np.ndarray, places: int = _PLACES) -> np.ndarray:
    """Scores [N], or as many of their quantiles as there are places: one that occurs often is there as often."""
    count = min(len(scores), places)
    return np.quantile(scores, (np.arange(count) + 0.5) / count, method="inverted_cdf") if count else scores


def surest(probability: np.ndarray, scores: np.ndarray, precision: float) -> np.ndarray:
    """Which keypoints to keep so that a share of `precision` of them is right: as many of the surest as that allows.

    `probability` [N, K]; of those that are equally likely the higher `scores` [N, K] go first. Returns bool [N, K].
    """
    order = np.lexsort((-scores.reshape(-1), -probability.reshape(-1)))
    expected = np.cumsum(probability.reshape(-1)[order]) / np.arange(1, len(order) + 1)
    count = int(np.flatnonzero(expected >= precision)[-1]) + 1 if (expected >= precision).any() else 0
    kept = np.zeros(len(order), bool)
    kept[order[:count]] = True
    return kept.reshape(probability.shape)


def precision_reached(
    probability: np.ndarray, scores: np.ndarray, right: np.ndarray, target: float
) -> dict[str, float | None]:
    """How many keypoints a target precision keeps, and how many of them are right; None where it keeps none."""
    known = np.isfinite(right)
    kept = surest(np.where(known, probability, 0), scores, target) & known
    share = float(kept.sum() / max(known.sum(), 1))
    return {"target": target, "kept": share, "right": float(right[kept].mean()) if kept.any() else None}


def chosen_keypoints(cut: KeypointThreshold, scores: np.ndarray, probability: np.ndarray | None) -> np.ndarray:
    """[N, K] which keypoints U has."""
    if cut.mode == "fixed" or not len(scores):
        return np.asarray(scores >= cut.value)
    if cut.mode == "quantile":
        return np.asarray(scores >= np.quantile(scores, cut.value, axis=0))
    assert probability is not None  # the settings say what is calibrated
    return surest(probability, scores, cut.value)


def reliability(probability: np.ndarray, right: np.ndarray) -> list[dict[str, Any]]:
    """By tenths of probability: how many keypoints, their mean probability, and the share that is right."""
    known = np.isfinite(right)
    said, was = probability[known], right[known]
    tenth = np.minimum((said * _BINS).astype(int), _BINS - 1)
    return [
        {"count": int(here.sum()), "probability": float(said[here].mean()), "right": float(was[here].mean())}
        for here in (tenth == number for number in range(_BINS))
        if here.any()
    ]


def outcome(probability: np.ndarray, scores: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """The share that is right, how far what is said is from what is so, and what target precisions come to."""
    bins = reliability(probability, right)
    return {
        "right": float(np.nanmean(right)) if np.isfinite(right).any() else 0.0,
        "calibration_error": expected_calibration_error(bins),
        "reliability": bins,
        "precision_reached": [precision_reached(probability, scores, right, target) for target in TARGETS],
    }


def expected_calibration_error(bins: Sequence[dict[str, Any]]) -> float:
    """Mean distance of what is said from what is so over the keypoints of `reliability`'s bins (Guo et al. 2017)."""
    total = sum(each["count"] for each in bins)
    return sum(each["count"] * abs(each["probability"] - each["right"]) for each in bins) / total if total else 0.0


def right_keypoints(points: np.ndarray, truth: np.ndarray, area: np.ndarray, sigmas: Sequence[float]) -> np.ndarray:
    """[N, K] 1 where a keypoint lies within OKS 0.5 of the truth, 0 where not, NaN where it is unlabelled.

    `points` [N, K, 2] and `truth` [N, K, 3] (x, y, v) in image pixels, `area` [N] of the people.
    """
    reach = -2 * np.log(RIGHT) * area[:, None] * (2 * np.asarray(sigmas)) ** 2
    near = ((points - truth[:, :, :2]) ** 2).sum(2) <= reach
    return np.where(truth[:, :, 2] > 0, near.astype(np.float64), np.nan)
