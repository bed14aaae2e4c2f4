"""Thresholds against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.detection.thresholds import counts_at, matched_threshold


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
