"""Text of others: refused in a line where it is none of ours, in the time and room of its length alone."""

from __future__ import annotations

import json
import os
import resource
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.records.keypoints import keypoint_set_from, load_keypoint_set
from pipeline.records.text import check_yaml, parse_json, printable, read_file
from pipeline.settings.reading import load_params, load_yaml

ALIASES = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
BOMBS = {
    "nested lists": "a: " + "[" * 100_000,
    "closed nested lists": "a: " + "[" * 100_000 + "]" * 100_000,
    "nested mappings": "{a: " * 100_000,
    "nested by indent": "\n".join("  " * depth + "a:" for depth in range(1500)),
    "aliases that multiply": ALIASES,
    "an alias within itself": "a: &a [*a]",
    "a long text": "a: " + "x" * 10_000_000,
    "no YAML": "a: [b",
    "an unknown alias": "a: *nothing",
    "a tag that runs code": "a: !!python/object/apply:os.system ['touch payload-ran']",
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_yaml_that_takes_more_room_than_its_length(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path, before = tmp_path / "params.yaml", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path.write_text(text)
    started = time.process_time()
    for read in (load_params, lambda path: load_keypoint_set(str(path))):
        with pytest.raises(ValueError, match=f"{path}: ") as refused:
            read(path)
        assert "\n" not in str(refused.value)
        assert len(str(refused.value)) < 1000
    assert time.process_time() - started < 60  # it took hours, or all memory
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000
    assert not Path("payload-ran").exists()


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_what_is_small_is_read(value: Any) -> None:
    text = yaml.safe_dump({"a": value})
    check_yaml(text, "here")


def test_aliases_count_as_often_as_they_stand() -> None:
    check_yaml("a: &a [1, 2, 3]\nb: [*a, *a]\n", "here")
    assert load_yaml("a: &a [1, 2, 3]\nb: [*a, *a]\n", "here")["b"] == [[1, 2, 3], [1, 2, 3]]


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["names", "flip_pairs", "limbs", "sigmas", "upper_body"])
        | st.none()
        | st.integers()
        | st.text(),
        VALUES | st.lists(st.text(max_size=3), max_size=3) | st.lists(st.lists(st.text(max_size=3)), max_size=3),
        max_size=6,
    )
)
def test_a_keypoint_set_is_read_or_refused_in_a_line(raw: dict[Any, Any]) -> None:
    problem = ""
    try:
        keypoints = keypoint_set_from(raw, "mine", "mine.yaml")
    except ValueError as error:
        problem = str(error)
    if problem:
        assert problem.startswith("mine.yaml: ")
        assert "\n" not in problem
    else:
        assert list(keypoints.names) == raw["names"]


@pytest.mark.parametrize(
    "content", [b"{", b"\xff\xfe", b"[" * 100_000, b"", b"[1, 2", b'{"a": NaN', "\u00e9".encode("latin-1")]
)
def test_a_broken_json_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path}: not") as refused:
        parse_json(read_file(path), path)
    assert "\n" not in str(refused.value)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "params.yaml")
    for read in (read_file, load_params, lambda path: load_keypoint_set(str(path))):
        with pytest.raises(ValueError, match=r"params\.yaml"):
            read(tmp_path / "params.yaml")


@given(st.text())
def test_nothing_that_is_shown_steers_a_terminal(text: str) -> None:
    shown = printable(text)
    assert all(character.isprintable() or character in "\n\t" for character in shown)
    assert shown == text or not text.isprintable()


def test_control_characters_are_written_out() -> None:
    assert printable("a\x1b[2Jb\x07\u202ec\x9b\u00fc") == "a\\x1b[2Jb\\x07\\u202ec\\x9b\u00fc"
    assert json.loads(json.dumps(printable("line\nline"))) == "line\nline"
