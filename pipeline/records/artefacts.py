"""Writing files whole or not at all, and saying what they came from."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.records.text import parse_json, read_file

_OF_THE_DISK = {
    errno.ENOSPC: "; free some room and run it again, what is finished stays",
    errno.EDQUOT: "; free some room and run it again, what is finished stays",
    errno.EROFS: "",
    errno.EACCES: "; allow writing there, or choose another folder",
    errno.EPERM: "; allow writing there, or choose another folder",
    errno.EIO: "; the disk may be failing",
}


_WHOLE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)  # wherever they arise, nothing can be written


@contextmanager
def written(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` (a file or a folder); it takes `path`'s name when the block succeeds.

    ValueError where `path` cannot be made: its name is taken, its folder is read-only. What was there stays as it was.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(_refusal(path, error)) from error
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():
            shutil.rmtree(path)
        try:
            os.replace(temporary, path)
        except (IsADirectoryError, NotADirectoryError) as error:
            raise ValueError(_refusal(path, error)) from error
    except Exception as error:
        cause = None if isinstance(error, ValueError) else _of_the_disk(error)
        if cause is not None and (str(temporary) in str(cause.filename) or cause.errno in _WHOLE_DISK):
            raise ValueError(_refusal(path, cause)) from error
        raise
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with suppress(OSError):  # of a read-only file system, over the reason for coming here
                temporary.unlink(missing_ok=True)


def _of_the_disk(error: BaseException | None) -> OSError | None:
    """The error of the operating system that an error is, or came from: PyTorch reports one of its own."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def _refusal(path: Path, error: OSError) -> str:
    if path.is_dir():
        return f"{path}: is a folder, and a file is to be written there; move it away"
    if isinstance(error, NotADirectoryError | FileExistsError | IsADirectoryError):
        return f"{path}: a file and a folder stand in each other's way ({error.strerror}); move what is there away"
    return f"{path}: cannot be written: {error.strerror}{_OF_THE_DISK.get(error.errno or 0, '')}"


def set_aside(path: str | Path) -> Path:
    """Rename what stands in the way and is no use, so that nothing is lost; returns its new name, beside the old."""
    path, number = Path(path), 1
    while os.path.lexists(aside := path.with_name(f"{path.name}.set-aside-{number}")):
        number += 1
    os.replace(path, aside)
    return aside


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON atomically: sorted keys, NaN refused (a NaN metric is a bug, not a number)."""
    try:
        text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"
    except ValueError as error:
        raise ValueError(f"{path}: cannot be written: {error}") from error
    with written(path) as temporary:
        temporary.write_text(text)


def read_json(path: str | Path) -> Any:
    """Read a JSON artefact; ValueError names the file when it is missing or broken."""
    path = Path(path)
    if not path.exists():
        raise ValueError(f"{path}: no such file; the stage that makes it has not run")
    return parse_json(read_file(path), path)


def file_hash(path: str | Path) -> str:
    """MD5 of a file, as DVC names it; of a folder, of its files' relative names and hashes."""
    path = Path(path)
    if path.is_dir():
        parts = (f"{p.relative_to(path)}:{file_hash(p)}" for p in sorted(path.rglob("*")) if p.is_file())
        return hashlib.md5("\n".join(parts).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def provenance(settings: Any, inputs: Iterable[str | Path]) -> dict[str, Any]:
    """What made an artefact: the settings, and the hash of every input."""
    return {"settings": settings, "inputs": {str(path): file_hash(path) for path in inputs}}


def revision() -> str:
    """The git revision of the working tree, `-dirty` when tracked files differ; 'unknown' outside a repository."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
