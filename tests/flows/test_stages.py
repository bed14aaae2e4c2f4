"""A stage's command without a server: what it writes, what it says, how it fails, how it ends."""

from __future__ import annotations

import signal
import sys
import threading

import pytest

from flows import lifetime
from tests.flows.conftest import Workspace, gone, wait_for


def test_stage_runs_without_a_server(workspace: Workspace) -> None:
    output = workspace.ccm("stage", "fake_quick", "a")
    assert output.count("no Prefect server is set") == 1
    assert "quick a" in output
    assert (workspace.folder / "out/quick-a.txt").read_text().startswith("a: ")


def test_a_server_that_does_not_answer_is_said_and_costs_nothing(workspace: Workspace) -> None:
    output = workspace.ccm("stage", "fake_quick", "a", api="http://127.0.0.1:9/api")
    assert "no Prefect server answers at http://127.0.0.1:9/api" in output
    assert (workspace.folder / "out/quick-a.txt").is_file()


def test_of_torchruns_processes_the_first_alone_is_seen(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    output = workspace.ccm("stage", "fake_quick", "a", api="http://127.0.0.1:9/api")
    assert "no Prefect server" not in output
    assert "quick a" not in output
    assert (workspace.folder / "out/quick-a.txt").is_file()


def test_prefect_is_imported_only_where_a_server_answers(workspace: Workspace) -> None:
    assert "imported  []" in workspace.ccm("stage", "fake_quick", "a")


def test_wrong_input_is_one_message_and_no_traceback(workspace: Workspace) -> None:
    output = workspace.ccm("stage", "fake_broken", "value", code=2)
    assert "ccm: data/absent.json: no such file" in output
    assert "Traceback" not in output


def test_a_bug_shows_its_traceback(workspace: Workspace) -> None:
    assert "RuntimeError: a bug" in workspace.ccm("stage", "fake_broken", "bug", code=1)


def test_unknown_stage_names_those_that_exist(workspace: Workspace) -> None:
    output = workspace.ccm("stage", "nosuch", code=2)
    assert "'nosuch'" in output
    assert "fake_quick" in output


def test_params_are_validated_before_any_stage_works(workspace: Workspace) -> None:
    path = workspace.folder / "params.yaml"
    path.write_text(path.read_text() + "\nnonsense: 1\n")
    assert "nonsense" in workspace.ccm("stage", "fake_quick", "a", code=2)
    assert not (workspace.folder / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_stage_and_its_children(workspace: Workspace, number: signal.Signals) -> None:
    (workspace.folder / "slow.seconds").write_text("120")
    process = workspace.start("stage", "fake_slow")
    pids = workspace.pids()
    process.send_signal(number)
    process.communicate(timeout=10)
    assert process.returncode == 128 + number
    assert gone(pids)


def test_a_stage_stops_when_dvc_is_gone(workspace: Workspace) -> None:
    (workspace.track().folder / "slow.seconds").write_text("120")
    process = workspace.start_command([sys.executable, "-m", "dvc", "repro"])
    pids = workspace.pids()
    process.kill()
    wait_for(lambda: gone(pids), 10)


def test_notices_come_once_in_a_repro(workspace: Workspace) -> None:
    process = workspace.track().start_command([sys.executable, "-m", "dvc", "repro"])
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 0, output
    assert output.count("no Prefect server is set") == 1


def test_whoever_ran_a_stage_is_watched_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later Ctrl-C is the caller's own: the guard once ended a process of tests that had run a stage."""
    monkeypatch.delenv("DVC_STAGE", raising=False)

    def guards() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "lifetime"]

    before = signal.getsignal(signal.SIGTERM)
    with lifetime.watched():
        assert len(guards()) == 1
    with pytest.raises(ValueError, match="wrong"), lifetime.watched():
        raise ValueError("wrong")
    assert not guards()
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.set_wakeup_fd(-1) == -1
