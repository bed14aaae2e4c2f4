from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.sources import json_index
from pipeline.sources.json_index import JsonIndex, Raw

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FLOATS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def never(position: str, text: str) -> None:
    raise AssertionError(f"{position} refused: {text}")


def elements(file: JsonIndex, member: str, raw: str | None = None) -> list[Any]:
    return [element for batch in file.batches(member, never, raw) for element in batch]


@settings(max_examples=40, deadline=None)
@given(st.lists(VALUES, max_size=8), st.lists(VALUES, max_size=8), st.sampled_from([None, 1]), st.integers(1, 40))
def test_equals_the_standard_parser(tmp_path_factory: Any, one: list, two: list, indent: int | None, piece: int):
    path = tmp_path_factory.mktemp("json") / "a.json"
    content = {"one": one, 'odd "\\ {[': 3, "two": two}
    path.write_text(json.dumps(content, indent=indent, ensure_ascii=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_index, "_PIECE", piece)  # pieces that end within strings, escapes and numbers
        file = JsonIndex(path)
        assert elements(file, "one") == one
        assert elements(file, "two") == two
        assert file.value("two") == two
    path.write_text(json.dumps(one, indent=indent))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_index, "_PIECE", piece)
        assert elements(JsonIndex(path), "") == one


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"id": st.integers(0, 9), "note": st.text(), "outline": VALUES | st.lists(st.lists(st.integers(-99, 99)))}
        ),
        max_size=6,
    ),
    st.booleans(),
)
def test_raw_values_are_the_same_values(tmp_path_factory: Any, records: list[dict[str, Any]], last: bool):
    path = tmp_path_factory.mktemp("json") / "a.json"
    if last:
        records = [{"id": r["id"], "outline": r["outline"]} for r in records]
    path.write_text(json.dumps({"a": records}))
    found = elements(JsonIndex(path), "a", raw="outline")
    for record in found:
        if isinstance(record["outline"], Raw):
            record["outline"] = json.loads(record["outline"])
    assert found == records


def test_outlines_stay_text(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text('{"a": [{"outline": [[1, 2.5], [-3e2]] , "b": 1}, {"outline": {"counts": [1], "size": [2, 3]}}]}')
    one, two = elements(JsonIndex(path), "a", raw="outline")
    assert one == {"outline": b"[[1, 2.5], [-3e2]]", "b": 1}
    assert two["outline"] == {"counts": [1], "size": [2, 3]}


def test_a_broken_element_costs_itself_only(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text('{"a": [{"x": 1}, {"x": oops}, {"x": NaN}, {"x": 3}]}')
    refused = []
    (batch,) = JsonIndex(path).batches("a", lambda *told: refused.append(told))
    assert [element["x"] for element in batch if element["x"] == element["x"]] == [1, 3]
    assert len(batch) == 3
    assert refused == [("element 1", '{"x": oops}')]


def test_a_byte_order_mark_is_nothing(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf \n[1, 2]\n")
    assert elements(JsonIndex(path), "") == [1, 2]
