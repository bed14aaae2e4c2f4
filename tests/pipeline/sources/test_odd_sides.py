"""Left and right exchanged: of everybody, in some keypoints, in sets without a face; honest sets say nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.records.keypoints import KeypointSet, load_keypoint_set
from pipeline.settings import Source
from pipeline.sources import read_records
from pipeline.sources.oddities import oddities
from pipeline.sources.records import Images, People, Records
from tests.pipeline.sources.small import REAL, needs_real

# Down the middle and across, in pixels, of somebody who faces us: their left is on the right of the picture.
PLACES = {
    "nose": (0, 5), "eye": (3, 4), "ear": (5, 5), "shoulder": (8, 12), "elbow": (10, 20), "wrist": (11, 26),
    "hip": (6, 28), "knee": (6, 36), "ankle": (6, 44), "neck": (0, 10), "top_of_head": (0, 1),
}  # fmt: skip
JOINTS = ["eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"]


def standing(keypoints: KeypointSet, front: int, behind: int = 0) -> Records:
    """People who face us, and people who turn their back, a picture each; of these no face is visible."""
    points = np.zeros((front + behind, len(keypoints), 3), np.float32)
    for person in range(front + behind):
        for k, name in enumerate(keypoints.names):
            side, _, part = name.rpartition("_") if name.startswith(("left", "right")) else ("", "", name)
            across, down = PLACES[part]
            sign = {"left": 1, "right": -1, "": 0}[side] * (1 if person < front else -1)
            seen = 2 if person < front or part not in ("nose", "eye") else 0
            points[person, k] = (30 + sign * across, down, seen) if seen else (0, 0, 0)
    count = len(points)
    ids = [str(i) for i in range(count)]
    people = People(
        ids, ids, np.tile(np.array([[15, 0, 30, 47]], np.float32), (count, 1)), np.full(count, 700, np.float32),
        np.zeros(count, bool), points, None,
    )  # fmt: skip
    return Records(Images(ids, ids, [64] * count, [48] * count), people, None, 2 * count)  # type: ignore[arg-type]


def exchanged(records: Records, keypoints: KeypointSet, *parts: str) -> Records:
    """The same with left and right exchanged in the keypoints of these parts; of none: in all."""
    points = records.people.keypoints.copy()
    for left, right in keypoints.flip_pairs:
        if not parts or any(part in left for part in parts):
            i, j = keypoints.index(left), keypoints.index(right)
            points[:, [i, j]] = points[:, [j, i]]
    return replace(records, people=replace(records.people, keypoints=points))


@pytest.mark.parametrize("part", JOINTS)
def test_a_joint_exchanged_is_named_by_its_limbs(part: str):
    coco = load_keypoint_set("coco")
    records = standing(coco, front=5, behind=5)
    assert not oddities(records, coco)
    (found,) = oddities(exchanged(records, coco, part), coco)
    assert found.startswith("left and right look exchanged in some keypoints: on opposite sides of the body are left_")
    assert f"left_{part}" in found
    assert ("(in 5 of 5 people)" if part == "eye" else "(in 10 of 10 people)") in found


def test_everybody_exchanged():
    coco = load_keypoint_set("coco")
    (found,) = oddities(exchanged(standing(coco, front=3), coco), coco)
    assert found.startswith("left and right look exchanged: of 3 people who face the camera 3 have their left on")


def test_everybody_exchanged_where_no_face_is_labelled():
    """Two thirds face the camera in photographs; exchanged, one third would."""
    aic = load_keypoint_set("aic")
    records = standing(aic, front=40, behind=20)
    assert not oddities(records, aic)
    (found,) = oddities(exchanged(records, aic), aic)
    assert found.startswith("left and right look exchanged, or most people are seen from behind: 40 of 60 have")
    assert not oddities(standing(aic, front=10, behind=20), aic)  # of so few it means nothing


REAL_SOURCES = [
    ("coco", "coco", "coco/annotations/person_keypoints_train2017.json", "coco/train2017"),
    ("coco", "coco", "coco/annotations/person_keypoints_val2017.json", "coco/val2017"),
    ("coco", "lspe", "lspe/annotations/keypoints_train.json", "lspe/train"),
    ("coco", "lspe", "lspe/annotations/keypoints_val.json", "lspe/val"),
    ("aic", "aic", "aic/keypoint_train_annotations_20170902.json", "aic/images"),
]


@needs_real
@pytest.mark.parametrize(("format", "name", "index", "images"), REAL_SOURCES, ids=lambda value: Path(value).stem)
def test_real_sets_are_not_odd_and_their_faults_are(format: str, name: str, index: str, images: str):
    keypoints = load_keypoint_set(name)
    source = Source(format=format, index=f"{REAL}/{index}", images=f"{REAL}/{images}", keypoints=name)
    records = read_records(source)
    assert not oddities(records, keypoints)
    for parts in ((), ("shoulder",), ("elbow",), ("wrist",), ("hip",), ("knee",), ("ankle",), ("shoulder", "elbow")):
        (found,) = oddities(exchanged(records, keypoints, *parts), keypoints)
        assert found.startswith("left and right look exchanged")
    points = records.people.keypoints.copy()
    absent = int((points[:, :, 2] == 0).sum())
    points[:, :, 2] = 2
    zeros = replace(records, people=replace(records.people, keypoints=points))
    assert any(text.startswith(f"{absent} labelled keypoints lie at 0, 0") for text in oddities(zeros, keypoints))
