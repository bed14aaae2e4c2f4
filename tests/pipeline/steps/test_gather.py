"""The notes that stand for the tables of C and of the validation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import layout
from pipeline.progress import Progress
from pipeline.settings import Params, load_params
from pipeline.settings.profile import PROFILES
from pipeline.steps import gather


def notes(params: Params, *labelled: str) -> bytes:
    data = params.data.model_copy(update={"labelled": list(labelled)})
    gather.run(params.model_copy(update={"data": data}), Progress())
    return layout.gathered("labelled", "instances").read_bytes()


def test_a_note_changes_with_its_sources_tables_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = load_params(PROFILES / "built-in.yaml")
    for source in ("train", "val", "external"):
        for where in gather.TABLES.values():
            where(source).parent.mkdir(parents=True, exist_ok=True)
            where(source).write_text(source)
    alone, both = notes(params, "train"), notes(params, "train", "external")
    assert list(json.loads(alone)) == ["data/tables/train/instances.parquet"]
    layout.instances("external").write_text("changed")
    assert notes(params, "train") == alone
    assert notes(params, "train", "external") != both
