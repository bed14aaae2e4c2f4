"""Tables that are damaged, foreign or malicious: refused in one line that names the file, and nothing in them runs."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.records.tables import TableInfo, read_table, table_from, write_table

SHARED = [HealthCheck.function_scoped_fixture]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch payload-ran",)


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two detections."""
    monkeypatch.chdir(tmp_path)
    columns = {
        "detection_id": ["a:0", "a:1"],
        "image_id": ["a:0", "a:0"],
        "source": ["a", "a"],
        "file_name": ["0.jpg", "0.jpg"],
        "width": [40, 40],
        "height": [30, 30],
        "bbox": np.float32([[1, 2, 3, 4], [2, 3, 4, 5]]),
        "score": np.float32([0.9, 0.8]),
        "detector": ["d", "d"],
    }
    path = tmp_path / "detections.parquet"
    write_table(path, table_from("detections", columns, TableInfo("coco", {"a": "images"})))
    return path


def content_of(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(pq.read_schema(path).metadata[b"ccm"])
    return content


def with_metadata(path: Path, metadata: dict[bytes, bytes]) -> None:
    pq.write_table(pq.read_table(path).replace_schema_metadata(metadata), path.with_name("other.parquet"))


def read(path: Path) -> str:
    """What reading refuses, in one line with the file's name; empty where it reads."""
    try:
        read_table(path, "detections")
    except ValueError as error:
        assert str(error).startswith(f"{path}: "), error  # noqa: PT017 - either outcome is right
        assert "\n" not in str(error)  # noqa: PT017
        return str(error)
    return ""


@pytest.mark.parametrize("key", ["table", "version", "keypoints", "keypoint_set", "image_roots", "made_by"])
def test_metadata_without_a_key(whole: Path, key: str) -> None:
    content = content_of(whole)
    del content[key]
    with_metadata(whole, {b"ccm": json.dumps(content).encode()})
    assert f"metadata's {key}: missing" in read(whole.with_name("other.parquet"))


@settings(max_examples=80, deadline=None, suppress_health_check=SHARED)
@given(key=st.sampled_from(["table", "version", "keypoints", "keypoint_set", "image_roots", "made_by"]), value=VALUES)
def test_metadata_of_another_kind(whole: Path, key: str, value: Any) -> None:
    with_metadata(whole, {b"ccm": json.dumps(content_of(whole) | {key: value}).encode()})
    refused = read(whole.with_name("other.parquet"))
    assert refused or key in ("keypoints", "made_by")


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_metadata_that_are_no_mapping(whole: Path, raw: bytes) -> None:
    with_metadata(whole, {b"ccm": raw})
    assert "metadata are" in read(whole.with_name("other.parquet"))


@settings(max_examples=150, deadline=None, suppress_health_check=SHARED)
@given(st.data())
def test_damaged_bytes(whole: Path, data: st.DataObject) -> None:
    content = bytearray(whole.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    for _ in range(data.draw(st.integers(0, 5))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = whole.with_name("damaged.parquet")
    path.write_bytes(content)
    read(path)


def test_a_changed_byte_among_the_values(whole: Path) -> None:
    """Some of these point beyond a dictionary's end, which no check of the format notices."""
    content, refused = whole.read_bytes(), 0
    meta = pq.ParquetFile(whole).metadata.row_group(0)
    source = next(meta.column(i) for i in range(meta.num_columns) if meta.column(i).path_in_schema == "source")
    path = whole.with_name("damaged.parquet")
    for place in range(source.data_page_offset, source.dictionary_page_offset + source.total_compressed_size):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        refused += bool(read(path))
    assert refused


def test_pickles_in_metadata_are_not_run(whole: Path) -> None:
    """Of the table, of its columns, and as the extension type that pyarrow unpickled before version 14.0.1."""
    bad, table = pickle.dumps(Payload()), pq.read_table(whole)
    extension = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": bad}
    fields = [field.with_metadata(extension) for field in table.schema]
    metadata = {b"ccm": json.dumps(content_of(whole)).encode(), b"pandas": bad, b"payload": bad}
    path = whole.with_name("other.parquet")
    pq.write_table(table.cast(pa.schema(fields, metadata=metadata)), path)
    read(path)
    with_metadata(whole, {b"ccm": bad})
    assert read(path)
    assert not Path("payload-ran").exists()


@pytest.mark.parametrize("what", ["folder", "pipe", "text", "empty"])
def test_what_is_no_file_of_ours(whole: Path, what: str) -> None:
    path = whole.with_name(what)
    {
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "text": lambda: path.write_text("no table"),
        "empty": path.touch,
    }[what]()
    assert read(path)


def test_a_source_without_a_root_is_named(whole: Path) -> None:
    with_metadata(whole, {b"ccm": json.dumps(content_of(whole) | {"image_roots": {"b": "images"}}).encode()})
    assert "no image root of source 'a'" in read(whole.with_name("other.parquet"))
