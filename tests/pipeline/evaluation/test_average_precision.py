import time
from dataclasses import replace

import numpy as np
import pytest

from pipeline.evaluation.average_precision import STATS, box_ap, summarise, ten_stats
from pipeline.evaluation.matching import match_poses
from pipeline.evaluation.people import Poses
from tests.pipeline.evaluation.generated import coco_of, coco_results, make_poses, make_truth, pycocotools_stats

NOBODY = Poses(np.zeros(0, np.int64), np.zeros((0, 17, 2)), np.zeros(0))


def same_as_pycocotools(truth, poses):
    expected = pycocotools_stats(coco_of(truth), coco_results(poses))
    assert list(ten_stats(truth, poses).values()) == expected  # equal, not close
    return expected


@pytest.mark.parametrize(
    ("seed", "images", "people", "poses", "options"),
    [
        (0, 40, 120, 300, {}),
        (1, 5, 200, 400, {"crowds": 0.3}),  # more than 20 poses an image
        (2, 300, 300, 500, {"unlabelled": 0.9}),
        (3, 30, 100, 200, {"whole_numbers": False}),
        (4, 1, 1, 1, {"unlabelled": 0, "crowds": 0}),
        (5, 10, 30, 0, {}),
        (6, 10, 0, 20, {}),
        (7, 20, 40, 90, {"unlabelled": 1.0}),  # nobody to be found: every stat undefined
    ],
)
@pytest.mark.parametrize("tied", [False, True])
def test_ten_stats_equal_pycocotools_to_the_last_digit(seed, images, people, poses, options, tied):
    truth = make_truth(seed, images, people, **options)
    same_as_pycocotools(truth, make_poses(seed, truth, poses, tied=tied) if poses else NOBODY)


def test_the_size_of_val2017_equals_pycocotools():
    truth = make_truth(11, 5000, 11_004, crowds=0.01, unlabelled=0.42)
    poses = make_poses(11, truth, 25_000, noise=0.03)
    stats = same_as_pycocotools(truth, poses)
    assert 0.2 < stats[0] < 0.9
    started = time.process_time()
    ten_stats(truth, poses)
    print(f"5,000 images, 11,004 people, 25,000 poses: {time.process_time() - started:.2f} s of processor time")


def test_the_truth_as_predictions_is_perfect():
    truth = make_truth(21, 50, 120, crowds=0)
    people = np.flatnonzero(~truth.ignored)
    stats = ten_stats(truth, Poses(truth.image[people], truth.keypoints[people, :, :2], np.ones(len(people))))
    assert stats == dict.fromkeys(STATS, 1.0)


def test_an_ignored_person_neither_counts_nor_hurts():
    truth = make_truth(22, 50, 120, crowds=0, unlabelled=0)
    poses = Poses(truth.image, truth.keypoints[:, :, :2], np.ones(len(truth)))
    some = truth.ignoring(np.arange(len(truth)) % 3 == 0)
    assert ten_stats(some, poses)["AP"] == 1.0
    assert match_poses(some, poses).counts[0].sum() == (np.arange(len(truth)) % 3 != 0).sum()


def test_a_pose_that_is_not_finite_is_refused_with_its_image():
    truth = make_truth(23, 4, 8)
    poses = make_poses(23, truth, 5)
    points = poses.points.copy()
    points[2, 3, 0] = np.nan
    with pytest.raises(ValueError, match=r"pose 2 on image 'set:.*is not finite"):
        ten_stats(truth, replace(poses, points=points))


def test_without_sigmas_there_is_no_ap():
    truth = replace(make_truth(24, 4, 8), sigmas=None)
    with pytest.raises(ValueError, match=r"no sigmas.*PCK"):
        ten_stats(truth, make_poses(24, truth, 5))


@pytest.mark.parametrize("seed", [31, 32, 33])
def test_box_ap_equals_pycocotools(seed):
    truth = make_truth(seed, 30, 150, crowds=0.1)
    rng = np.random.default_rng(seed)
    source = rng.integers(len(truth), size=400)
    boxes = truth.boxes[source] + rng.normal(size=(400, 4)) * truth.boxes[source][:, 2:].min(1, keepdims=True) * 0.1
    boxes[:, 2:] = np.maximum(boxes[:, 2:], 1)
    scores, image = rng.random(400), truth.image[source]
    results = [
        {"image_id": int(i), "category_id": 1, "bbox": box.tolist(), "score": float(s)}
        for i, box, s in zip(image, boxes, scores, strict=True)
    ]
    expected = pycocotools_stats(coco_of(truth), results, "bbox")[0]
    assert box_ap(truth, image, boxes, scores) == expected


def test_scores_that_tie_across_images_keep_the_images_order():
    truth = make_truth(41, 60, 150)
    poses = make_poses(41, truth, 300)
    same_as_pycocotools(truth, replace(poses, scores=np.full(300, 0.5)))
    shuffled = poses.select(np.random.default_rng(0).permutation(300))
    assert summarise(match_poses(truth, shuffled)) == summarise(match_poses(truth, poses))
