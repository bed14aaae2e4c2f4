"""Resume: a run's full state, kept outside DVC's outputs under a fingerprint of params, inputs and code."""

from __future__ import annotations

import copy
import fcntl
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any, Protocol, TypeAlias, TypeVar

import torch

from pipeline import layout
from pipeline.learning.devices import pick_device
from pipeline.learning.training import distributed
from pipeline.progress import Progress, Silence
from pipeline.records.artefacts import file_hash, read_json, set_aside, write_json, written
from pipeline.records.code import code_hash, versions
from pipeline.settings import Compute


class WithCompute(Protocol):
    """A job that says where it runs."""

    @property
    def compute(self) -> Compute: ...


Job = TypeVar("Job", bound=WithCompute)
Train: TypeAlias = "Callable[[Job, RunState, Progress], None]"

_LOCK, _STATE, _HASHES = ".lock", "state.pt", "hashes.json"
_RUN = "run"  # the key under which a state names the run that it belongs to
_KEPT = 8  # runs of a stage whose state is kept


def fingerprint(settings: Mapping[str, Any], inputs: Mapping[str, str | Path], module: str) -> str:
    """What decides a run's result: settings, contents of its input files, the code, versions of what computes it.

    Keypoint sets stand in the tables among the inputs. `module` is the one that trains; its imports belong to it.
    """
    return identity_of(parts_of(settings, inputs, module))


def parts_of(settings: Mapping[str, Any], inputs: Mapping[str, str | Path], module: str) -> dict[str, Any]:
    """What a `fingerprint` is one of, by name."""
    return {
        "settings": settings,
        "inputs": {name: file_hash(path) for name, path in inputs.items()},
        "code": code_hash(module),
        "versions": versions(),
    }


def identity_of(parts: Mapping[str, Any]) -> str:
    """The fingerprint of its parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]


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
        # Through a file of Python's, whose errors say what is wrong with the disk; PyTorch's own do not.
        with written(self.folder / _STATE) as temporary, temporary.open("wb") as file:
            torch.save({**state, _RUN: self.folder.name}, file)

    def resume(
        self, current: Callable[[], Mapping[str, Any]], take: Callable[[Mapping[str, Any]], None], progress: Progress
    ) -> bool:
        """Take up the saved state; whether there was one of any use.

        One that is damaged or belongs to something else is set aside, and said so: the run then starts afresh from the
        `current` state, also where half of the other had been taken. Of several processes the first one reads it for
        all: the others may be on machines that do not see this folder.
        """
        path, taken = self.folder / _STATE, False
        saved, problem = distributed.of_first(lambda: self._found(path), "the first process to read its saved state")
        if saved is not None:
            start = copy.deepcopy(dict(current()))
            try:
                take(saved)
                taken = True
            except Exception as error:  # a damaged file fails in as many ways as there are places for the damage
                problem = first_line(error)
                take(start)
        if distributed.all_agree(taken):
            return True
        if taken:  # but not in another process
            take(start)
        if distributed.rank() == 0 and os.path.lexists(path):
            _say_set_aside(path, problem or "another process could not take it", progress)
        return False

    def _found(self, path: Path) -> tuple[dict[str, Any] | None, str]:
        """The saved state, or what is wrong with the file."""
        if not os.path.lexists(path):
            return None, ""
        try:
            return self._read(path), ""
        except Exception as error:
            return None, first_line(error)

    def _read(self, path: Path) -> dict[str, Any]:
        if not path.is_file():  # a pipe would be waited for
            raise ValueError("not a file")
        with zipfile.ZipFile(path) as content:  # torch does not look at the checksums that it writes
            if (record := content.testzip()) is not None:
                raise ValueError(f"{record} is damaged")
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or state.pop(_RUN, None) != self.folder.name:
            raise ValueError("not the state of this run")
        return state

    def finished(self, progress: Progress) -> bool:
        """Whether `final` holds the finished run, each file as it was written; anything else there is set aside."""
        if not os.path.lexists(self.final):
            return False
        if (problem := _problem(self.final)) is None:
            return True
        if distributed.rank() == 0:
            _say_set_aside(self.final, problem, progress)
        return False

    @contextmanager
    def finishing(self) -> Iterator[Path]:
        """A folder to fill, which becomes `final`; with it the state of training goes, and the oldest runs."""
        with written(self.final) as temporary:
            temporary.mkdir(parents=True)
            yield temporary
            write_json(temporary / _HASHES, {p.name: file_hash(p) for p in temporary.iterdir()})
        (self.folder / _STATE).unlink(missing_ok=True)
        self.prune()

    @contextmanager
    def alone(self, progress: Progress) -> Iterator[None]:
        """Let one process at a time work on this run (or one group): experiments side by side may want the same."""
        _make_folder(self.folder, progress)
        if (self.folder / _LOCK).is_dir():
            set_aside(self.folder / _LOCK)
        with (self.folder / _LOCK).open("w") as lock:
            if not _taken(lock):
                progress.say("another process trains with the same params, inputs and code; waiting for its model")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield  # the kernel frees the lock, however we end

    def prune(self) -> None:
        """Drop the oldest runs of this stage beyond the number kept, those aside that are at work."""
        with suppress(OSError):  # another experiment drops them at the same time
            runs = sorted((p for p in self.folder.parent.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
            for old in runs[:-_KEPT]:
                if old == self.folder:
                    continue
                with (old / _LOCK).open("w") as lock:
                    if _taken(lock):
                        shutil.rmtree(old, ignore_errors=True)


def train_once(
    state: RunState, name: str, train: Train[Job], job: Job, parts: Mapping[str, Any], progress: Progress
) -> None:
    """Train the run, here or in a group of `compute.processes` new processes, unless it is finished.

    `name` is what to call it, `parts` what its fingerprint is of. Where torchrun has started the processes, the first
    one alone looks at the run's folder and decides for all; ValueError where another has something else to train.
    """
    if distributed.world_size() > 1:
        device = distributed.own_device(pick_device(job.compute.device))
        with distributed.process_group(device):
            distributed.check_alike({**parts, **parts["inputs"], "inputs": None}, "the others to read their inputs")
            with state.alone(progress) if distributed.rank() == 0 else nullcontext():
                if not distributed.of_first(lambda: _taken_as_finished(state, name, progress), f"{name} to be free"):
                    train(job, state, progress)
        return
    with state.alone(progress):
        if _taken_as_finished(state, name, progress):
            return
        if job.compute.processes > 1:
            distributed.launch(_train_in_group, (train, job, state), job.compute.processes)
        else:
            train(job, state, progress)


def _taken_as_finished(state: RunState, name: str, progress: Progress) -> bool:
    if finished := state.finished(progress):
        progress.say(f"{name}: trained before with these params, inputs and code: taking it")
    return finished


def first_line(error: BaseException) -> str:
    """What an error says, without the advice that follows; PyTorch's is to load without protection."""
    text = str(error).rpartition("WeightsUnpickler error:")[2].strip()
    return (text.splitlines() or [""])[0][:200] or type(error).__name__


def _problem(final: Path) -> str | None:
    """What is wrong with the folder of a finished run; None where every file is what was written."""
    if not final.is_dir():
        return "not a folder"
    try:
        hashes = read_json(final / _HASHES)
        changed = [name for name, value in hashes.items() if file_hash(final / name) != value]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        return f"incomplete: {first_line(error)}"
    return f"{changed[0]} is not as it was written" if changed else None


def _say_set_aside(path: Path, problem: str, progress: Progress) -> None:
    with suppress(FileNotFoundError):
        progress.say(f"{path}: no use ({problem}); set aside as {set_aside(path).name}, training starts afresh")


def _make_folder(folder: Path, progress: Progress) -> None:
    """A folder below `.state`; a file in place of it, or of one above it, is set aside."""
    for place in (*reversed(folder.parents), folder):
        if os.path.lexists(place) and not place.is_dir():
            _say_set_aside(place, "a folder belongs there", progress)
    folder.mkdir(parents=True, exist_ok=True)


def _train_in_group(train: Train[Job], job: Job, state: RunState) -> None:
    # The machine's cores, shared out: more threads than cores make each wait for the others.
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // distributed.world_size()))
    train(job, state, Progress() if distributed.rank() == 0 else Silence())


def _taken(lock: IO[str]) -> bool:
    """Take the lock of an open file, unless another process has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
