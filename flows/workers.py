"""What a Dask worker does before its first shard."""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

import dask
from distributed import WorkerPlugin

from flows.memory import keep_freed_memory

# What keeps a stage's networks and tables in a worker, from shard to shard.
_CACHES = (
    ("flows.spread", "_unpickled"),
    ("pipeline.detection.detect", "_loaded"),
    ("pipeline.evaluation.sets", "_network"),
    ("pipeline.learning.ensemble", "load_member"),
)
_TRIM = "MALLOC_TRIM_THRESHOLD_"


def let_go() -> None:
    """What a worker does when a stage is done: the next one may train on its GPU, and bring large tables of its own."""
    for module, name in _CACHES:
        if module in sys.modules:  # else nothing of it can be there
            getattr(sys.modules[module], name).cache_clear()
    gc.collect()
    if (torch := sys.modules.get("torch")) is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


class PrepareWorker(WorkerPlugin):
    """Worker i of a machine sees GPU i (modulo their number) only, unless its environment already says which.

    Workers of a cluster that is started here are named 0, 1, ...; name yours so (`dask worker --name 0`). Freed memory
    is kept: Dask has its workers give it back at once, which costs a network on the CPU more than its arithmetic.
    """

    name = "prepare"

    def setup(self, worker: Any) -> None:
        if os.environ.get(_TRIM) == str(dask.config.get(f"distributed.nanny.pre-spawn-environ.{_TRIM}", None)):
            del os.environ[_TRIM]  # Dask's wish, not the user's
        keep_freed_memory()
        name = str(worker.name)
        if "CUDA_VISIBLE_DEVICES" in os.environ or not name.isdigit():
            return
        import torch

        if devices := torch.cuda.device_count():  # asks the driver without making this process a user of the GPU
            os.environ["CUDA_VISIBLE_DEVICES"] = str(int(name) % devices)
