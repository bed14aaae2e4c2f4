"""Ending together: a stage whose starter is gone stops, and whatever is told to stop is gone within seconds."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

import psutil

GRACE = 5.0  # seconds between being told to stop and being stopped
RUN_VARIABLE = "CCM_RUN_PID"  # the `ccm run` that a stage belongs to
_SHELLS = {"sh", "bash", "dash", "zsh", "fish", "ksh", "busybox"}


@contextmanager
def watched() -> Iterator[None]:
    """Make this process stop when its starter has gone, and surely stop `GRACE` seconds after SIGTERM or SIGINT.

    DVC itself leaves its running command behind when it is terminated, and a main thread that is inside a long
    computation sees no signal; so a thread does the watching. It ends this process's children too. Main thread only.
    It watches until the block ends, and one that is left because it was told to stop until the process is gone.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    woken = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    handler = signal.getsignal(signal.SIGTERM)
    exit_on_sigterm()
    guard = threading.Thread(target=_guard, args=(reader, starters()), name="lifetime", daemon=True)
    guard.start()
    try:
        yield
    finally:
        if not isinstance(sys.exception(), KeyboardInterrupt | SystemExit):
            signal.signal(signal.SIGTERM, handler)
            signal.set_wakeup_fd(woken)
            os.close(writer)
            guard.join()


def starters() -> list[psutil.Process]:
    """The processes without which this one has no reason to run: DVC (through its shell), and a `ccm run` above it."""
    found = []
    if "DVC_STAGE" in os.environ:
        for parent in psutil.Process().parents():
            found.append(parent)
            if parent.name() not in _SHELLS:
                break
    if number := os.environ.get(RUN_VARIABLE):
        with suppress(psutil.NoSuchProcess, ValueError):
            found.append(psutil.Process(int(number)))
    return found


def is_gone(process: psutil.Process) -> bool:
    """Whether a process has ended, even if nobody has asked for its exit status yet."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def end_children(grace: float, spared: Sequence[psutil.Process] = ()) -> None:
    """Terminate every descendant of this process, and kill what is left after `grace` seconds.

    Children that are `spared` go on, with all that is below them.
    """
    children = [child for child in psutil.Process().children() if child not in spared]
    for child in list(children):
        with suppress(psutil.NoSuchProcess):
            children += child.children(recursive=True)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.terminate()
    _, alive = psutil.wait_procs(children, timeout=grace)
    for child in alive:
        with suppress(psutil.NoSuchProcess):
            child.kill()


def end_session(leader: int, grace: float, asked: signal.Signals = signal.SIGTERM) -> None:
    """End a whole session that was started with `start_new_session`: SIGTERM, then SIGKILL after `grace` seconds.

    Its leader is `asked` by a signal of its own: DVC takes SIGINT to heart only between stages, and frees its locks.
    """
    members = _session(leader)
    for member in members:
        with suppress(psutil.NoSuchProcess):
            member.send_signal(asked if member.pid == leader else signal.SIGTERM)
    psutil.wait_procs(members, timeout=grace)
    for member in _session(leader):
        with suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(_session(leader), timeout=1.0)


def _session(leader: int) -> list[psutil.Process]:
    members = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess, PermissionError):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
    return members


def exit_on_sigterm() -> None:
    """Let SIGTERM unwind this process as Ctrl-C does. Main thread only."""
    signal.signal(signal.SIGTERM, terminate)


def terminate(number: int, frame: FrameType | None) -> None:
    """A signal handler: leave through every `finally`, with the exit status that a shell expects."""
    raise SystemExit(128 + number)


def _guard(reader: int, starters: list[psutil.Process]) -> None:
    while True:
        ready, _, _ = select.select([reader], [], [], 0.5)
        if ready:
            numbers = os.read(reader, 64)
            if not numbers:  # the other end was closed
                os.close(reader)
                return
            for number in numbers:
                if number in (signal.SIGTERM, signal.SIGINT):
                    _stop_by_force(number)
        if any(is_gone(process) for process in starters):
            os.kill(os.getpid(), signal.SIGTERM)  # comes back through the pipe
            starters = []


def _stop_by_force(number: int) -> None:
    time.sleep(GRACE)
    end_children(1.0)
    os._exit(128 + number)
