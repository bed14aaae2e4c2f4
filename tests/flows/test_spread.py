"""Shards give the same result, in the items' order, wherever they run and whoever dies."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
import torch
from ruamel.yaml import YAML

from flows.spread import CLUSTER, SpreadingProgress, cluster
from model import checkpoints
from model.network import build
from pipeline import layout
from pipeline.progress import Progress
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import read_table
from pipeline.settings import Spread, load_params
from pipeline.settings.profile import assign
from pipeline.steps import ingest, pseudo_label
from tests.flows.conftest import Workspace, gone, wait_for
from tests.pipeline.workspace import MODEL, write_coco, write_detections


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


def test_ray_keeps_the_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="Ray is an option, not in the lock")
    monkeypatch.chdir(tmp_path)
    assert spread("ray", 2).map(abs, [-3, 2, -1]) == [3, 2, 1]


def test_a_wrong_scheduler_address_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"spread.address = 'tcp://127.0.0.1:9'"):
        spread("dask", 2, "tcp://127.0.0.1:9").map(abs, [1])


def own_process(_: int) -> int:
    """Which worker does a shard."""
    return os.getpid()


@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_one_cluster_serves_all_stages_of_a_run(runner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip({"dask": "distributed", "ray": "ray"}[runner], reason=f"{runner} is an option")
    monkeypatch.chdir(tmp_path)
    stages = spread(runner, 2)
    with cluster(stages.spread):
        address = os.environ[CLUSTER]
        seen = [set(stages.map(own_process, [1, 2, 3, 4])) for _ in range(2)]
        assert len(seen[0] | seen[1]) <= 2
        assert os.environ[CLUSTER] == address
    assert CLUSTER not in os.environ
    assert gone(list(seen[0] | seen[1]))


def test_threads_and_clusters_elsewhere_need_none() -> None:
    for elsewhere in (spread("threads", 2), spread("dask", 2, "tcp://somewhere:8786")):
        with cluster(elsewhere.spread):
            assert CLUSTER not in os.environ


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


@pytest.fixture
def teachers_at_work(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Two untrained teachers, slow enough to be killed, and detections on a source without labels."""
    monkeypatch.chdir(workspace.folder)
    write_coco(Path("own"), "train", 4, seed=1)
    write_coco(Path("own"), "unlabeled", 16, seed=2)
    path = Path("params.yaml")
    raw = YAML(typ="safe", pure=True).load(path.read_text())
    raw["data"] |= {"labelled": "train", "validation": "train"}
    raw["data"]["sources"] = {
        name: {"format": "coco", "index": f"own/{name}.json", "images": f"own/{name}", "keypoints": "coco"}
        for name in ("train", "unlabeled")
    }
    raw["detect_people"]["sources"] = {"train": "models/detectors/person", "unlabeled": "models/detectors/person"}
    raw |= {"strategies": ["CU-C"]}
    raw["align_labels"]["sources"] = []
    raw["evaluate"]["sets"], raw["ablate_postprocessing"]["set"] = ["train"], "train"
    raw["pseudo_label"] |= {"person_threshold": {"mode": "fixed", "value": 0.0}, "keypoint_threshold": 0.0}
    raw["spread"]["shard_images"] = 1
    spec = MODEL | {"input_size": [256, 192]}
    with path.open("w") as file:
        YAML().dump(raw, file)
    params, keypoints = load_params(), load_keypoint_set("coco")
    for source in ("train", "unlabeled"):
        ingest.run(params, Progress(), source)
        write_detections(source)
    for number, name in enumerate(params.train_teachers.models):
        torch.manual_seed(number)
        card = {"keypoint_names": list(keypoints.names), "trained_on": "nothing", "padding": 1.25}
        checkpoints.save(build(spec, len(keypoints)), layout.teacher(name), card)
    return workspace


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_two_workers_pseudo_label_as_one_process_does(runner: str, teachers_at_work: Workspace) -> None:
    pytest.importorskip({"dask": "distributed", "ray": "ray"}[runner], reason=f"{runner} is an option")
    results = [layout.letter("U", "unlabeled"), layout.figures("pseudo_label", "unlabeled")]
    found = []
    for progress in (spread("threads", 1), spread(runner, 2)):
        pseudo_label.run(load_params(), progress, "unlabeled")
        found.append([path.read_bytes() for path in results])
    assert found[0] == found[1]
    assert read_table(results[0], "instances").num_rows >= 16


@pytest.mark.slow
def test_pseudo_labels_are_the_same_bytes_when_a_worker_dies(teachers_at_work: Workspace) -> None:
    pytest.importorskip("distributed")
    folder = teachers_at_work.folder
    results = [layout.letter("U", "unlabeled"), layout.figures("pseudo_label", "unlabeled")]

    def written() -> list[bytes]:
        content = [path.read_bytes() for path in results]
        for path in results:
            path.unlink()
        return content

    teachers_at_work.ccm("stage", "pseudo_label", "unlabeled")
    alone = written()
    assign(["spread.runner=dask", "spread.workers=2"], folder / "params.yaml")
    process = teachers_at_work.start("stage", "pseudo_label", "unlabeled")
    shards = folder / layout.STATE / "pseudo_label/unlabeled"
    done = wait_for(lambda: len(found) if len(found := list(shards.glob("*.npz"))) >= 5 else 0)
    assert done < 16, "the killed worker must have had something left to do"
    workers = [child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())]
    assert len(workers) == 2
    workers[0].kill()
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 0, output
    assert written() == alone
