"""Somebody else's keypoints: whose they are, how far their definitions lie off, and who agrees with whom."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.learning.outside import Predictions, agreed, offsets, whose


def test_a_prediction_goes_to_the_box_that_it_covers_best():
    predictions = Predictions(
        np.array([0, 0, 2]),
        np.array([[0.0, 0, 10, 10], [40, 0, 10, 10], [0, 0, 10, 10]]),
        np.zeros((3, 1, 2)),
        np.ones((3, 1)),
    )
    boxes = np.array([[42.0, 0, 10, 10], [1, 0, 10, 10], [0, 0, 10, 10], [20, 20, 5, 5], [0, 0, 4, 7]])
    images = np.array([0, 0, 1, 0, 2])
    assert whose(boxes, images, predictions).tolist() == [1, 0, -1, -1, -1], "28 of 100 pixels are not the same person"


def test_offsets_are_found_and_gross_errors_do_not_count():
    random = np.random.default_rng(0)
    truth = np.concatenate([random.uniform(0, 200, (200, 3, 2)), np.full((200, 3, 1), 2.0)], 2)
    truth[8:, 2, 2] = 0  # the third is labelled eight times only
    sizes = random.uniform(50, 150, 200)
    planted = np.array([[0.03, -0.02], [0.0, 0.05], [0.3, 0.3]])
    points = (
        truth[:, :, :2] + planted * sizes[:, None, None] + random.normal(0, 0.01, (200, 3, 2)) * sizes[:, None, None]
    )
    points[:30] += 500
    points[30:40] = np.nan
    found = offsets(points, truth, sizes)
    assert found[:2] == pytest.approx(planted[:2], abs=0.005)
    assert (found[2] == 0).all(), "eight say too little"


SIGMAS, AREA = np.full(2, 0.08), np.array([10_000.0])


def test_the_odd_one_out_is_outvoted():
    points = np.array([[[[10.0, 10], [50, 50]]], [[[12.0, 10], [50, 90]]], [[[90.0, 90], [51, 50]]]])
    scores = np.array([[[0.5, 0.6]], [[0.6, 0.9]], [[1.0, 0.5]]])
    point, score = agreed(points, scores, np.ones(3), SIGMAS, AREA)
    assert point[0, 0].tolist() in ([10, 10], [12, 10]), "the surest of the three stands alone"
    assert point[0, 1].tolist() == [50, 50]
    alike = np.exp(-1 / (2 * 10_000 * 0.16**2))
    far = np.exp(-(40**2) / (2 * 10_000 * 0.16**2))
    assert score[0, 1] == pytest.approx(0.6 * (0.9 * far + 0.5 * alike) / 1.4)


def test_one_member_says_what_it_says():
    points, scores = np.random.default_rng(0).random((1, 3, 2, 2)), np.random.default_rng(1).random((1, 3, 2))
    point, score = agreed(points, scores, np.ones(1), SIGMAS, np.full(3, 100.0))
    assert (point == points[0]).all()
    assert (score == scores[0]).all()


def test_a_weight_decides_between_two():
    points, scores = np.array([[[[0.0, 0], [0, 0]]], [[[30.0, 0], [0, 0]]]]), np.full((2, 1, 2), 0.5)
    assert agreed(points, scores, np.array([1.0, 3.0]), SIGMAS, AREA)[0][0, 0].tolist() == [30, 0]
    assert agreed(points, scores, np.array([3.0, 1.0]), SIGMAS, AREA)[0][0, 0].tolist() == [0, 0]


def test_who_does_not_know_a_keypoint_has_no_say():
    points = np.array([[[[10.0, 10], [np.nan, np.nan]]], [[[np.nan, np.nan], [np.nan, np.nan]]]])
    point, score = agreed(points, np.full((2, 1, 2), 0.7), np.ones(2), SIGMAS, AREA)
    assert point[0].tolist() == [[10, 10], [0, 0]]
    assert score[0].tolist() == [pytest.approx(0.7), 0]
