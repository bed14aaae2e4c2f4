"""Boxes and keypoints that are well-formed, in another frame than is meant: found, and no honest set is accused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.records.keypoints import load_keypoint_set
from pipeline.settings import Source
from pipeline.sources import read_records
from pipeline.sources.oddities import oddities
from pipeline.sources.records import Records
from tests.pipeline.sources.small import REAL, coco_content, needs_real, write_coco

SOURCES = {
    "coco": ("coco", "coco/annotations/person_keypoints_train2017.json", "coco/train2017", "coco"),
    "lspe": ("coco", "lspe/annotations/keypoints_train.json", "lspe/train", "lspe"),
    "aic": ("aic", "aic/keypoint_train_annotations_20170902.json", "aic/images", "aic"),
}


def in_their_boxes(records: Records) -> Records:
    """The same people, with keypoints counted from the corner of their box."""
    people = records.people
    points = people.keypoints.copy()
    points[:, :, :2] -= people.boxes[:, None, :2]
    return replace(records, people=replace(people, keypoints=points))


def framed(records: Records, keypoints: str = "coco") -> bool:
    return any("counted from their boxes' corners" in text for text in oddities(records, load_keypoint_set(keypoints)))


@needs_real
@pytest.mark.parametrize("name", SOURCES)
def test_real_people(name: str) -> None:
    form, index, images, keypoints = SOURCES[name]
    records = read_records(Source(format=form, index=f"{REAL}/{index}", images=f"{REAL}/{images}", keypoints=keypoints))
    assert not framed(records, keypoints)
    assert framed(in_their_boxes(records), keypoints)


def test_people_anywhere_in_their_picture(tmp_path: Path) -> None:
    """Boxes of random places and sizes; corner boxes are still called corner boxes."""
    rng = np.random.default_rng(0)
    content = coco_content()
    for number in range(30):
        x, y, w, h = (float(v) for v in rng.uniform([5, 5, 8, 12], [30, 20, 30, 26]))
        points = rng.uniform([x, y], [x + w, y + h], (17, 2)).round(1)
        record = {**content["annotations"][0], "id": 100 + number, "bbox": [x, y, w, h]}
        content["annotations"].append(record | {"keypoints": [v for point in points for v in (*point, 2)]})
    del content["annotations"][:3]
    records = read_records(write_coco(tmp_path / "it", content))
    assert not framed(records)
    assert framed(in_their_boxes(records))
    corners = records.people.boxes.copy()
    corners[:, 2:] += corners[:, :2]
    told = oddities(replace(records, people=replace(records.people, boxes=corners)), load_keypoint_set("coco"))
    assert [text[:30] for text in told if "boxes" in text] == ["boxes look like x1, y1, x2, y2"]
