"""Keypoint scores on detections that touch nobody."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline.evaluation.false_positives import false_positive_figures
from pipeline.evaluation.people import Truth
from pipeline.records.tables import TableInfo, table_from

BOXES = np.float32([[0, 0, 10, 10], [9, 9, 10, 10], [10, 10, 5, 5], [40, 0, 10, 10], [40, 0, 10, 10]])
IMAGES = ["v:1", "v:1", "v:1", "v:1", "v:2"]
BOX_SCORES = np.array([0.9, 0.2, 0.5, 0.4, 0.8])
SCORES = np.array([[0.9, 0.7], [0.6, 0.4], [0.3, 0.1], [0.2, 0.0], [0.5, 0.3]])  # of two keypoints


def truth(crowd: bool = False) -> Truth:
    """One person at 0..10 of image v:1, and one without keypoints at 40..50 of image v:2."""
    return Truth(
        images=("v:1", "v:2"),
        image=np.array([0, 1]),
        keypoints=np.zeros((2, 2, 3)),
        boxes=np.array([[0.0, 0, 10, 10], [40, 0, 10, 10]]),
        area=np.full(2, 100.0),
        crowd=np.array([False, crowd]),
        ignored=np.array([False, True]),
        row=np.arange(2),
        names=("nose", "neck"),
        sigmas=None,
    )


def detections(rows: list[int]) -> pa.Table:
    size = len(rows)
    columns = {
        "detection_id": [f"v:{i}" for i in range(size)],
        "image_id": [IMAGES[i] for i in rows],
        "source": ["v"] * size,
        "file_name": ["a.jpg"] * size,
        "width": [64] * size,
        "height": [48] * size,
        "bbox": BOXES[rows],
        "score": BOX_SCORES[rows].astype(np.float32),
        "detector": ["made-up"] * size,
    }
    return table_from("detections", columns, TableInfo("coco", {"v": "."}))


@pytest.mark.parametrize("crowd", [False, True])
def test_only_boxes_that_touch_nobody_at_all_count(crowd: bool) -> None:
    """A corner that meets a person's without shared area is none; crowds and people without keypoints count as people;
    a person of another image does not."""
    rows = [0, 1, 2, 3, 4]
    assert false_positive_figures(truth(crowd), detections(rows), BOX_SCORES, SCORES) == pytest.approx(
        {
            "false_positive_boxes": 2,  # the third and the fourth
            "false_positive_score": (0.3 + 0.1 + 0.2 + 0.0) / 4,
            "confident_false_positive_boxes": 1,
            "confident_false_positive_score": 0.2,
            "touching_box_score": (0.9 + 0.7 + 0.6 + 0.4 + 0.5 + 0.3) / 6,
        }
    )


def test_a_mean_over_no_box_is_left_out() -> None:
    assert false_positive_figures(truth(), detections([0]), BOX_SCORES[:1], SCORES[:1]) == pytest.approx(
        {"false_positive_boxes": 0, "confident_false_positive_boxes": 0, "touching_box_score": 0.8}
    )
