from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.records.tables import (
    TableInfo,
    concatenate,
    keypoint_set,
    labelled_people,
    read_table,
    schema,
    table_from,
    table_info,
    to_numpy,
    write_table,
)

BOX = [1, 2, 3, 4]
INFO = TableInfo("coco", {"a": "images/a"}, {"settings": {"x": 1}})


def columns(rows: int = 3, source: str = "a") -> dict[str, Any]:
    keypoints = np.arange(rows * 51, dtype=np.float32).reshape(rows, 17, 3)
    keypoints[:, :, 2] = 2
    return {
        "instance_id": [f"{source}:{i}" for i in range(rows)],
        "image_id": [f"{source}:0"] * rows,
        "source": [source] * rows,
        "file_name": ["0.jpg"] * rows,
        "kind": ["labelled"] * rows,
        "width": [640] * rows,
        "height": [480] * rows,
        "bbox": np.tile(np.float32([1, 2, 3, 4]), (rows, 1)),
        "area": np.full(rows, 12.0),
        "iscrowd": np.zeros(rows, bool),
        "keypoints": keypoints.reshape(rows, 51),
        "supervised": np.ones((rows, 17), bool),
    }


def damaged(path: Path, change: Any) -> Path:
    """A table file whose content was changed behind the reader's back."""
    write_table(path, table_from("instances", columns(), INFO))
    table = pq.read_table(path)
    pq.write_table(change(table), path)
    return path


def replaced(name: str, values: Any) -> Any:
    def change(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index(name)
        kind = table.schema.field(name).type
        return table.set_column(place, table.schema.field(name).with_nullable(True), pa.array(values, kind))

    return change


def test_what_is_written_is_read(tmp_path: Path):
    table = table_from("instances", columns(), INFO)
    write_table(tmp_path / "t.parquet", table)
    read = read_table(tmp_path / "t.parquet", "instances")
    assert read.to_pylist() == table.to_pylist()
    assert table_info(read) == INFO
    assert keypoint_set(read).name == "coco"
    assert read["score"].null_count == 3
    some = read_table(tmp_path / "t.parquet", "instances", ["instance_id", "bbox"])
    assert some.column_names == ["instance_id", "bbox"]
    assert list(tmp_path.iterdir()) == [tmp_path / "t.parquet"]


def test_the_same_table_gives_the_same_bytes(tmp_path: Path):
    for name in ("a", "b"):
        write_table(tmp_path / name, table_from("instances", columns(), INFO))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("name", ["images", "manifest", "instances", "detections", "poses", "masks", "quarantine"])
def test_empty_tables(tmp_path: Path, name: str):
    write_table(tmp_path / "t.parquet", table_from(name, {}, INFO))
    read = read_table(tmp_path / "t.parquet", name)
    assert read.num_rows == 0
    assert read.schema.equals(schema(name, 17))
    for column in read.column_names:
        assert len(to_numpy(read, column)) == 0


def test_empty_list_columns():
    assert table_from("instances", columns(0), INFO).num_rows == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            replaced("bbox", [BOX, [1, 2, float("nan"), 4], BOX]),
            "column 'bbox', row 1: .*finite x, y",
        ),
        (replaced("bbox", [BOX, BOX, [1, 2, 0, 4]]), "column 'bbox', row 2: .*positive w, h"),
        (replaced("bbox", [[1, 2, 3, 4], None, [1, 2, 3, 4]]), "column 'bbox', row 1: empty"),
        (replaced("keypoints", [[1, 1, 3] * 17] * 3), "column 'keypoints', row 0: .*visibility 0, 1 or 2"),
        (replaced("keypoints", [[1, float("inf"), 2] * 17] * 3), "column 'keypoints', row 0: .*finite numbers"),
        (replaced("instance_id", ["a:0", "a:1", "a:0"]), "column 'instance_id': 'a:0' stands more than once"),
        (lambda t: t.drop_columns("area"), "column 'area' is missing"),
        (lambda t: t.set_column(8, "area", t["area"].cast("float64")), "column 'area' is double, expected float"),
        (lambda t: t.replace_schema_metadata(None), "not a table of this pipeline"),
    ],
)
def test_reading_names_the_column_and_the_row(tmp_path: Path, change: Any, message: str):
    path = damaged(tmp_path / "t.parquet", change)
    with pytest.raises(ValueError, match=f"t.parquet: {message}"):
        read_table(path, "instances")


def test_a_row_beyond_the_first_group_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipeline.records.tables._ROWS", 4)
    table = table_from("instances", columns(11), INFO)
    boxes = to_numpy(table, "bbox").copy()
    boxes[9, 2] = -1
    wrong = replaced("bbox", boxes.tolist())(table)
    pq.write_table(wrong, tmp_path / "t.parquet", row_group_size=4)
    with pytest.raises(ValueError, match="column 'bbox', row 9"):
        read_table(tmp_path / "t.parquet", "instances")


def test_a_table_of_version_2_weighs_what_it_supervises_by_one(tmp_path: Path):
    supervised = np.arange(3 * 17).reshape(3, 17) % 3 == 0
    table = table_from("instances", columns() | {"supervised": supervised}, INFO)
    assert (to_numpy(table, "weight") == supervised).all(), "a table that says nothing of weights is the same"
    old = json.loads(table.schema.metadata[b"ccm"]) | {"version": 2}
    older = table.drop_columns(["weight"]).replace_schema_metadata({b"ccm": json.dumps(old)})
    pq.write_table(older, tmp_path / "old.parquet")
    read = read_table(tmp_path / "old.parquet", "instances")
    assert read.equals(table)
    some = read_table(tmp_path / "old.parquet", "instances", ["instance_id", "weight"])
    assert some.column_names == ["instance_id", "weight"]
    assert (to_numpy(some, "weight") == supervised).all()
    write_table(tmp_path / "new.parquet", read)
    assert read_table(tmp_path / "new.parquet", "instances").equals(table)


def test_a_weight_below_nothing_is_refused(tmp_path: Path):
    weight = np.ones((3, 17), np.float32)
    weight[1, 4] = -0.5
    write_table(tmp_path / "t.parquet", table_from("instances", columns() | {"weight": weight}, INFO))
    with pytest.raises(ValueError, match=r"column 'weight', row 1: .*; allowed: numbers of 0 or more"):
        read_table(tmp_path / "t.parquet", "instances")


def test_other_files_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="no such file; the stage that makes it has not run"):
        read_table(tmp_path / "none.parquet", "instances")
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(ValueError, match="not a readable Parquet file"):
        read_table(tmp_path / "text.parquet", "instances")
    write_table(tmp_path / "masks.parquet", table_from("masks", {}, INFO))
    with pytest.raises(ValueError, match="holds the table 'masks', expected 'instances'"):
        read_table(tmp_path / "masks.parquet", "instances")
    table = table_from("masks", {}, INFO)
    content = json.loads(table.schema.metadata[b"ccm"]) | {"version": 99}
    pq.write_table(table.replace_schema_metadata({b"ccm": json.dumps(content)}), tmp_path / "new.parquet")
    with pytest.raises(ValueError, match="schema version 99, this code reads"):
        read_table(tmp_path / "new.parquet", "masks")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("area"), "column 'area' is missing"),
        (lambda c: c.update(colour=[1, 2, 3]), "unknown column 'colour'; it has instance_id"),
        (lambda c: c.update(width=[1]), "column 'width' has 1 rows, the first has 3"),
        (lambda c: c.update(keypoints=np.zeros((3, 48))), r"column 'keypoints' is \(3, 48\), expected \[3, 51\]"),
    ],
)
def test_building_names_the_column(change: Any, message: str):
    content = columns()
    change(content)
    with pytest.raises(ValueError, match=message):
        table_from("instances", content, INFO)


def test_unknown_table():
    with pytest.raises(ValueError, match="no table 'people'; there are images"):
        schema("people", 17)


def test_lists_with_nulls_become_nan():
    scores = pa.array([[0.5] * 17, None, [1.0] * 17], pa.list_(pa.float32(), 17))
    table = table_from("instances", columns() | {"keypoint_scores": scores}, INFO)
    found = to_numpy(table, "keypoint_scores")
    assert found.shape == (3, 17)
    np.testing.assert_array_equal(np.isnan(found).all(1), [False, True, False])
    np.testing.assert_array_equal(found[[0, 2], 0], [0.5, 1.0])
    sliced = to_numpy(table.slice(1, 2), "keypoint_scores")
    np.testing.assert_array_equal(sliced[:, 0], [np.nan, 1.0])


def test_slices_and_filters_keep_their_rows():
    table = table_from("instances", columns(5), INFO)
    expected = to_numpy(table, "keypoints")
    np.testing.assert_array_equal(to_numpy(table.slice(2, 2), "keypoints"), expected[2:4])
    mask = np.array([True, False, False, True, True])
    np.testing.assert_array_equal(to_numpy(table.filter(pa.array(mask)), "keypoints"), expected[mask])


def test_tables_are_joined():
    one = table_from("instances", columns(2), INFO)
    two = table_from("instances", columns(3, "b"), TableInfo("coco", {"b": "images/b"}))
    joined = concatenate([one, two], {"made": "here"})
    assert joined.to_pylist() == one.to_pylist() + two.to_pylist()
    assert table_info(joined) == TableInfo("coco", {"a": "images/a", "b": "images/b"}, {"made": "here"})
    with pytest.raises(ValueError, match="source 'a' has two image roots"):
        concatenate([one, table_from("instances", columns(1), TableInfo("coco", {"a": "elsewhere"}))], {})
    with pytest.raises(ValueError, match="different keypoint sets"):
        concatenate([one, table_from("instances", {}, TableInfo("aic", {}))], {})


def test_labelled_people():
    content = columns(4)
    content["iscrowd"] = np.array([False, True, False, False])
    content["keypoints"][2, 2::3] = 0
    kept = labelled_people(table_from("instances", content, INFO))
    assert kept["instance_id"].to_pylist() == ["a:0", "a:3"]
