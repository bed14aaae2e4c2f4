"""Detections files of any content: a table, or one line that names the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.predict.boxes import read_boxes
from pipeline.records.tables import TableInfo, table_from
from pipeline.sources.detections import read_detections

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NUMBERS = st.integers(-(10**20), 10**20) | st.floats(width=32)
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "image_id": st.sampled_from([0, "0", 1.0]) | ANY,
        "file_name": st.just("a.jpg") | ANY,
        "category_id": st.just(1) | ANY,
        "bbox": st.lists(NUMBERS, min_size=4, max_size=4) | ANY,
        "score": NUMBERS | ANY,
    },
)
CONTENTS = st.lists(RECORDS, min_size=1, max_size=4) | ANY


def images() -> pa.Table:
    columns = {
        "image_id": ["s:0", "s:1"], "source": ["s", "s"], "file_name": ["a.jpg", "b.jpg"],
        "width": [40, 40], "height": [30, 30],
    }  # fmt: skip
    return table_from("images", columns, TableInfo("coco", {"s": "images"}))


READERS = {"table": lambda path: read_detections(path, images()), "predict": read_boxes}


def outcome(read: Any, path: Path) -> str:
    """Empty for a result, else the refusal."""
    try:
        read(path)
    except ValueError as error:
        return str(error) or "?"
    return ""


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=CONTENTS)
@example(content=[{"image_id": 0, "bbox": [[1, 2], [3, 4], [5, 6], [7, 8]], "score": 1.0}])
@example(content=[{"image_id": [0], "bbox": [1, 2, 3, 4], "score": 1.0}])
@example(content=[{"image_id": 0, "bbox": [1, 2, 3, 4], "score": [1.0]}])
@example(content=[{"image_id": 0, "bbox": [1, 2, 3, 4], "score": 1.0, "category_id": [[1]]}])
@example(content={"images": [{"id": [1], "file_name": 3}], "annotations": [{"image_id": [1], "bbox": [1, 2, 3, 4]}]})
def test_any_content_is_read_or_refused_in_a_line(tmp_path: Path, read: Any, content: Any) -> None:
    path = tmp_path / "detections.json"
    path.write_text(json.dumps(content))
    refused = outcome(read, path)
    assert not refused or str(path) in refused
    assert "\n" not in refused


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=80))
@example(content=b"[" * 100_000)
@example(content=b'[{"image_id": 0, "bbox": ' + b"[" * 5000)
def test_any_bytes_are_refused_in_a_line(tmp_path: Path, read: Any, content: bytes) -> None:
    path = tmp_path / "detections.json"
    path.write_bytes(content)
    refused = outcome(read, path)
    assert not refused or str(path) in refused
    assert "\n" not in refused
