from __future__ import annotations

import numpy as np

from pipeline.learning.data.augmentation import augmented, draws, half_body_boxes
from pipeline.records.keypoints import load_keypoint_set
from pipeline.settings import Augmentation
from postproc.coordinates import apply

COCO = load_keypoint_set("coco")


def _many(count: int, settings: Augmentation) -> tuple[np.ndarray, np.ndarray]:
    """Rotation in degrees and scale of samples of one square box."""
    boxes = np.tile(np.float32([10, 20, 100, 100]), (count, 1))
    keypoints, supervised = np.zeros((count, 17, 3), np.float32), np.zeros((count, 17), bool)
    random = draws(0, 0, np.arange(count))
    sample = augmented(
        boxes, keypoints, supervised, supervised.astype(np.float32), random, settings, COCO, (128, 128), 1.0
    )
    linear = sample.transforms[:, :, :2]
    return np.rad2deg(np.arctan2(linear[:, 1, 0], linear[:, 0, 0])), 1.28 / np.hypot(linear[:, 0, 0], linear[:, 1, 0])


def test_rotation_and_scale_are_those_of_the_released_code():
    settings = Augmentation(rotation=40.0, scale=0.3, flip=0.0, half_body=0.0, half_body_keypoints=8)
    rotation, scale = _many(20_000, settings)
    turned = np.abs(rotation) > 1e-6
    assert abs(turned.mean() - 0.6) < 0.01
    assert np.abs(rotation).max() <= 80 + 1e-6
    assert abs(np.mean(np.abs(rotation[turned]) < 40) - 0.6827) < 0.015  # one deviation of a normal distribution
    assert scale.min() >= 0.7 - 1e-9
    assert scale.max() <= 1.3 + 1e-9
    assert abs(np.mean(scale > 1.3 - 1e-9) - 0.1587) < 0.01  # what lies beyond a deviation is cut to it


def test_draws_belong_to_their_position():
    uniform, normal = draws(1, 2, np.arange(3000))
    picked = np.array([2999, 5, 1024, 1023])
    some = draws(1, 2, picked)
    np.testing.assert_array_equal(some[0], uniform[picked])
    np.testing.assert_array_equal(some[1], normal[picked])
    assert not np.array_equal(draws(1, 3, picked)[0], some[0])


def test_half_bodies_by_hand():
    keypoints = np.zeros((3, 17, 3))
    upper = [COCO.index(name) for name in ("nose", "left_shoulder", "right_shoulder", "left_elbow")]
    lower = [COCO.index(name) for name in ("left_hip", "right_hip", "left_knee", "right_knee")]
    keypoints[:2, upper] = [[50, 10, 2], [60, 30, 2], [40, 30, 2], [70, 50, 2]]
    keypoints[0, lower] = [[55, 60, 2], [45, 60, 2], [55, 90, 2], [45, 90, 2]]
    top, bottom = half_body_boxes(keypoints, COCO, 8)
    # Centre 55, 30 is the mean; the extent is 30 x 40.
    np.testing.assert_allclose(top[0], [55 - 14.5, 30 - 19.5, 30, 40])
    np.testing.assert_allclose(bottom[0], [50 - 4.5, 75 - 14.5, 10, 30])
    assert np.isnan(top[1]).all()  # four labelled keypoints, eight asked for
    assert np.isnan(top[2]).all()
    top, bottom = half_body_boxes(keypoints, COCO, 4)
    assert np.isfinite(top[1]).all()
    assert np.isnan(bottom[1]).all()


def test_half_bodies_show_their_half():
    settings = Augmentation(rotation=0.0, scale=0.0, flip=0.0, half_body=1.0, half_body_keypoints=8)
    random = np.random.default_rng(0)
    keypoints = np.concatenate([random.uniform(100, 200, (64, 17, 2)), np.full((64, 17, 1), 2.0)], 2)
    upper = np.isin(COCO.names, COCO.upper_body)
    keypoints[:, upper, 1] -= 100
    boxes = np.tile([90.0, 0, 120, 210], (64, 1))
    supervised = np.ones((64, 17), bool)
    random, weight = draws(0, 0, np.arange(64)), supervised.astype(np.float32)
    sample = augmented(boxes, keypoints, supervised, weight, random, settings, COCO, (128, 96), 1.25)
    all_upper = sample.present[:, upper].all(1)
    all_lower = sample.present[:, ~upper].all(1)
    assert (all_upper | all_lower).all()
    assert all_upper.any()
    assert all_lower.any()
    points = apply(sample.transforms, keypoints[:, :, :2])
    for shown, half in ((all_upper & ~all_lower, upper), (all_lower & ~all_upper, ~upper)):
        # The mean of the half is the centre of the crop, and the crop is 1.5 times the half's extent, grown to 4:3.
        np.testing.assert_allclose(points[shown][:, half].mean(1), np.tile([47.5, 63.5], (shown.sum(), 1)), atol=1e-9)
        extent = np.ptp(points[shown][:, half], 1)
        np.testing.assert_allclose(np.maximum(extent[:, 0] / 96, extent[:, 1] / 128), 1 / 1.5, atol=1e-9)
