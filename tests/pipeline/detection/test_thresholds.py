"""Thresholds against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.detection.thresholds import counts_at, matched_threshold, precision_threshold


@pytest.mark.parametrize(
    ("people_per_image", "expected"),
    [(0.5, 0.9), (1.0, 0.8), (1.2, 0.8), (1.5, 0.8), (1.6, 0.5), (2.0, 0.5), (2.5, 0.2), (9.0, 0.2)],
)
def test_the_matched_threshold_leaves_that_many_people_an_image(people_per_image: float, expected: float) -> None:
    scores = np.array([0.2, 0.9, 0.5, 0.8, 0.5])  # on two images; 0.5 stands twice, so 3 people cannot be had
    assert matched_threshold(scores, 2, people_per_image) == expected


def test_the_matched_threshold_is_exact_in_single_precision() -> None:
    scores = np.random.default_rng(0).random(5000, np.float32)
    assert (scores >= matched_threshold(scores, 1000, 2.35)).sum() == 2350


def test_without_detections_everything_is_kept() -> None:
    assert matched_threshold(np.zeros(0, np.float32), 10, 2.0) == 0.0


def test_counts_include_the_threshold_itself() -> None:
    assert counts_at(np.array([0.5, 0.7, 0.9, 0.95]), [0.5, 0.7, 0.9924]) == {"0.5": 4, "0.7": 3, "0.9924": 0}


@pytest.mark.parametrize("precision", [0.3, 0.55, 0.8, 0.95])
def test_the_threshold_of_a_precision_is_the_lowest_that_has_it(precision: float) -> None:
    random = np.random.default_rng(0)
    scores = random.integers(0, 30, 500).astype(np.float32) / 30  # every score stands many times
    probability = np.sqrt(scores)
    fitting = [s for s in np.unique(scores) if probability[scores >= s].mean() >= precision]
    assert precision_threshold(scores, probability, precision) == fitting[0]


def test_a_precision_may_be_beyond_the_surest() -> None:
    scores = np.array([0.9, 0.9, 0.5])
    assert precision_threshold(scores, np.array([0.8, 0.8, 0.4]), 0.81) is None
    assert precision_threshold(scores, np.array([0.8, 0.8, 0.4]), 0.8) == 0.9
    assert precision_threshold(np.zeros(0), np.zeros(0), 0.5) is None
