"""Stages and the whole graph as runs of a real Prefect server."""

from __future__ import annotations

import base64
import json
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
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


def test_the_graph_is_one_run_and_makes_what_bare_repro_makes(workspace: Workspace, tmp_path: Path, api: str) -> None:
    workspace.track().ccm("run", api=api)
    stages = ["fake_quick@a", "fake_quick@ACHU-CH", "fake_slow"]
    assert children(api, latest(api, "all stages")) == dict.fromkeys(stages, "Completed")

    output = workspace.ccm("run", "-S", "train_joint.epochs=77", "fake_quick@a", "fake_slow", api=api)
    assert "train_joint.epochs: " in output
    run = latest(api, "fake_quick@a fake_slow train_joint.epochs=77")
    assert children(api, run) == {"fake_quick@a": "Completed", "fake_slow": "Cached"}
    assert artifacts(api, run)["progress-stages"]["data"] == 100.0
    assert "77 epochs" in (workspace.folder / "out/quick-a.txt").read_text()
    assert workspace.ccm("run", "-S", "train_joint.epochs=0", api=api, code=2).startswith("ccm: params.yaml")

    (tmp_path / "bare").mkdir()
    bare = Workspace(tmp_path / "bare").track()
    shutil.copy(workspace.folder / "params.yaml", bare.folder)
    assert bare.start_command([*DVC, "repro"]).wait(120) == 0
    workspace.ccm("run", "fake_quick")
    assert bare.outputs() == workspace.outputs()
    assert len(bare.outputs()) == 3


def test_a_failing_graph_shows_the_last_lines(workspace: Workspace, api: str) -> None:
    path = workspace.track().folder / "dvc.yaml"
    path.write_text(path.read_text().replace("stage fake_slow\n", "stage fake_broken value\n"))
    output = workspace.ccm("run", "fake_slow", api=api, code=1)
    assert "ccm: data/absent.json: no such file" in output
    assert "Traceback" not in output
    run = next(run for run in runs(api, name={"any_": ["fake_slow"]}) if run["parent_task_run_id"] is None)
    assert run["state_name"] == "Failed"
    assert "data/absent.json: no such file" in run["state"]["message"]
    assert children(api, run) == {"fake_broken@value": "Failed"}


def test_cancel_in_the_ui_ends_all_and_leaves_no_lock(workspace: Workspace, api: str) -> None:
    (workspace.track().folder / "slow.seconds").write_text("120")
    process = workspace.start("run", "-S", "report.seed=1", "fake_slow", api=api)
    pids = workspace.pids()
    name = "fake_slow report.seed=1"
    ask(api, f"/flow_runs/{latest(api, name)['id']}/set_state", state={"type": "CANCELLING"})
    process.communicate(timeout=30)
    assert gone(pids)
    assert latest(api, name)["state_name"] == "Cancelled"
    (workspace.folder / "slow.seconds").write_text("0.1")
    workspace.ccm("run", "fake_slow")


@pytest.mark.parametrize(
    "stop",
    [
        lambda process: process.send_signal(signal.SIGINT),
        lambda process: process.send_signal(signal.SIGTERM),
        lambda process: process.kill(),
    ],
    ids=["SIGINT", "SIGTERM", "SIGKILL"],
)
def test_ending_run_ends_every_child(workspace: Workspace, stop: Callable[[Any], None]) -> None:
    (workspace.track().folder / "slow.seconds").write_text("120")
    process = workspace.start("run", "fake_slow")
    pids = workspace.pids()
    stop(process)
    process.communicate(timeout=10)
    wait_for(lambda: gone(pids), 10)


def test_a_killed_stage_is_closed_at_the_next_start(workspace: Workspace, api: str) -> None:
    (workspace.folder / "slow.seconds").write_text("120")
    process = workspace.start("stage", "fake_slow", api=api)
    wait_for(lambda: latest(api, "fake_slow")["state_name"] == "Running")
    pids = workspace.pids()
    process.kill()
    psutil.Process(pids[1]).kill()
    process.communicate()
    assert latest(api, "fake_slow")["state_name"] == "Running"
    assert re.search(r"closed \d+ runs", workspace.ccm("ui", api=api))
    assert latest(api, "fake_slow")["state_name"] == "Crashed"


def test_a_server_that_dies_costs_only_the_view(workspace: Workspace, mortal_api: tuple[str, Path]) -> None:
    api, folder = mortal_api
    (workspace.folder / "slow.seconds").write_text("6")
    process = workspace.start("stage", "fake_slow", api=api)
    workspace.pids()
    lifetime.end_session(json.loads((folder / server.ADDRESS_FILE).read_text())["pid"], 0.0)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    assert "stopped answering" in output
    assert (workspace.folder / "out/slow.txt").is_file()


def test_a_stopped_serve_ends_the_run_at_work(workspace: Workspace, api: str) -> None:
    (workspace.track().folder / "slow.seconds").write_text("120")
    serving = workspace.start("serve", api=api)
    wanted = {"name": {"any_": [workspace.folder.name]}}
    deployment = wait_for(lambda: ask(api, "/deployments/filter", deployments=wanted))[0]["id"]
    request = {"targets": ["fake_slow"]}
    run = ask(api, f"/deployments/{deployment}/create_flow_run", parameters={"request": request})["id"]
    pids = workspace.pids()
    serving.send_signal(signal.SIGTERM)
    output = serving.communicate(timeout=20)[0]
    assert gone(pids)
    assert "Traceback" not in output
    assert runs(api, id={"any_": [run]})[0]["state_name"] in ("Crashed", "Cancelled")
