"""Shards give the same result, in the items' order, wherever they run and whoever dies."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from flows.spread import SpreadingProgress
from pipeline.params import Spread
from pipeline.profile import assign
from tests.flows.conftest import Workspace, wait_for


def spread(runner: str, workers: int, address: str | None = None) -> SpreadingProgress:
    return SpreadingProgress(
        Spread.model_validate({"runner": runner, "workers": workers, "address": address, "shard_images": 1})
    )


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_keep_the_order(workers: int) -> None:
    assert spread("threads", workers).map(lambda number: number**2, list(range(20))) == [n**2 for n in range(20)]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_shard_that_fails_stops_the_stage(workers: int) -> None:
    with pytest.raises(ZeroDivisionError):
        spread("threads", workers).map(lambda number: 1 // number, [3, 2, 1, 0])


def test_no_shards() -> None:
    assert spread("threads", 2).map(lambda number: number, []) == []


def test_ray_says_how_to_get_it() -> None:
    try:
        import ray  # noqa: F401
    except ImportError:
        with pytest.raises(ValueError, match=r"spread.runner = 'ray'.*pip install"):
            spread("ray", 2).map(abs, [1])
    else:
        pytest.skip("Ray is installed")


def test_a_wrong_scheduler_address_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"spread.address = 'tcp://127.0.0.1:9'"):
        spread("dask", 2, "tcp://127.0.0.1:9").map(abs, [1])


@pytest.mark.slow
def test_a_killed_dask_worker_changes_nothing(workspace: Workspace) -> None:
    pytest.importorskip("distributed")
    workspace.ccm("stage", "fake_shards")
    expected = (workspace.folder / "out/shards.txt").read_bytes()
    (workspace.folder / "out/shards.txt").unlink()
    (workspace.folder / "workers").unlink()

    assign(["spread.runner=dask", "spread.workers=2"], workspace.folder / "params.yaml")
    (workspace.folder / "shard.seconds").write_text("0.6")
    process = workspace.start("stage", "fake_shards")
    workers = workspace.folder / "workers"
    wait_for(lambda: workers.is_file() and len(workers.read_text().split()) >= 4)
    os.kill(int(workers.read_text().split()[0]), signal.SIGKILL)
    output = process.communicate(timeout=90)[0]
    assert process.returncode == 0, output
    assert (workspace.folder / "out/shards.txt").read_bytes() == expected
    assert len(set(workers.read_text().split())) >= 2
    assert not list((workspace.folder / ".state/spread").iterdir())
