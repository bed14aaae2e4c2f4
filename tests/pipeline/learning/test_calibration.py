"""Isotonic regression against its min-max form, probabilities against a population whose truth is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.learning.calibration import (
    cross_fitted,
    expected_calibration_error,
    fitted,
    isotonic,
    reliability,
    right_keypoints,
    surest,
)


@pytest.mark.parametrize("seed", range(5))
def test_the_isotonic_fit_is_the_min_max_of_means(seed: int):
    """Robertson et al. 1988: at place i, the largest over a <= i of the smallest over b >= i of the mean of a..b."""
    random = np.random.default_rng(seed)
    scores = np.sort(random.permutation(100)[:30] / 100)
    values, weights = random.random(30), random.uniform(0.1, 2, 30)
    expected = [
        max(min(np.average(values[a : b + 1], weights=weights[a : b + 1]) for b in range(i, 30)) for a in range(i + 1))
        for i in range(30)
    ]
    order = random.permutation(30)
    curve = isotonic(scores[order], values[order], weights[order])
    np.testing.assert_allclose(curve(scores), expected, atol=1e-12)


def test_equal_scores_have_one_value():
    curve = isotonic(np.array([0.2, 0.2, 0.6, 0.6]), np.array([0.0, 1.0, 1.0, 1.0]), np.array([3.0, 1.0, 1.0, 1.0]))
    assert curve(np.array([0.0, 0.2, 0.4, 0.9])).tolist() == [0.25, 0.25, 0.625, 1.0]


def population(people: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores [N, 4] of keypoints that are right with score squared, or its root for the last; some unlabelled."""
    random = np.random.default_rng(seed)
    scores = random.random((people, 4))
    chance = scores ** np.array([2, 2, 2, 0.5])
    right = (random.random((people, 4)) < chance).astype(float)
    right[random.random((people, 4)) < 0.2] = np.nan
    return scores, right


def test_probabilities_are_right_on_people_they_were_not_fitted_on():
    calibration = fitted(*population(1000, 0))
    scores, right = population(20_000, 1)
    error = expected_calibration_error(reliability(calibration(scores), right))
    assert error < 0.05
    assert expected_calibration_error(reliability(scores, right)) > 2 * error, "the score itself is no probability"
    for k, power in enumerate((2, 2, 2, 0.5)):
        assert np.abs(calibration(scores)[:, k] - scores[:, k] ** power).mean() < 0.1, "each keypoint has its own curve"


@pytest.mark.parametrize("target", [0.8, 0.9, 0.95])
def test_a_target_precision_is_met_on_others(target: float):
    calibration = fitted(*population(4000, 2))
    scores, right = population(4000, 3)
    kept = surest(calibration(scores), scores, target) & np.isfinite(right)
    assert right[kept].mean() == pytest.approx(target, abs=0.03)


@pytest.mark.parametrize("target", [0.8, 0.9])
def test_few_people_promise_no_more_than_they_keep(target: float):
    """The surest keypoints of 100 people are the lucky ones too; on others the promise holds in the mean of 12 fits."""
    reached = []
    for seed in range(12):
        calibration = fitted(*population(100, seed))
        scores, right = population(4000, 100 + seed)
        kept = surest(calibration(scores), scores, target) & np.isfinite(right)
        if kept.any():
            reached.append(right[kept].mean())
    assert len(reached) >= 6
    assert np.mean(reached) > target - 0.02


def test_many_scores_are_thinned_to_groups_of_one_weight():
    scores = np.random.default_rng(0).random(5000)
    curve = isotonic(scores, scores**2, np.ones(5000), 50)
    assert len(curve.scores) == 50
    np.testing.assert_allclose(curve(scores), scores**2, atol=0.03)


def test_the_surest_keypoints_by_hand():
    probability = np.array([[0.9, 0.5, 0.7], [0.7, 0.2, 1.0]])
    scores = np.array([[0.9, 0.5, 0.6], [0.8, 0.1, 1.0]])
    assert surest(probability, scores, 0.86).tolist() == [[True, False, False], [True, False, True]]
    assert not surest(probability - 0.5, scores, 0.6).any(), "no keypoint is that sure"
    assert surest(probability, scores, 0.1).all()


def test_few_people_lean_on_all_keypoints_together():
    """Three people say next to nothing of their keypoint's curve; a thousand say all."""
    scores, right = population(1000, 4)
    right[3:, 0] = np.nan
    right[:3, 0] = 0.0
    few = fitted(scores, right)
    assert few(np.full((1, 4), 0.95))[0, 0] > 0.5
    right[:, 0] = 0.0
    assert fitted(scores, right)(np.full((1, 4), 0.95))[0, 0] < 0.1


@pytest.mark.parametrize("others", [80, 2400])
def test_scores_that_occur_often_count_as_often_in_what_a_keypoint_leans_on(others: int):
    """A keypoint has ten that score 0.5, all right; another has many of that score, all wrong, and ten surer ones.

    Of the 25 people that stand for all, as many lie at 0.5 as of all do; 2,400 are more than the curve has places.
    """
    scores, right = np.full((others + 10, 2), 0.5), np.full((others + 10, 2), np.nan)
    right[:10, 0], right[:others, 1] = 1, 0
    scores[others:, 1], right[others:, 1] = np.linspace(0.8, 0.9, 10), 1
    leaning = 25 * (others + 10) / (others + 20)
    expected = (10 + leaning * 10 / (others + 10)) / (10 + leaning)
    assert fitted(scores, right).curves[0](np.array(0.5)) == pytest.approx(expected, abs=1e-3)


def test_cross_fitting_never_sees_the_person():
    """Noise has nothing to learn: a curve fitted on the same people would find them surer than they are."""
    random = np.random.default_rng(0)
    scores, right = random.random((60, 3)), (random.random((60, 3)) < 0.5).astype(float)
    inside, outside = fitted(scores, right)(scores), cross_fitted(scores, right)
    assert ((inside - right) ** 2).mean() < 0.25 < ((outside - right) ** 2).mean()


def test_right_is_within_oks_one_half():
    truth = np.array([[[10.0, 10, 2], [50, 50, 1], [0, 0, 0]]])
    sigmas, area = (0.05, 0.1, 0.1), np.array([10_000.0])
    reach = [np.sqrt(2 * np.log(2)) * 2 * sigma * 100 for sigma in sigmas]
    points = np.array([[[10 + reach[0] - 0.01, 10], [50, 50 + reach[1] + 0.01], [0, 0]]])
    right = right_keypoints(points, truth, area, sigmas)
    assert right[0, :2].tolist() == [1, 0]
    assert np.isnan(right[0, 2])


def test_reliability_counts_each_known_keypoint_once():
    probability = np.array([[0.05, 0.95, 1.0], [0.05, 0.5, 0.0]])
    right = np.array([[0.0, 1.0, 0.0], [1.0, np.nan, 0.0]])
    bins = reliability(probability, right)
    assert [each["count"] for each in bins] == [3, 2]
    assert [each["right"] for each in bins] == pytest.approx([1 / 3, 0.5])
    expected = (3 * abs(0.1 / 3 - 1 / 3) + 2 * abs(0.975 - 0.5)) / 5
    assert expected_calibration_error(bins) == pytest.approx(expected)
