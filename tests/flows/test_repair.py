"""What a killed DVC leaves behind fails no later command: `ccm run` mends it, and says what it did."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from flows import repair
from flows.cli import main
from tests.flows.conftest import DVC, Workspace, wait_for

RWLOCKS = {
    "empty": "",
    "half": '{"write": {"/a": {"pid": 1',
    "another form": '{"write": {"/a": 3}}',
    "a list": "[]",
    "a number given out again": json.dumps({"write": {"/": {"pid": 1, "cmd": "dvc repro"}}, "read": {}}),
}


@pytest.fixture(scope="module")
def once_run(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A project whose stages have run."""
    made = Workspace(tmp_path_factory.mktemp("once")).track()
    made.ccm("run")
    return made


@pytest.fixture
def ran(once_run: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy of it, which is the current folder."""
    shutil.copytree(once_run.folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return Workspace(tmp_path)


def dvc(*arguments: str) -> int:
    return subprocess.run([*DVC, *arguments], capture_output=True).returncode


@pytest.mark.parametrize("content", RWLOCKS.values(), ids=RWLOCKS)
def test_a_damaged_rwlock_is_set_aside(ran: Workspace, content: str) -> None:
    repair.RWLOCK.write_text(content)
    assert dvc("repro") != 0
    (said,) = repair.repair()
    assert "rwlock: " in said
    assert "set aside as rwlock.set-aside-1" in said
    assert dvc("status") == 0


def test_a_run_mends_first(ran: Workspace) -> None:
    expected = ran.outputs()
    (ran.folder / "out/slow.txt").unlink()
    repair.RWLOCK.write_text("")
    assert "set aside as rwlock.set-aside-1" in ran.ccm("run")
    assert ran.outputs() == expected


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9])
def test_a_dvc_lock_that_was_cut_off_is_made_again(ran: Workspace, share: float) -> None:
    outputs, whole = ran.outputs(), repair.LOCK_FILE.read_bytes()
    assert len(outputs) == 3
    repair.LOCK_FILE.write_bytes(whole[: int(share * len(whole))])
    said = ran.ccm("run")
    assert "is cached - skipping run" in said  # nothing is computed twice
    assert repair.LOCK_FILE.read_bytes() == whole
    assert ran.outputs() == outputs


@pytest.mark.slow
def test_nothing_is_touched_while_dvc_is_at_work(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace.track()
    (workspace.folder / "slow.seconds").write_text("60")
    process = workspace.start_command([*DVC, "repro"])
    try:
        workspace.pids()
        path = workspace.folder / repair.RWLOCK
        path.write_text("{")
        said = workspace.ccm("run", code=2)
        assert f"DVC is at work in this folder (process {process.pid})" in said
        assert path.read_text() == "{"
        monkeypatch.chdir(workspace.folder)
        with pytest.raises(ValueError, match=str(process.pid)):
            repair.repair()
        process.terminate()
        process.wait()
        wait_for(lambda: not repair.workers())
        assert any("rwlock: damaged" in line for line in repair.repair())
    finally:
        process.kill()
        process.communicate()


def test_what_was_left_half_written_is_removed(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace.track()
    monkeypatch.chdir(workspace.folder)
    half = [Path("data/sets/.A.parquet.0123abcd.partial"), Path("models/final/.C-C.0123abcd.partial/card.json")]
    kept = [Path("data/sets/A.parquet"), Path("data/sets/mine.partial"), Path(".state/training/x/state.pt")]
    for path in (*half, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    assert len(repair.repair()) == 2
    assert not any(path.exists() for path in half)
    assert all(path.exists() for path in kept)
    assert repair.repair() == []


def test_doctor_mends_for_those_who_use_dvc_alone(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.track()
    monkeypatch.chdir(workspace.folder)
    repair.RWLOCK.parent.mkdir(parents=True, exist_ok=True)
    repair.RWLOCK.write_text("")
    assert main(["doctor", "--repair"]) == 0
    assert "set aside" in capsys.readouterr().out
    assert main(["doctor", "--repair"]) == 0
    assert capsys.readouterr().out == "nothing to mend\n"


def test_a_healthy_project_has_nothing_to_mend(ran: Workspace) -> None:
    assert "set aside" not in ran.ccm("run")
    assert repair.rwlock_problem() is None
    assert repair.lock_file_problem() is None
    assert main(["params"]) == 0
