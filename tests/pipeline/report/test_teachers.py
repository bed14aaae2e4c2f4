"""Teachers beside their student, and the warning where they know hardly more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline import layout
from pipeline.records.artefacts import write_json
from pipeline.report.blocks import Note, Table
from pipeline.report.context import Context
from pipeline.report.teachers import teachers
from pipeline.settings import OutsideTeacher, load_params
from pipeline.settings.profile import PROFILES


@pytest.mark.parametrize(("on_val", "warned"), [({}, True), ({"on val": {"ap": 0.47, "oks": 0.63}}, False)])
def test_a_teacher_that_is_hardly_better_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_val: dict[str, Any], warned: bool
):
    monkeypatch.chdir(tmp_path)
    built_in = load_params(PROFILES / "built-in.yaml")
    outside = OutsideTeacher(card="c.yaml", path="said", files={"train": "t.json"}, weight=1.0)
    context = Context(built_in.model_copy(update={"ask_teachers": {"they": outside}}))
    assert teachers(context) == [], "nothing has run"
    write_json(layout.figures("train_teachers", "lite0"), {"val_ap": 0.4, "val_oks": 0.6})
    write_json(layout.figures("fine_tune", "ACHU-CH"), {"val_ap": 0.41, "val_oks": 0.61})
    write_json(layout.figures("ask_teachers", "they"), {"ap": 0.45, "oks": 0.7, **on_val})
    table, *notes = teachers(context)
    assert isinstance(table, Table)
    assert [row[:2] for row in table.rows] == [
        ["teacher lite0", "40.0"], ["ACHU→CH", "41.0"], ["they, from outside", "47.0" if on_val else "45.0"]
    ]  # fmt: skip
    assert [isinstance(note, Note) for note in notes] == [True] * warned
