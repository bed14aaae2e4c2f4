"""What labelling programs give back, with odd values anywhere: taken, or refused in a line with the file's name."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.cli import main
from pipeline.annotation import coco, label_studio
from pipeline.annotation.merging import Merge, corrections_file, matched, read_returned, summary, write_corrections
from pipeline.annotation.people import RECORD, Export, read_record, write_record
from pipeline.settings.profile import PROFILES
from tests.pipeline.annotation.test_loop import COCO, EXPORT, as_label_studio_exports
from tests.pipeline.odd import ODD, PLENTY, changed, places

CORRECTIONS = str(corrections_file("u"))


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Contents of all the files that a merge reads, by name."""
    monkeypatch.chdir(tmp_path)
    write_record(Path(), EXPORT)
    taken = [(sent, sent) for sent in EXPORT.people]
    write_corrections(Merge(pairs=taken), EXPORT, COCO, "back.json", "", confirmed=True)
    return {
        "back.json": coco.document(EXPORT.people, COCO),
        "label_studio.json": as_label_studio_exports(label_studio.tasks(EXPORT.people, COCO.names)),
        RECORD: json.loads(Path(RECORD).read_text()),
        CORRECTIONS: json.loads(Path(CORRECTIONS).read_text()),
    }


def merge(back: str) -> None:
    export: Export = read_record(Path())
    found = matched(export, read_returned(Path(back), export.names), Path(back))
    list(summary(found, COCO))
    write_corrections(found, export, COCO, back, "", confirmed=True)
    json.loads(Path(CORRECTIONS).read_text())


@pytest.mark.parametrize("name", ["back.json", "label_studio.json", RECORD, CORRECTIONS])
@settings(PLENTY, max_examples=20)
@given(data=st.data())
def test_any_value(whole: dict[str, Any], name: str, data: st.DataObject) -> None:
    content = whole[name]
    for place in data.draw(st.lists(st.sampled_from(places(content)), min_size=1, max_size=2)):
        with contextlib.suppress(LookupError, TypeError):
            content = changed(content, place, data.draw(ODD))
    for file, written in (whole | {name: content}).items():
        Path(file).write_text(json.dumps(written))
    problem = name
    try:
        merge(name if name == "label_studio.json" else "back.json")
    except ValueError as error:
        problem = str(error)
    assert any(file in problem for file in whole), problem


def test_a_source_elsewhere_is_refused(whole: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """An export's record names the file that corrections are written to."""
    content = whole[RECORD]
    for person in content["people"]:
        person["source"] = "outside"
    Path(RECORD).write_text(json.dumps(content))
    Path("params.yaml").write_text((PROFILES / "built-in.yaml").read_text())
    Path("back.json").write_text(json.dumps(whole["back.json"]))
    assert main(["annotate", "merge", "back.json", "--confirmed"]) == 2
    assert "people of the source 'outside' were exported" in capsys.readouterr().err
    assert not Path("corrections/outside.json").exists()
    for person in content["people"]:
        person["source"] = "../outside"
    Path(RECORD).write_text(json.dumps(content))
    assert main(["annotate", "merge", "back.json", "--confirmed"]) == 2
    assert "'../outside' is no name of a source" in capsys.readouterr().err
    assert not Path("outside.json").exists()
