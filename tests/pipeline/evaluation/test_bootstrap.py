import numpy as np
import pytest

from pipeline.evaluation.average_precision import STATS, summarise
from pipeline.evaluation.bootstrap import (
    check_paired,
    image_weights,
    interval,
    intervals,
    resampled_ap,
    resampled_mean,
    resampled_stats,
)
from pipeline.evaluation.matching import match_poses
from pipeline.evaluation.people import Poses
from tests.pipeline.evaluation.generated import coco_of, coco_results, make_poses, make_truth, pycocotools_stats

TRUTH = make_truth(51, 25, 80)
POSES = make_poses(51, TRUTH, 160)


def test_every_image_once_gives_the_stats_themselves():
    matches = match_poses(TRUTH, POSES)
    figures = resampled_stats(matches, np.ones((1, len(TRUTH.images)), np.int64))
    assert list(figures) == list(STATS)
    for name, value in summarise(matches).items():
        assert figures[name][0] == pytest.approx(value, abs=1e-12)


def test_a_resample_equals_pycocotools_on_images_copied_that_often():
    weights = image_weights(len(TRUTH.images), 3, seed=5)
    figures = resampled_stats(match_poses(TRUTH, POSES), weights)
    for b, weight in enumerate(weights):
        copies = np.repeat(np.arange(len(TRUTH.images)), weight)
        people = [np.flatnonzero(TRUTH.image == image) for image in copies]
        poses = [np.flatnonzero(POSES.image == image) for image in copies]
        reference = coco_of(TRUTH).dataset
        annotations = [
            {**reference["annotations"][g], "image_id": new, "id": 0} for new, rows in enumerate(people) for g in rows
        ]
        for number, annotation in enumerate(annotations, start=1):
            annotation["id"] = number
        images = [{"id": new, "width": 640, "height": 480} for new in range(len(copies))]
        set_of_copies = coco_of(TRUTH)
        set_of_copies.dataset = {**reference, "images": images, "annotations": annotations}
        set_of_copies.createIndex()
        copied = Poses(
            np.repeat(np.arange(len(copies)), [len(rows) for rows in poses]),
            POSES.points[np.concatenate(poses)],
            POSES.scores[np.concatenate(poses)],
        )
        expected = pycocotools_stats(set_of_copies, coco_results(copied))
        assert [figures[name][b] for name in STATS] == pytest.approx(expected, abs=1e-12)


def test_ap_alone_is_the_first_of_the_stats():
    matches, weights = match_poses(TRUTH, POSES), image_weights(len(TRUTH.images), 20, seed=6)
    np.testing.assert_array_equal(resampled_ap(matches, weights), resampled_stats(matches, weights)["AP"])


def test_a_mean_over_people_counts_an_image_as_often_as_it_is_drawn():
    random = np.random.default_rng(7)
    image, values = np.sort(random.integers(12, size=40)), random.random(40)
    weights = image_weights(12, 5)
    for weight, found in zip(weights, resampled_mean(values, image, weights), strict=True):
        copies = [value for i in range(12) for _ in range(weight[i]) for value in values[image == i]]
        assert found == pytest.approx(np.mean(copies))
    assert np.isnan(resampled_mean(values[:1], np.array([3]), np.array([[1, 1, 1, 0]]))).all()
    assert interval(np.array([np.nan])) is None


def test_an_interval_holds_the_stat_and_narrows_with_more_images():
    small, large = make_truth(61, 40, 90, unlabelled=0), make_truth(61, 640, 1440, unlabelled=0)
    width = []
    for truth in (small, large):
        matches = match_poses(truth, make_poses(62, truth, 2 * len(truth)))
        low, high = intervals(matches, 300)["AP"]
        assert low < summarise(matches)["AP"] < high
        width.append(high - low)
    assert 2.5 < width[0] / width[1] < 7  # sixteen times the images: about a quarter


def test_a_paired_difference_is_narrower_than_two_intervals():
    truth = make_truth(71, 200, 500)
    first = make_poses(72, truth, 900)
    second = Poses(first.image, first.points + 0.5, first.scores)  # the same mistakes, half a pixel further off
    one, two = match_poses(truth, first), match_poses(truth, second)
    weights = image_weights(one.images, 300)
    low, high = interval(resampled_ap(two, weights) - resampled_ap(one, weights))
    apart = [intervals(matches, 300)["AP"] for matches in (one, two)]
    assert high - low < 0.5 * min(b - a for a, b in apart)
    assert high < 0, "half a pixel is worse, beyond chance"


def test_models_on_different_people_cannot_be_paired():
    other = make_truth(52, 25, 80)
    with pytest.raises(ValueError, match="same images and people"):
        check_paired(match_poses(TRUTH, POSES), match_poses(other, make_poses(52, other, 160)))
