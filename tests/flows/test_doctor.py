"""What `ccm doctor` sees of a project."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from flows.cli import main
from flows.doctor import facts
from pipeline.settings import load_params
from tests.pipeline.workspace import ROOT


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the built-in params in which nothing has run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    shutil.copyfile(ROOT / "dvc.yaml", tmp_path / "dvc.yaml")
    subprocess.run(["git", "init", "-q"], check=True)
    (tmp_path / ".dvc").mkdir()
    return tmp_path


def edit(project: Path, before: str, after: str) -> None:
    text = (project / "params.yaml").read_text()
    assert before in text
    (project / "params.yaml").write_text(text.replace(before, after))


def found(about: str) -> tuple[str, str]:
    fact = next(fact for fact in facts(load_params()) if fact.about == about)
    return fact.level, fact.text


def test_a_fresh_project_has_no_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--quick"]) == 0
    said = capsys.readouterr().out
    assert "data.sources.train: not rendered yet; the stage synthesize makes it" in said
    assert "error" not in said
    assert found("machine")[0] == "fine"


def test_what_is_not_there_is_an_error(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(project, "index: data/built-in/aic/", "index: elsewhere/aic/")
    edit(project, "unlabeled: models/detectors/person", "unlabeled: boxes.json")
    assert found("data.sources.external") == ("error", "elsewhere/aic/keypoint_train_annotations.json: not there")
    assert found("detect_people.sources.unlabeled") == ("error", "boxes.json: not there")
    (project / "boxes.json").write_text("[]")
    assert found("detect_people.sources.unlabeled") == ("fine", "boxes.json is there")
    assert main(["doctor", "--quick", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [fact["about"] for fact in report["facts"] if fact["level"] == "error"] == ["data.sources.external"]


def test_what_dvc_lacks_is_an_error(project: Path) -> None:
    stage = "{cmd: echo, outs: [{path: x, md5: abc}]}"
    (project / "dvc.lock").write_text(f"schema: '2.0'\nstages: {{a: {stage}, b: {stage}}}\n")
    assert found("DVC") == ("fine", "a repository; dvc.lock has the results of 2 stages")
    (project / "dvc.lock").write_text("stages: [")
    assert found("DVC")[0] == "error"
    shutil.rmtree(project / ".dvc")
    assert "dvc init" in found("DVC")[1]


def test_what_a_kill_has_left_is_mended(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--repair"]) == 0
    assert capsys.readouterr().out == "nothing to mend\n"
    (project / ".dvc/tmp").mkdir(parents=True, exist_ok=True)
    (project / ".dvc/tmp/rwlock").write_text("")  # as SIGKILL leaves it
    assert main(["doctor", "--repair"]) == 0
    assert ".dvc/tmp/rwlock" in capsys.readouterr().out
    assert not (project / ".dvc/tmp/rwlock").exists()
