"""What a kill can leave of DVC's and ours so that later commands fail: found, and mended where nobody is at work.

DVC 3.67 writes `.dvc/tmp/rwlock` and `dvc.lock` in place: SIGKILL at that moment leaves half a file or an empty one,
and every later `dvc` command ends with "JSON structure is corrupted" until somebody removes it. Nothing that is mended
here holds results: what was there is set aside under another name, and DVC's run cache restores what it knows.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from flows import server
from pipeline.layout import STATE
from pipeline.records.artefacts import set_aside
from pipeline.records.text import parse_json, read_file

RWLOCK = Path(".dvc/tmp/rwlock")
_GUARD = Path(".dvc/tmp/rwlock.lock")  # which DVC holds while it edits the other
LOCK_FILE = Path("dvc.lock")
_MADE = ("data", "models", "metrics", "reports", str(STATE))
_PATIENCE = 8  # seconds
_PARTIAL = re.compile(r"^\..+\.[0-9a-f]{8}\.partial$")  # the names of `pipeline.records.artefacts.written`


def repair() -> list[str]:
    """Mend all that can be, in this folder; what was done, a line each. ValueError where a DVC process is at work."""
    done = mend_locks()
    if server.ADDRESS_FILE.exists() and server.read_record() is None:
        done.append(_told(server.ADDRESS_FILE, "says nothing of a server"))
    _wait_for_workers()
    for path in half_written():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        done.append(f"{path}: left half-written by a process that was killed; removed")
    return done


def mend_locks() -> list[str]:
    """Set DVC's locks aside where they are damaged, and drop what they hold for processes that are gone."""
    problem = rwlock_problem()
    lock_problem = lock_file_problem()
    if problem is None and lock_problem is None:
        return []
    _wait_for_workers()
    done = []
    with _guarded():
        if (problem := rwlock_problem()) is not None:
            done.append(_told(RWLOCK, problem))
    if lock_problem is not None:
        done.append(f"{_told(LOCK_FILE, lock_problem)}; stages that the run cache knows are restored, others run")
    return done


def rwlock_problem() -> str | None:
    """Why DVC could not work with its `rwlock`; None where it could."""
    if not RWLOCK.exists():
        return None
    try:
        content = parse_json(read_file(RWLOCK), RWLOCK)
        holders = list(_holders(content))
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        return "empty" if RWLOCK.is_file() and not RWLOCK.stat().st_size else f"damaged ({type(error).__name__})"
    for number, command in holders:
        # DVC itself forgets processes that are gone; of a number that was given out again it knows nothing.
        if psutil.pid_exists(number) and not _is_dvc(number):
            return f"held for `{command}`, whose number {number} now is another process's"
    return None


def _holders(content: dict[str, Any]) -> Iterator[tuple[int, str]]:
    for path, entries in [*content.get("read", {}).items(), *content.get("write", {}).items()]:
        for entry in entries if isinstance(entries, list) else [entries]:
            if not isinstance(path, str) or not isinstance(entry["pid"], int):
                raise TypeError("no number of a process")
            yield entry["pid"], str(entry["cmd"])


def lock_file_problem() -> str | None:
    """What is wrong with `dvc.lock`, by DVC's own measure; None where it is whole or not there."""
    if not LOCK_FILE.is_file():
        return None
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        COMPILED_LOCKFILE_SCHEMA(yaml.load(read_file(LOCK_FILE), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except (ValueError, yaml.YAMLError, RecursionError):
        return "damaged"
    except (Invalid, TypeError, AttributeError):
        return "cut off"
    return None


def half_written() -> list[Path]:
    """Temporary files and folders of stages that were killed. Nothing reads them; they only take room."""
    found: list[Path] = []
    for name in _MADE:
        for place, folders, files in os.walk(name):
            partial = [each for each in (*folders, *files) if _PARTIAL.match(each)]
            found += [Path(place, each) for each in partial]
            folders[:] = [each for each in folders if each not in partial]
    return sorted(found)


def workers() -> list[psutil.Process]:
    """The DVC processes that are at work in this folder."""
    here = Path.cwd().resolve()
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            place = Path(process.cwd())
            if (place == here or here in place.parents) and _is_dvc(process.pid):
                found.append(process)
    return found


def _is_dvc(number: int) -> bool:
    """Whether a process is DVC's: `dvc`, or Python running that, as a program or as a module.

    Its `daemon`, which asks for newer versions and reports use where that is on, takes no locks.
    """
    try:
        words = psutil.Process(number).cmdline()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
    return any(Path(word).name == "dvc" for word in words[:4]) and "daemon" not in words


@contextmanager
def _guarded() -> Iterator[None]:
    """Hold the lock that DVC takes to edit its `rwlock`."""
    with _GUARD.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as zc.lockfile does
        except BlockingIOError:
            raise ValueError(f"{_GUARD}: a DVC process holds it; wait for its end, then try again") from None
        yield


def _told(path: Path, problem: str) -> str:
    return f"{path}: {problem}; set aside as {set_aside(path).name}"


def _wait_for_workers() -> None:
    """ValueError where a DVC goes on working; what one leaves to ask for newer versions is gone within seconds."""
    for _ in range(2 * _PATIENCE):
        if not (found := workers()):
            return
        time.sleep(0.5)
    numbers = " ".join(str(process.pid) for process in found)
    raise ValueError(
        f"DVC is at work in this folder (process {numbers}); wait for its end, or end it with: kill -TERM {numbers}"
    )
