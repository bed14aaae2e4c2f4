"""Errors keypoint by keypoint, and scores against correctness."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluation.errors import REASONS, diagnose
from pipeline.evaluation.people import Poses
from pipeline.report.diagnosis import by_keypoint, reliability
from tests.pipeline.evaluation.generated import COCO_SET
from tests.pipeline.evaluation.test_errors import at_similarity, two_people


def test_a_keypoint_that_is_off_is_counted_at_its_own_place() -> None:
    """Two people found; the nose of one at a similarity of 0.6, an ankle of the other unlabelled."""
    truth = two_people()
    truth.keypoints[1, 16, 2] = 0
    points = truth.keypoints[:, :, :2].copy()
    points[0, 0, 1] -= at_similarity(0, 0.6)
    poses, scores = Poses(np.zeros(2, int), points, np.array([0.9, 0.8])), np.full((2, 17), 0.5)
    scores[0, 0] = 0.1
    found = by_keypoint(truth, poses, scores, diagnose(truth, poses, COCO_SET.mirror))
    assert found.labelled.tolist() == [2] * 16 + [1]
    assert found.similarity[0] == pytest.approx((0.6 + 1) / 2)
    np.testing.assert_allclose(found.similarity[1:], 1)
    assert found.reasons[0, REASONS.index("jitter")] == 1
    assert found.reasons[:, REASONS.index("good")].tolist() == [1] + [2] * 15 + [1]
    assert len(found.scores) == len(found.similarities) == 33
    assert found.scores[found.similarities < 0.7].tolist() == [0.1]


def test_what_a_score_is_worth() -> None:
    """Scores that are probabilities lie on the diagonal; every keypoint is in one bin."""
    random = np.random.default_rng(0)
    scores = random.random(100_000)
    x, y = reliability(scores, random.random(len(scores)) < scores)
    np.testing.assert_allclose(x, np.arange(0.05, 1, 0.1), atol=0.01)
    np.testing.assert_allclose(y, x, atol=0.02)
    x, y = reliability(np.array([0.9, 0.1, 0.5]), np.array([True, False, True]))
    assert (x.tolist(), y.tolist()) == ([0.1, 0.5, 0.9], [0, 1, 1])
