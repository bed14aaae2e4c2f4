"""A teacher's file and card: mapped by name, refused in a line with the place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.records.keypoints import KeypointSet
from pipeline.records.tables import TableInfo, table_from
from pipeline.sources.teacher_card import Card, read_card
from pipeline.sources.teacher_files import read_predictions

CARD = Card(("left_eye", "nose"), "its own", "CC0")
TARGET = KeypointSet("mine", ("nose", "neck", "left_eye"), (), (), None, ())
RECORDS = [
    {"file_name": "b.jpg", "keypoints": [1.0, 2, 0.5, 3, 4, 0.25], "bbox": [0, 0, 9, 9]},
    {"image_id": 7, "keypoints": [5, 6, 1, 9, 8, 0]},
    {"file_name": "elsewhere.jpg", "keypoints": [0, 0, 0, 0, 0, 0]},
]


@pytest.fixture
def images() -> pa.Table:
    columns = {
        "image_id": ["s:7", "s:8"],
        "source": ["s", "s"],
        "file_name": ["a.jpg", "b.jpg"],
        "width": [10, 10],
        "height": [10, 10],
    }
    return table_from("images", columns, TableInfo("coco", {"s": "."}))


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_keypoints_are_mapped_by_name_and_pictures_by_name_or_id(tmp_path: Path, images: pa.Table, form: str):
    path = tmp_path / f"t.{form}"
    if form == "json":
        path.write_text(json.dumps(RECORDS))
    else:
        columns = {
            key: [record.get(key) for record in RECORDS] for key in ("file_name", "image_id", "keypoints", "bbox")
        }
        pq.write_table(pa.table(columns), path)
    found = read_predictions(path, CARD, images, TARGET)
    assert found.images.tolist() == [1, 0]
    assert found.points[0, [0, 2]].tolist() == [[3, 4], [1, 2]]
    assert np.isnan(found.points[:, 1]).all()
    assert found.scores.tolist() == [[0.25, 0, 0.5], [0, 0, 1]]
    assert found.boxes.tolist() == [[0, 0, 9, 9], [5, 6, 4, 2]]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ({}, "expected COCO keypoint results, a list of objects"),
        ([{"keypoints": []}], "record 0: needs a file_name or an image_id, got None and None"),
        (
            [{"file_name": "a.jpg", "keypoints": [1, 2]}],
            r"record 0: keypoints: expected 6 finite numbers, got \[1, 2\]",
        ),
        ([RECORDS[0] | {"keypoints": [1, 2, 3, 4, 5, "x"]}], "record 0: keypoints: expected 6 finite numbers"),
        ([RECORDS[0], RECORDS[0] | {"bbox": [0, 0, 0, 5]}], "record 1: bbox: expected x, y and a positive w, h"),
        ([RECORDS[2]], "none of its 1 records is on a picture of this source"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, images: pa.Table, records: Any, message: str):
    path = tmp_path / "t.json"
    path.write_text(json.dumps(records))
    with pytest.raises(ValueError, match=rf"t\.json: {message}"):
        read_predictions(path, CARD, images, TARGET)


def test_a_set_without_a_shared_name_is_refused(tmp_path: Path, images: pa.Table):
    other = KeypointSet("dog", ("tail",), (), (), None, ())
    with pytest.raises(ValueError, match=r"t\.json: its keypoints .* and those of 'dog' share no name"):
        read_predictions(tmp_path / "t.json", CARD, images, other)


def test_a_card(tmp_path: Path):
    path = tmp_path / "card.yaml"
    path.write_text("names: [left_eye, nose]\nscore: its own\nlicence: CC0\n")
    assert read_card(path) == CARD


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [a]\nscore: s\n", r"expected the keys names, score, licence, got \['names', 'score'\]"),
        ("names: [a, a]\nscore: s\nlicence: l\n", "names: expected the keypoints' names, each once"),
        ("names: [a]\nscore: 3\nlicence: l\n", "score: expected a text, got 3"),
        ("names: [", "not valid YAML"),
        ("3", "expected the keys names, score, licence, got int"),
    ],
)
def test_bad_cards_are_refused(tmp_path: Path, text: str, message: str):
    (tmp_path / "card.yaml").write_text(text)
    with pytest.raises(ValueError, match=rf"card\.yaml: {message}"):
        read_card(tmp_path / "card.yaml")
