"""Whatever lies where a run keeps its state: set aside, said so, and the run ends as one that began without it."""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pipeline.learning.training import engine
from pipeline.learning.training.job import run_job
from pipeline.learning.training.state import RunState
from pipeline.progress import Progress
from tests.pipeline.learning.training.conftest import TRAINING, job, write_people

SHORT = TRAINING.model_copy(update={"epochs": 2, "validate_every": 2})
RUNS = Path(".state/training/train_joint")


class Payload:
    """Unpickled by a reader that runs code, it writes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch payload-ran",)


class Told(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def of(self, text: str) -> list[str]:
        return [line for line in self.said if text in line]


def trained() -> tuple[dict[str, torch.Tensor], Told]:
    told = Told()
    run_job(job(SHORT), told)
    return load_file("models/out/model.safetensors"), told


@dataclass(frozen=True)
class Runs:
    """Folders of two runs, the one stopped after its first epoch, the other at its end, and the weights of that."""

    stopped: Path
    finished: Path
    weights: dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    torch.set_num_threads(1)  # as in the tests
    stopped, finished = tmp_path_factory.mktemp("stopped"), tmp_path_factory.mktemp("finished")
    for folder in (stopped, finished):
        write_people(folder)
    with contextlib.chdir(finished):
        weights, _ = trained()
    save = RunState.save

    def interrupted(self: RunState, state: dict[str, object]) -> None:
        save(self, state)
        raise KeyboardInterrupt

    with contextlib.chdir(stopped), pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "CHECKPOINT_SECONDS", 1e9)
        patch.setattr(RunState, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trained()
    return Runs(stopped, finished, weights)


@pytest.fixture
def stopped(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, torch.Tensor]]:
    """A run stopped after its first epoch: its state; and the weights of one that was not stopped."""
    shutil.copytree(runs.stopped, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(engine, "CHECKPOINT_SECONDS", 1e9)
    return next(RUNS.glob("*/state.pt")), runs.weights


@pytest.fixture
def finished(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, torch.Tensor]]:
    """A run that has come to its end: its folder, and its weights."""
    shutil.copytree(runs.finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return next(RUNS.iterdir()), runs.weights


def cut(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def flipped(path: Path, count: int) -> None:
    content, moments = bytearray(path.read_bytes()), random.Random(count)
    for _ in range(count):
        content[moments.randrange(len(content))] ^= 1 << moments.randrange(8)
    path.write_bytes(content)


def a_bit(path: Path) -> None:
    """In the tensors' part: PyTorch itself reads such a file without a word."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def with_nan(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    next(value for value in state["network"].values() if value.is_floating_point()).fill_(float("nan"))
    torch.save(state, path)


def without(path: Path, key: str) -> None:
    state = torch.load(path, weights_only=True)
    del state[key]
    torch.save(state, path)


def of_another_shape(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    state["network"] = {name: value.repeat(2) if value.ndim == 1 else value for name, value in state["network"].items()}
    torch.save(state, path)


def half_good(path: Path) -> None:
    """The network of the state fits and is taken before the rest shows itself to be wrong."""
    state = torch.load(path, weights_only=True)
    state["network"] = {name: value + 1 for name, value in state["network"].items()}
    state["position"]["epoch"] = -3
    torch.save(state, path)


def as_folder(path: Path) -> None:
    path.unlink()
    (path / "inner").mkdir(parents=True)


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut early": lambda path: cut(path, 0.1),
    "cut late": lambda path: cut(path, 0.99),
    "a hundred bits": lambda path: flipped(path, 100),
    "a bit in its midst": a_bit,
    "text": lambda path: path.write_text("no state\n"),
    "a list": lambda path: torch.save([1, 2], path),
    "of another run": lambda path: torch.save({**torch.load(path, weights_only=True), "run": "0" * 20}, path),
    "malicious": lambda path: torch.save({"network": Payload()}, path),
    "malicious pickle": lambda path: path.write_bytes(pickle.dumps(Payload())),
    "NaN": with_nan,
    "without position": lambda path: without(path, "position"),
    "another shape": of_another_shape,
    "half good": half_good,
    "folder": as_folder,
    "pipe": as_pipe,
    "dangling link": lambda path: (path.unlink(), path.symlink_to("nowhere")),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_state_is_set_aside(
    damage: Callable[[Path], object], stopped: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    state, unbroken = stopped
    damage(state)
    found, told = trained()
    (line,) = told.of("set aside")
    assert "state.pt" in line
    assert "\n" not in line
    assert os.path.lexists(state.with_name("state.pt.set-aside-1"))
    assert not Path("payload-ran").exists()
    assert not told.of("going on at epoch")
    assert all(torch.equal(unbroken[name], value) for name, value in found.items())


def test_whole_state_is_taken(stopped: tuple[Path, dict[str, torch.Tensor]]) -> None:
    found, told = trained()
    assert told.of("going on at epoch 2, batch 1")
    assert all(torch.equal(stopped[1][name], value) for name, value in found.items())


def emptied(final: Path) -> None:
    shutil.rmtree(final)
    final.mkdir()


def as_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("not a folder")


FINAL: dict[str, Callable[[Path], object]] = {
    "empty": emptied,
    "a file": as_file,
    "without weights": lambda final: (final / "model.safetensors").unlink(),
    "without hashes": lambda final: (final / "hashes.json").unlink(),
    "cut weights": lambda final: cut(final / "model.safetensors", 0.5),
    "one bit": lambda final: flipped(final / "model.safetensors", 1),
    "no figures": lambda final: (final / "figures.json").write_text("{"),
    "odd hashes": lambda final: (final / "hashes.json").write_text("[1]"),
}


@pytest.mark.parametrize("damage", FINAL.values(), ids=FINAL)
def test_a_damaged_finished_run_is_set_aside(
    damage: Callable[[Path], object], finished: tuple[Path, dict[str, torch.Tensor]]
) -> None:
    run, unbroken = finished
    final = run / "final"
    damage(final)
    found, told = trained()
    assert len(told.of("set aside")) == 1
    assert final.with_name("final.set-aside-1").exists()
    assert all(torch.equal(unbroken[name], value) for name, value in found.items())
    _, told = trained()
    assert told.of("trained before")


@pytest.mark.parametrize("place", ["run", "stage", "training", ".state"])
def test_a_file_in_place_of_a_folder_is_set_aside(place: str, finished: tuple[Path, dict[str, torch.Tensor]]) -> None:
    run, unbroken = finished
    path = {"run": run, "stage": run.parent, "training": run.parents[1], ".state": run.parents[2]}[place]
    as_file(path)
    found, told = trained()
    assert len(told.of("set aside")) == 1
    assert path.with_name(f"{path.name}.set-aside-1").read_text() == "not a folder"
    assert all(torch.equal(unbroken[name], value) for name, value in found.items())


def test_a_folder_in_place_of_the_lock_is_set_aside(finished: tuple[Path, dict[str, torch.Tensor]]) -> None:
    lock = finished[0] / ".lock"
    lock.unlink()
    lock.mkdir()
    trained()
    assert lock.is_file()


def test_damage_of_the_detectors_state_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same folder, under another trainer: what half of it takes is given back."""
    monkeypatch.chdir(tmp_path)
    state, told = RunState("train_detector", "a" * 20), Told()
    weights = {"a": torch.zeros(2)}
    state.save({"a": torch.ones(2)})

    def take(saved: Any) -> None:
        weights["a"].copy_(saved["a"])
        if saved["a"].any():
            raise KeyError("b")

    assert not state.resume(lambda: weights, take, told)
    assert weights["a"].tolist() == [0.0, 0.0]
    assert len(told.of("set aside")) == 1
