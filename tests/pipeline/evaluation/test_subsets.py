import numpy as np
import pytest

from pipeline.evaluation.measures import OwnPoses, partial_views
from pipeline.evaluation.people import Poses, natural_order
from pipeline.evaluation.subsets import OVERLAPS, max_iou, outside_overlap
from tests.pipeline.evaluation.generated import coco_of, coco_results, make_poses, make_truth, pycocotools_stats

TRUTH = make_truth(91, 20, 80, crowds=0)


def test_max_iou_equals_a_slow_loop():
    result = max_iou(TRUTH)
    for g, (x, y, w, h) in enumerate(TRUTH.boxes):
        best = 0.0
        for other in np.flatnonzero(TRUTH.image == TRUTH.image[g]):
            if other == g:
                continue
            a, b, c, d = TRUTH.boxes[other]
            inside = max(0, min(x + w, a + c) - max(x, a)) * max(0, min(y + h, b + d) - max(y, b))
            best = max(best, inside / (w * h + c * d - inside))
        assert result[g] == pytest.approx(best)


def test_the_ranges_share_out_the_people_from_a_half_on():
    overlap = max_iou(TRUTH)
    inside = [~outside_overlap(TRUTH, name) for name in OVERLAPS]
    assert (inside[0] ^ inside[1]).tolist() == (overlap >= 0.5).tolist()
    twins = make_truth(92, 1, 2, crowds=0)
    twins.boxes[1] = twins.boxes[0]
    assert outside_overlap(twins, "0.75-1").tolist() == [False, False]  # an overlap of exactly 1 is in


@pytest.mark.parametrize(("view", "visibility"), [("visible", 2), ("occluded", 1)])
def test_visible_and_occluded_truth_equal_pycocotools_on_edited_annotations(view, visibility):
    poses = make_poses(91, TRUTH, 200)
    reference = coco_of(TRUTH)
    for annotation in reference.dataset["annotations"]:
        triples = np.asarray(annotation["keypoints"]).reshape(-1, 3)
        triples[triples[:, 2] != visibility] = 0
        annotation["keypoints"] = triples.reshape(-1).tolist()
        annotation["num_keypoints"] = int((triples[:, 2] > 0).sum())
    expected = pycocotools_stats(reference, coco_results(poses))
    figures = partial_views(TRUTH, poses, None, 0)[view]
    assert [figures["AP"], figures["AR"]] == [expected[0], expected[5]]


def test_views_on_annotated_boxes_leave_out_the_poses_of_others():
    people = np.flatnonzero(~TRUTH.ignored)
    points = TRUTH.keypoints[people, :, :2].copy()
    odd = TRUTH.labelled[people] % 2 == 1
    points[odd] += 1e4  # people with an odd number of keypoints are all wrong
    everybody = np.full((len(TRUTH), 17, 2), np.inf)
    everybody[people] = points
    poses = Poses(TRUTH.image[people], points, np.ones(len(people)))
    views = partial_views(TRUTH, poses, OwnPoses(people, everybody), 0)
    for count, figures in views["labelled_keypoints"].items():
        assert figures["people"] == (TRUTH.labelled[people] == int(count)).sum()
        if figures["people"]:
            assert figures["AP"] == pytest.approx(0.0 if int(count) % 2 else 1.0)


def test_ids_are_ordered_as_numbers():
    assert natural_order(["val:10", "val:9", "a:1", "val:x"]) == ["a:1", "val:9", "val:10", "val:x"]
