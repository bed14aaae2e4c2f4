from __future__ import annotations

import numpy as np

from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.statistics import headline, statistics, statistics_figure
from pipeline.records.tables import TableInfo, table_from

COCO = load_keypoint_set("coco")


def source():
    """Four images; three people in the first (one a crowd, one without keypoints), one in the third."""
    info = TableInfo("coco", {"s": "images"})
    names = ["s:1", "s:2", "s:3", "s:4"]
    images = table_from(
        "images",
        {"image_id": names, "source": ["s"] * 4, "file_name": names, "width": [9] * 4, "height": [9] * 4},
        info,
    )
    keypoints = np.zeros((4, 17, 3), np.float32)
    keypoints[1, :2] = [[1, 1, 2], [2, 2, 1]]
    keypoints[3, 0] = [5, 5, 1]
    people = table_from(
        "instances",
        {
            "instance_id": ["s:a", "s:b", "s:c", "s:d"],
            "image_id": ["s:1", "s:1", "s:1", "s:3"],
            "source": ["s"] * 4,
            "file_name": ["x"] * 4,
            "kind": ["labelled"] * 4,
            "width": [9] * 4,
            "height": [9] * 4,
            "bbox": np.float32([[0, 0, 10, 10], [0, 0, 20, 80], [0, 0, 600, 600], [0, 0, 16, 16]]),
            "area": np.ones(4),
            "iscrowd": np.array([False, False, True, False]),
            "keypoints": keypoints.reshape(4, -1),
            "supervised": keypoints[:, :, 2] > 0,
        },
        info,
    )
    return images, people


def test_counts_by_hand():
    figures = statistics(*source())
    assert headline(figures) == {
        "images": 4,
        "people": 3,
        "people_with_keypoints": 2,
        "keypoints": 3,
        "crowds": 1,
        "mean_people_per_image": 0.75,
    }
    assert figures["keypoints_per_person"] == [1, 1, 1] + [0] * 15
    assert figures["people_per_image"] == [2, 1, 1]
    assert figures["by_keypoint"][0] == {"keypoint": "nose", "visible": 1, "occluded": 1, "unlabelled": 0}
    assert figures["by_keypoint"][1] == {"keypoint": "left_eye", "visible": 0, "occluded": 1, "unlabelled": 1}
    assert [row["keypoint"] for row in figures["by_keypoint"]] == list(COCO.names)
    sides = {row["from"]: row["people"] for row in figures["by_box_side"]}
    assert {side: people for side, people in sides.items() if people} == {0: 1, 16: 1, 32: 1}


def test_the_figure_is_the_same_bytes_again():
    figures = statistics(*source())
    picture = statistics_figure(figures)
    assert picture.startswith(b"<?xml")
    assert b"left_ankle" in picture
    assert statistics_figure(figures) == picture


def test_a_source_without_people():
    images, people = source()
    figures = statistics(images, people.slice(0, 0))
    assert figures["people_per_image"] == [4]
    assert figures["mean_people_per_image"] == 0
    assert statistics_figure(figures)
    nothing = statistics(images.slice(0, 0), people.slice(0, 0))
    assert nothing["people_per_image"] == []
    assert statistics_figure(nothing)
