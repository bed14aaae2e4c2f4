"""Box AP against what follows from its definition."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.detection.average_precision import box_figures, right_people
from pipeline.records.tables import TableInfo, read_table, table_from, to_numpy
from tests.pipeline.detection.conftest import IMAGES

NAMES = [f"train:{i}" for i in range(IMAGES)]


def test_the_annotations_themselves_are_perfect_and_crowds_do_not_count(workspace: object) -> None:
    people = read_table("data/tables/train/instances.parquet", "instances")
    boxes, ids = to_numpy(people, "bbox"), people["image_id"].to_pylist()
    figures = box_figures(NAMES, people, ids, boxes, np.linspace(1, 0.5, len(boxes)))
    assert [figures[name] for name in ("AP", "AP50", "AP75", "AR")] == [1.0] * 4
    assert "AP_L" not in figures  # nobody is that large
    # A detection in the crowd's region is neither right nor wrong.
    kept = ~to_numpy(people, "iscrowd")
    alone = box_figures(NAMES, people, list(np.asarray(ids)[kept]), boxes[kept], np.linspace(1, 0.5, kept.sum()))
    assert alone["AP"] == 1.0


def test_half_of_the_people_found_without_mistakes(workspace: object) -> None:
    people = read_table("data/tables/train/instances.parquet", "instances")
    crowd = to_numpy(people, "iscrowd")
    boxes, ids = to_numpy(people, "bbox")[~crowd], np.asarray(people["image_id"].to_pylist())[~crowd]
    half = len(boxes) // 2
    figures = box_figures(NAMES, people, ids[:half].tolist(), boxes[:half], np.ones(half))
    reached = np.linspace(0, 1, 101) <= half / len(boxes)  # precision is 1 up to that recall and 0 beyond
    assert figures["AP50"] == pytest.approx(reached.mean(), abs=1e-9)


def test_nothing_found_is_zero_and_nobody_annotated_is_nothing(workspace: object) -> None:
    people = read_table("data/tables/train/instances.parquet", "instances")
    none = np.zeros((0, 4))
    assert box_figures(NAMES, people, [], none, np.zeros(0))["AP"] == 0.0
    assert box_figures(NAMES, people.slice(0, 0), [], none, np.zeros(0)) == {}


def iou(one: np.ndarray, other: np.ndarray) -> float:
    sides = np.minimum(one[:2] + one[2:], other[:2] + other[2:]) - np.maximum(one[:2], other[:2])
    shared = max(sides[0], 0) * max(sides[1], 0)
    return float(shared / (one[2] * one[3] + other[2] * other[3] - shared))


def test_right_people_by_a_slow_loop() -> None:
    """Five people and 12 detections of as many places in each of 40 images; many people are found twice."""
    random = np.random.default_rng(0)
    images = [f"val:{i}" for i in range(40)]
    boxes = np.concatenate([random.uniform(0, 60, (200, 2)), random.uniform(15, 40, (200, 2))], 1).astype(np.float32)
    columns = {
        "instance_id": [f"p{i}" for i in range(200)], "image_id": np.repeat(images, 5), "source": ["val"] * 200,
        "file_name": ["a.jpg"] * 200, "kind": ["labelled"] * 200, "width": [100] * 200, "height": [100] * 200,
        "bbox": boxes, "area": boxes[:, 2] * boxes[:, 3], "iscrowd": np.zeros(200, bool),
        "keypoints": np.zeros((200, 51)), "supervised": np.ones((200, 17), bool),
    }  # fmt: skip
    people = table_from("instances", columns, TableInfo("coco", {"val": "images"}))
    where = random.integers(0, 40, 480)
    found = boxes[5 * where + random.integers(0, 5, 480)] + random.normal(0, 4, (480, 4)).astype(np.float32)
    scores = random.permutation(480).astype(np.float32) / 480
    expected, taken = np.zeros(480), set[int]()
    for row in np.argsort(-scores):
        free = [i for i in range(5 * where[row], 5 * where[row] + 5) if i not in taken]
        overlap = {i: iou(found[row].astype(float), boxes[i].astype(float)) for i in free}
        best = max(overlap, key=overlap.__getitem__, default=None)
        if best is not None and overlap[best] >= 0.5:
            expected[row] = 1
            taken.add(best)
    assert 100 < expected.sum() < 200
    right = right_people(images, people, [images[i] for i in where], found, scores)
    np.testing.assert_array_equal(right, expected)


def test_a_detection_in_a_crowd_is_neither_right_nor_wrong(workspace: object) -> None:
    people = read_table("data/tables/train/instances.parquet", "instances")
    boxes, ids, crowd = to_numpy(people, "bbox"), people["image_id"].to_pylist(), to_numpy(people, "iscrowd")
    right = right_people(NAMES, people, ids, boxes, np.linspace(1, 0.5, len(boxes)))
    assert crowd.any()
    np.testing.assert_array_equal(right, np.where(crowd, np.nan, 1.0))
    again = right_people(NAMES, people, ids + ids, np.tile(boxes, (2, 1)), np.linspace(1, 0.5, 2 * len(boxes)))
    np.testing.assert_array_equal(again[len(boxes) :], np.where(crowd, np.nan, 0.0), "found twice, right once")
