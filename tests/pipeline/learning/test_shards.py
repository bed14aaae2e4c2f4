from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline import layout
from pipeline.learning.shards import forget, joined, kept, shards_of
from pipeline.records.tables import TableInfo, table_from


def people(images: list[str], root: Path = Path("pictures")) -> pa.Table:
    rows = len(images)
    columns = {
        "detection_id": [f"d{i}" for i in range(rows)],
        "image_id": images,
        "source": ["unlabeled"] * rows,
        "file_name": [f"{name}.jpg" for name in images],
        "width": [100] * rows,
        "height": [100] * rows,
        "bbox": np.tile(np.float32([0, 0, 20, 80]), (rows, 1)),
        "score": np.linspace(0.99, 0.999, rows),
        "detector": ["d"] * rows,
    }
    return table_from("detections", columns, TableInfo("coco", {"unlabeled": str(root)}))


def test_shards_never_cut_an_image() -> None:
    table = people(["a", "a", "b", "c", "c", "c", "d"])
    assert shards_of(table, 2) == [(0, 3), (3, 7)]
    assert shards_of(table, 3) == [(0, 6), (6, 7)]
    assert shards_of(people([]), 2) == []


def test_a_shard_is_found_once_until_something_that_decides_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    for name in "ab":
        Path(f"pictures/{name}.jpg").write_bytes(b"x")
    table, calls = people(["a", "a", "b"]), []

    def find() -> dict[str, np.ndarray]:
        calls.append(1)
        return {"scores": np.arange(3.0)}

    first = kept("stage/item", table, ["model", 1], find)
    assert kept("stage/item", table, ["model", 1], find) == first
    assert len(calls) == 1
    assert kept("stage/item", table, ["model", 2], find) != first
    assert kept("stage/item", people(["a", "b"]), ["model", 1], find) != first
    os.utime("pictures/b.jpg", ns=(1, 1))  # the picture was replaced
    assert kept("stage/item", table, ["model", 1], find) != first
    assert len(calls) == 4
    forget("stage/item")
    assert not (layout.STATE / "stage/item").exists()


def test_a_picture_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"pictures/a.jpg: cannot be read"):
        kept("stage/item", people(["a"]), [], dict)


def test_shards_are_joined_in_order_and_none_make_no_row(tmp_path: Path) -> None:
    for number in range(2):
        np.savez(tmp_path / f"{number}.npz", points=np.full((2, 17, 2), float(number)))
    nothing = np.zeros((0, 17, 2))
    files = [tmp_path / "1.npz", tmp_path / "0.npz"]
    assert joined(files, points=nothing)["points"][:, 0, 0].tolist() == [1, 1, 0, 0]
    assert joined([], points=nothing)["points"].shape == (0, 17, 2)
