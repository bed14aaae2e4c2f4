"""Work that is killed with SIGKILL at random moments and started again, until it comes to its end."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]
AT_MOST = 5  # files that one life may publish: as many as it takes to finish a run


def killed_until_done(work: Callable[[], None], seed: int = 0) -> int:
    """Run `work` in one process after another, all but the last killed; the number of kills.

    A life reports every file that it publishes, by a rename (`pipeline.records.artefacts.written`). It is killed up to
    30 ms after a random one of its first, and stands still at its `AT_MOST`th: however busy the machine is, no life
    comes further before it is killed. Whatever lies there after a kill must be whole.
    """
    context = multiprocessing.get_context("forkserver")  # torch is imported once
    context.set_forkserver_preload(["pipeline.detection.job", "pipeline.learning.training.job"])
    moments, kills = random.Random(seed), 0
    while True:
        listen, report = context.Pipe(duplex=False)
        life = context.Process(target=_live, args=(work, report))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(ROOT))  # the server that forks finds its modules there
            life.start()
        report.close()
        if not _published(listen, moments.randrange(AT_MOST)):
            life.join()
            assert life.exitcode == 0
            return kills
        time.sleep(moments.uniform(0, 0.03))
        life.kill()
        life.join()
        if life.exitcode == 0:  # it had published its last file, and ended before the signal came
            return kills
        assert life.exitcode == -signal.SIGKILL
        kills += 1
        all_are_whole(Path.cwd())


def _published(listen: Connection, count: int) -> bool:
    """Wait until a life has started and published `count` files; False when it ends before."""
    try:
        for _ in range(1 + count):
            listen.recv()
    except EOFError:
        return False
    return True


def _live(work: Callable[[], None], report: Connection) -> None:
    torch.set_num_threads(1)
    rename, renames = os.replace, 0

    def publish(*paths: Any) -> None:
        nonlocal renames
        while renames == AT_MOST:
            time.sleep(1)
        rename(*paths)
        renames += 1
        report.send(renames)

    os.replace = publish  # type: ignore[assignment]
    report.send("started")
    work()


def all_are_whole(folder: Path) -> None:
    """Read every file below a folder, those aside that are still being written and have a name that says so."""
    readers: dict[str, Callable[[Path], object]] = {
        ".pt": lambda path: torch.load(path, weights_only=True),
        ".safetensors": load_file,
        ".json": lambda path: json.loads(path.read_text()),
        ".csv": pd.read_csv,
    }
    for path in folder.rglob("*"):
        published = not any(part.endswith(".partial") for part in path.relative_to(folder).parts)
        if published and path.suffix in readers:
            readers[path.suffix](path)
