from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pipeline.records.artefacts import file_hash, provenance, read_json, write_json, written


def test_a_file_appears_whole(tmp_path: Path):
    target = tmp_path / "deep" / "a.txt"
    with written(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert [p.name for p in target.parent.iterdir()] == ["a.txt"]


def test_a_failure_leaves_the_old_file(tmp_path: Path):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail() -> None:
        with written(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_takes_the_place_of_a_folder(tmp_path: Path):
    for content in ("one", "two"):
        with written(tmp_path / "model") as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
    assert [p.name for p in (tmp_path / "model").iterdir()] == ["two"]


def test_json(tmp_path: Path):
    write_json(tmp_path / "a.json", {"b": 1, "a": [1.5, None]})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": [\n    1.5,\n    null\n  ],\n  "b": 1\n}\n'
    assert read_json(tmp_path / "a.json") == {"a": [1.5, None], "b": 1}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "b.json", {"a": float("nan")})
    assert not (tmp_path / "b.json").exists()


def test_missing_and_broken_json(tmp_path: Path):
    with pytest.raises(ValueError, match=r"a\.json: no such file; the stage"):
        read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValueError, match=r"a\.json: not valid JSON"):
        read_json(tmp_path / "a.json")


def test_hashes_know_content_and_names(tmp_path: Path):
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "a").write_bytes(b"content")
    assert file_hash(tmp_path / "f" / "a") == hashlib.md5(b"content").hexdigest()
    before = file_hash(tmp_path / "f")
    (tmp_path / "f" / "a").rename(tmp_path / "f" / "b")
    renamed = file_hash(tmp_path / "f")
    (tmp_path / "f" / "b").write_bytes(b"other")
    assert len({before, renamed, file_hash(tmp_path / "f")}) == 3
    made_by = provenance({"x": 1}, [tmp_path / "f" / "b"])
    assert made_by == {"settings": {"x": 1}, "inputs": {str(tmp_path / "f" / "b"): file_hash(tmp_path / "f" / "b")}}
