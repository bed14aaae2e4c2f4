from dataclasses import replace

import numpy as np
import pytest

from pipeline.evaluation.average_precision import ten_stats
from pipeline.evaluation.boxed import own_oks, pck, shares_above
from pipeline.evaluation.people import Poses
from tests.pipeline.evaluation.generated import make_truth

TRUTH = make_truth(81, 30, 60, crowds=0, unlabelled=0)


@pytest.mark.parametrize("distance", [0.0, 0.5, 3.0, 20.0])
def test_a_known_shift_gives_the_oks_of_equation_28(distance):
    moved = TRUTH.keypoints[:, :, :2] + np.array([0.6, 0.8]) * distance
    sigma = 2 * TRUTH.sigmas  # Eq 28's sigma_i is twice COCO's published constant, a_p^2 the annotated area
    for g, value in enumerate(own_oks(TRUTH, moved)):
        seen = TRUTH.keypoints[g, :, 2] > 0
        expected = np.exp(-(distance**2) / (2 * TRUTH.area[g] * sigma[seen] ** 2)).mean()
        assert value == pytest.approx(expected, rel=1e-9)


def test_the_mean_share_above_the_thresholds_is_equation_26_of_27():
    oks = np.array([0.2, 0.5, 0.74, 0.96])
    expected = np.mean([np.mean([value > s for value in oks]) for s in np.linspace(0.5, 0.95, 10)])
    assert shares_above(oks).mean() == pytest.approx(expected)
    assert shares_above(np.ones(3)).tolist() == [1.0, 1.0, 1.0]


def test_with_equal_scores_and_one_pose_a_box_recall_is_the_mean_share():
    alone = replace(TRUTH, images=tuple(map(str, range(60))), image=np.arange(60))
    moved = alone.keypoints[:, :, :2] + 4.0
    stats = ten_stats(alone, Poses(alone.image, moved, np.ones(60)))
    assert shares_above(own_oks(alone, moved)).mean() == pytest.approx(stats["AR"])


def test_pck_counts_keypoints_within_a_fifth_of_the_box():
    longer = TRUTH.boxes[:, 2:].max(1)[:, None]
    points = TRUTH.keypoints[:, :, :2].copy()
    points[:, ::2, 0] += 0.19 * longer
    points[:, 1::2, 0] += 0.21 * longer
    figures = pck(TRUTH, Poses(TRUTH.image, points, np.ones(len(TRUTH))), TRUTH.boxes)
    labelled = TRUTH.keypoints[:, :, 2] > 0
    assert figures["PCK"] == pytest.approx(labelled[:, ::2].sum() / labelled.sum())
    assert (figures["PCK_nose"], figures["PCK_left_eye"]) == (1.0, 0.0)


def test_a_person_without_an_overlapping_pose_misses_all_keypoints():
    far = TRUTH.boxes + np.array([5000, 0, 0, 0])
    assert pck(TRUTH, Poses(TRUTH.image, TRUTH.keypoints[:, :, :2], np.ones(len(TRUTH))), far)["PCK"] == 0.0
