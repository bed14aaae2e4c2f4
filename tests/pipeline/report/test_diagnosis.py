"""Keypoint by keypoint: figures against slow statements of the same."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluation.errors import REASONS
from pipeline.report.diagnosis import Keypoints, ranked, reliability, table


def test_ranking_is_the_share_of_pairs_in_order() -> None:
    random = np.random.default_rng(0)
    score, near = random.integers(0, 6, 60) / 5, random.random(60) < 0.6
    pairs = [(r > w) + (r == w) / 2 for r in score[near] for w in score[~near]]
    assert ranked(score, near) == pytest.approx(np.mean(pairs))
    assert ranked(score, np.ones(60, bool)) is None


def test_scores_that_are_probabilities_lie_on_the_diagonal() -> None:
    """Of keypoints scored 0.8 four in five are near: no gap. Scored 0.9, they are off by 0.1."""
    near = np.tile([True, True, True, True, False], 40)
    score, share, gap = reliability(np.full(200, 0.8), near)
    assert (gap, score) == (pytest.approx(0), pytest.approx([0.8] * 10))
    assert share == pytest.approx([0.8] * 10)
    assert reliability(np.full(200, 0.9), near)[2] == pytest.approx(0.1)
    assert len(reliability(np.full(45, 0.9), near[:45])[0]) == 2  # no bin of a handful


def test_the_table_counts_labelled_keypoints_alone() -> None:
    nan = np.nan
    found = Keypoints(
        ("left_hip", "nose"),
        similarity=np.array([[0.9, nan], [0.6, nan], [0.1, nan], [0.9, nan]]),
        score=np.array([[0.8, nan], [0.6, nan], [0.7, nan], [0.9, nan]]),
        reason=np.array(
            [[REASONS.index(name), REASONS.index("unlabelled")] for name in ("good", "jitter", "swap", "good")]
        ),
    )
    made = table(found, "Boxes")
    assert [row[0] for row in made.rows] == ["l hip"]
    cells = dict(zip(made.header, made.rows[0], strict=True))
    assert (cells["labelled"], cells["similarity"], cells["good"], cells["swap"]) == ("4", "0.62", "50.0", "25.0")
    assert (cells["score if near"], cells["score if not"], cells["ranking"]) == ("0.77", "0.70", "0.67")
