"""One `dvc repro` as a child: streamed, understood line by line, and ended with all it started."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

from flows import lifetime
from flows.errors import DvcFailed
from flows.repair import mend_locks
from pipeline.layout import STATE
from pipeline.records.artefacts import set_aside

Event = Literal["running", "unchanged", "restored"]

_LOCK = STATE / "run.lock"
_TAIL = 25  # lines of output that a failure shows
_GRACE = 7.0  # seconds for stages to end orderly; their own guard stops them after 5
_EVENTS: list[tuple[Event, re.Pattern[str]]] = [
    ("running", re.compile(r"^Running stage '(.+)':")),
    ("unchanged", re.compile(r"^Stage '(.+)' didn't change, skipping")),
    ("restored", re.compile(r"^Stage '(.+)' is cached - skipping run")),
]


class Listener:
    """Hears which stage runs or is skipped, as it happens."""

    def stage(self, label: str, event: Event) -> None:
        """`running`: its command starts; `unchanged` and `restored` (from the run cache): it need not."""


def reproduce(targets: Sequence[str], *, force: bool, listener: Listener, parent_run: str | None = None) -> int:
    """`dvc repro` of the targets (all stages without any); returns how many stages ran. Raises as `run_dvc` does."""
    check_targets(targets)
    return run_dvc(["repro", *(["--force"] if force else []), *targets], listener, parent_run)


def check_targets(targets: Sequence[str]) -> None:
    """ValueError for a target that is no stage's name, such as an option, which DVC would take for one of its own."""
    for target in targets:
        if not re.fullmatch(r"[A-Za-z0-9_]+(@[A-Za-z0-9_][A-Za-z0-9_.-]*)?", target):
            raise ValueError(f"target {target!r}: allowed: names of stages, such as evaluate or train_joint@ACHU-CH")


def check_repository() -> None:
    """ValueError, with what to do, where DVC would not work: outside of git, or without its own folder."""
    git = subprocess.run(["git", "rev-parse", "--git-dir"], capture_output=True)
    if git.returncode != 0:
        raise ValueError("this folder is not a git repository, which DVC needs: clone the project, or `git init` here")
    if not Path(".dvc").is_dir():
        raise ValueError("this folder has no .dvc, so DVC does not know it: run `dvc init` here")


def run_dvc(arguments: Sequence[str], listener: Listener, parent_run: str | None = None) -> int:
    """Run a DVC command to its end, copying its output to ours; returns how many stages ran.

    DvcFailed when it fails; whatever interrupts us (Ctrl-C, SIGTERM) ends every process it started. `parent_run` is
    the Prefect run that the stages' runs belong to. ValueError when another run has the workspace.
    """
    check_repository()
    tail: deque[str] = deque(maxlen=_TAIL)
    ran = 0
    with (
        _only_one(),
        _session([*dvc_command(), "--wait-for-lock", *arguments], child_environment(parent_run)) as process,
    ):
        assert process.stdout is not None
        for line in _copied_lines(process.stdout):
            tail.append(line)
            for event, pattern in _EVENTS:
                if match := pattern.match(line):
                    ran += event == "running"
                    listener.stage(match.group(1), event)
        code = process.wait()
    if code != 0:
        raise DvcFailed("\n".join(tail) or f"dvc {arguments[0]}: exit status {code}")
    return ran


@contextmanager
def _session(command: Sequence[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A child in a session of its own, of which nothing is left when the block ends."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, start_new_session=True
    )
    try:
        yield process
    finally:
        with _undisturbed():
            lifetime.end_session(process.pid, _GRACE, signal.SIGINT)
            process.wait()


def dvc_command() -> list[str]:
    """DVC of this very environment, whatever the PATH says."""
    return [sys.executable, "-m", "dvc"]


def child_environment(parent_run: str | None = None) -> dict[str, str]:
    """Our environment, with this environment's commands first on the PATH and the run that stages belong to."""
    environment = dict(os.environ)
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
    environment["PYTHONUNBUFFERED"] = "1"
    environment[lifetime.RUN_VARIABLE] = str(os.getpid())
    environment.pop("CCM_PARENT_FLOW_RUN", None)
    if parent_run is not None:
        environment["CCM_PARENT_FLOW_RUN"] = parent_run
    return environment


def stages_of(targets: Sequence[str]) -> list[str]:
    """The stages that bringing the targets up to date involves (all of them without targets), as DVC names them."""
    found: dict[str, None] = {}
    check_targets(targets)
    for target in targets or [""]:
        command = [*dvc_command(), "dag", "--dot", *([target] if target else [])]
        result = subprocess.run(command, capture_output=True, text=True)
        found |= dict.fromkeys(re.findall(r'^"(.+?)";$', result.stdout, re.MULTILINE))
    return list(found)


@contextmanager
def _only_one() -> Iterator[None]:
    """DVC frees its own lock while a command runs, and a second DVC then spoils the first: runs exclude each other."""
    for place in (STATE, _LOCK):
        if os.path.lexists(place) and place.is_dir() != (place == STATE):
            set_aside(place)
    _LOCK.parent.mkdir(parents=True, exist_ok=True)
    with _LOCK.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel frees it however we end
        except BlockingIOError:
            raise ValueError("another `ccm run` is at work in this workspace; wait for it or cancel it") from None
        for line in mend_locks():  # that a DVC which was killed has left
            print(line, file=sys.stderr, flush=True)
        yield


@contextmanager
def _undisturbed() -> Iterator[None]:
    """An impatient second Ctrl-C must not leave half of the processes behind."""
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _copied_lines(stream: IO[bytes]) -> Iterator[str]:
    """Copy bytes to our stdout as they come (bars included) and yield whole lines, as a terminal would leave them."""
    rest = b""
    while chunk := os.read(stream.fileno(), 65536):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, map(_visible, lines))
    if last := _visible(rest):
        yield last


def _visible(line: bytes) -> str:
    """What is left of a line after its carriage returns."""
    return line.rstrip(b"\r").rsplit(b"\r", 1)[-1].decode(errors="replace").rstrip()
