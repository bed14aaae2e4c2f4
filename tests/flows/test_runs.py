"""Stages and the whole graph as runs of a real Prefect server."""

from __future__ import annotations

import base64
import hashlib
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows import lifetime, server
from tests.flows.conftest import DVC, Workspace, ask, gone, wait_for

pytestmark = pytest.mark.slow


def runs(api: str, **wanted: Any) -> list[dict[str, Any]]:
    """Flow runs, the latest first."""
    return list(ask(api, "/flow_runs/filter", sort="START_TIME_DESC", flow_runs=wanted))


def latest(api: str, name: str) -> dict[str, Any]:
    return runs(api, name={"any_": [name]})[0]


def children(api: str, run: dict[str, Any]) -> dict[str, str]:
    """The subflow runs of a run: name and state."""
    found = runs(api, parent_flow_run_id={"any_": [run["id"]]})
    return {child["name"]: child["state_name"] for child in reversed(found)}


def artifacts(api: str, run: dict[str, Any]) -> dict[str, Any]:
    """The artifacts of a run by key."""
    found = ask(api, "/artifacts/filter", flow_runs={"id": {"any_": [run["id"]]}})
    return {artifact["key"]: artifact for artifact in found}


def outputs(workspace: Workspace) -> dict[str, str]:
    """Hashes of what the stages wrote."""
    return {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in (workspace.folder / "out").glob("*.txt")}


def test_a_stage_shows_tasks_progress_figures_and_a_picture(workspace: Workspace, api: str) -> None:
    workspace.ccm("stage", "fake_slow", api=api)
    run = latest(api, "fake_slow")
    assert run["state_name"] == "Completed"
    tasks = ask(api, "/task_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})
    assert {task["name"]: task["state_name"] for task in tasks} == {"work": "Completed"}
    shown = artifacts(api, run)
    assert shown["progress-samples"]["data"] == 100.0
    assert "20 of 20" in shown["progress-samples"]["description"]
    assert shown["gradient"]["type"] == "image"
    picture = base64.b64decode(shown["gradient"]["data"].removeprefix("data:image/png;base64,"))
    assert picture.startswith(b"\x89PNG")
    assert "samples" in str(shown["figures"]["data"])


def test_a_failed_stage_shows_why(workspace: Workspace, api: str) -> None:
    output = workspace.ccm("stage", "fake_broken", "value", api=api, code=2)
    assert "ccm: data/absent.json: no such file" in output
    assert "Traceback" not in output
    run = latest(api, "fake_broken@value")
    assert run["state_name"] == "Failed"
    assert "data/absent.json" in run["state"]["message"]


def test_the_graph_is_one_run_with_cached_stages_the_second_time(workspace: Workspace, api: str) -> None:
    workspace.track().ccm("run", api=api)
    first = latest(api, "all stages")
    stages = ["fake_quick@a", "fake_quick@ACHU->CH", "fake_slow"]
    assert children(api, first) == dict.fromkeys(stages, "Completed")
    workspace.ccm("run", "fake_slow", api=api)
    second = latest(api, "fake_slow")
    second = next(run for run in runs(api, name={"any_": ["fake_slow"]}) if run["parent_task_run_id"] is None)
    assert children(api, second) == {"fake_quick@a": "Cached", "fake_slow": "Cached"}
    assert artifacts(api, second)["progress-stages"]["data"] == 100.0


def test_run_and_bare_repro_make_the_same(tmp_path: Path, api: str) -> None:
    made = []
    for name, command in {"bare": [*DVC, "repro"], "viewed": None}.items():
        (tmp_path / name).mkdir()
        workspace = Workspace(tmp_path / name).track()
        if command:
            assert workspace.start_command(command).wait(120) == 0
        else:
            workspace.ccm("run", api=api)
        made.append(outputs(workspace))
    assert made[0] == made[1]
    assert len(made[0]) == 3


def test_settings_are_written_to_params_and_rerun_what_they_touch(workspace: Workspace, api: str) -> None:
    workspace.track().ccm("run", api=api)
    output = workspace.ccm("run", "-S", "train_joint.training.epochs=77", api=api)
    assert "train_joint.training.epochs: " in output
    assert "77 epochs" in (workspace.folder / "out/quick-a.txt").read_text()
    assert "epochs: 77" in (workspace.folder / "params.yaml").read_text()
    assert "out of range" not in workspace.ccm("run", "-S", "train_joint.training.epochs=0", api=api, code=2)
    assert "epochs: 77" in (workspace.folder / "params.yaml").read_text()


def test_a_failing_graph_shows_the_last_lines(workspace: Workspace, api: str) -> None:
    workspace.track()
    path = workspace.folder / "dvc.yaml"
    path.write_text(path.read_text().replace("stage fake_slow\n", "stage fake_broken value\n"))
    output = workspace.ccm("run", api=api, code=1)
    assert "data/absent.json" in output
    run = latest(api, "all stages")
    assert run["state_name"] == "Failed"
    assert "data/absent.json: no such file" in run["state"]["message"]
    assert children(api, run)["fake_broken@value"] == "Failed"


def test_cancel_in_the_ui_ends_all_and_leaves_no_lock(workspace: Workspace, api: str) -> None:
    (workspace.track().folder / "slow.seconds").write_text("120")
    process = workspace.start("run", api=api)
    pids = workspace.pids()
    run = latest(api, "all stages")
    ask(api, f"/flow_runs/{run['id']}/set_state", state={"type": "CANCELLING"})
    process.communicate(timeout=20)
    assert gone(pids)
    assert latest(api, "all stages")["state_name"] == "Cancelled"
    (workspace.folder / "slow.seconds").write_text("0.1")
    workspace.ccm("run", api=api)


@pytest.mark.parametrize(
    "stop",
    [
        lambda process: process.send_signal(signal.SIGINT),
        lambda process: process.send_signal(signal.SIGTERM),
        lambda process: process.kill(),
    ],
    ids=["SIGINT", "SIGTERM", "SIGKILL"],
)
def test_ending_run_ends_every_child(workspace: Workspace, api: str, stop: Callable[[Any], None]) -> None:
    (workspace.track().folder / "slow.seconds").write_text("120")
    process = workspace.start("run", api=api)
    pids = workspace.pids()
    stop(process)
    process.communicate(timeout=10)
    wait_for(lambda: gone(pids), 10)


def test_a_killed_stage_is_closed_at_the_next_start(workspace: Workspace, server_folder: Path, api: str) -> None:
    (workspace.folder / "slow.seconds").write_text("120")
    process = workspace.start("stage", "fake_slow", api=api)
    wait_for(lambda: latest(api, "fake_slow")["state_name"] == "Running")
    pids = workspace.pids()
    process.kill()
    process.communicate()
    lifetime.psutil.Process(pids[1]).kill()
    assert latest(api, "fake_slow")["state_name"] == "Running"
    assert "closed 1 runs" in Workspace.ccm(workspace, "ui", api=api)
    assert latest(api, "fake_slow")["state_name"] == "Crashed"


def test_a_server_that_dies_costs_only_the_view(workspace: Workspace, mortal_api: tuple[str, Path]) -> None:
    api, folder = mortal_api
    (workspace.folder / "slow.seconds").write_text("6")
    process = workspace.start("stage", "fake_slow", api=api)
    workspace.pids()
    started = time.monotonic()
    record = server.json.loads((folder / server.ADDRESS_FILE).read_text())
    lifetime.end_session(record["pid"], 0.0)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    assert "stopped answering" in output
    assert (workspace.folder / "out/slow.txt").is_file()
    print(
        f"from the server's death to the stage's end: {time.monotonic() - started:.1f} s of 6 s work", file=sys.stderr
    )
