"""Resume: a run's full state, kept outside DVC's outputs under a fingerprint of params, inputs and code."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeAlias, TypeVar

import torch

from pipeline import layout
from pipeline.learning.training import distributed
from pipeline.progress import Progress, Silence
from pipeline.records.artefacts import file_hash, written
from pipeline.records.code import code_hash, versions

Job = TypeVar("Job")
Train: TypeAlias = "Callable[[Job, RunState, Progress], None]"

_LOCK = ".lock"
_KEPT = 8  # runs of a stage whose state is kept


def fingerprint(settings: Mapping[str, Any], inputs: Mapping[str, str | Path], module: str) -> str:
    """What decides a run's result: settings, contents of its input files, the code, versions of what computes it.

    Keypoint sets stand in the tables among the inputs. `module` is the one that trains; its imports belong to it.
    """
    content = {
        "settings": settings,
        "inputs": {name: file_hash(path) for name, path in inputs.items()},
        "code": code_hash(module),
        "versions": versions(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


class RunState:
    """The folder of one run: `state.pt` while it trains, `final/` when it is done."""

    def __init__(self, stage: str, identity: str) -> None:
        self.folder = layout.training_state() / stage / identity

    @property
    def final(self) -> Path:
        """The finished model's folder; exists once the run is complete."""
        return self.folder / "final"

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the state atomically: a kill at any moment leaves the previous one whole."""
        with written(self.folder / "state.pt") as temporary:
            torch.save(dict(state), temporary)

    def load(self) -> dict[str, Any] | None:
        """The saved state, or None for a fresh start."""
        path = self.folder / "state.pt"
        if not path.is_file():
            return None
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state

    @contextmanager
    def alone(self, progress: Progress) -> Iterator[None]:
        """Let one process at a time work on this run (or one group): experiments side by side may want the same."""
        if distributed.world_size() > 1:  # torchrun's processes, of a stage that was started by hand
            yield
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / _LOCK).open("w") as lock:
            if not _taken(lock):
                progress.say("another process trains with the same params, inputs and code; waiting for its model")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield  # the kernel frees the lock, however we end

    def prune(self) -> None:
        """Drop the oldest runs of this stage beyond the number kept, those aside that are at work."""
        with suppress(FileNotFoundError):  # another experiment drops them at the same time
            runs = sorted((p for p in self.folder.parent.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
            for old in runs[:-_KEPT]:
                if old == self.folder:
                    continue
                with (old / _LOCK).open("w") as lock:
                    if _taken(lock):
                        shutil.rmtree(old, ignore_errors=True)


def train_once(state: RunState, name: str, train: Train[Job], job: Job, processes: int, progress: Progress) -> None:
    """Train the run, here or in a group of so many new processes, unless it is finished; then say so under `name`."""
    with state.alone(progress):
        if state.final.is_dir():
            progress.say(f"{name}: trained before with these params, inputs and code: taking it")
        elif processes > 1 and distributed.world_size() == 1:
            distributed.launch(_train_in_group, (train, job, state), processes)
        else:
            train(job, state, progress)


def _train_in_group(train: Train[Job], job: Job, state: RunState) -> None:
    train(job, state, Progress() if distributed.rank() == 0 else Silence())


def _taken(lock: IO[str]) -> bool:
    """Take the lock of an open file, unless another process has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
