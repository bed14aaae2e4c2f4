"""Several training processes: started here by torchrun's own launcher, or by whoever set its variables."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist


def rank() -> int:
    """This process's number among those that train together; 0 when it trains alone."""
    return dist.get_rank() if dist.is_initialized() else int(os.environ.get("RANK", 0))


def local_rank() -> int:
    """This process's number on its machine, which is the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", 0))


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else int(os.environ.get("WORLD_SIZE", 1))


def own_device(device: torch.device) -> torch.device:
    """Of several processes on one machine each has its own GPU; where there are fewer, they share them in turn."""
    if device.type != "cuda" or world_size() == 1:
        return device
    return torch.device("cuda", local_rank() % torch.cuda.device_count())


def check_world(processes: int) -> None:
    """Has torchrun started as many processes, on all machines together, as params say? ValueError if not.

    The params decide, since the result depends on the number: a rerun by DVC alone then finds the run that is finished.
    """
    if world_size() not in (1, processes):
        raise ValueError(
            f"compute.processes = {processes}, but torchrun has started {world_size()} processes on all machines "
            f"together; set compute.processes to {world_size()}, or change --nnodes and --nproc-per-node"
        )


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the other processes when torchrun (or this module's `launch`) started us; do nothing when alone."""
    if world_size() == 1 or dist.is_initialized():
        yield
        return
    dist.init_process_group(backend(device))
    try:
        yield
    finally:
        dist.destroy_process_group()


def backend(device: torch.device) -> str:
    """NCCL wants a GPU for each process; gloo goes without."""
    alone = int(os.environ.get("LOCAL_WORLD_SIZE", 1)) <= torch.cuda.device_count()
    return "nccl" if device.type == "cuda" and alone else "gloo"


def mean_over_processes(values: torch.Tensor) -> torch.Tensor:
    """The mean of a tensor over all processes."""
    if not dist.is_initialized():
        return values
    values = values.clone()
    dist.all_reduce(values)
    return values / dist.get_world_size()


def from_first(value: dict[str, float]) -> dict[str, float]:
    """The value that the first process has, in all of them."""
    if not dist.is_initialized():
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


def all_agree(value: bool) -> bool:
    """Whether it is true in all processes."""
    if not dist.is_initialized():
        return value
    found = [False] * dist.get_world_size()
    dist.all_gather_object(found, value)
    return all(found)


def launch(function: Callable[..., Any], arguments: tuple[Any, ...], processes: int) -> None:
    """Run a picklable function in `processes` new processes that form one group, through torchrun's launcher.

    A ValueError of one of them is raised here as it was there; the launcher itself would end in a traceback of many.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=f"ccm-{os.getpid()}",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        start_method="spawn",
    )
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        try:
            elastic_launch(config, _reporting)(function, arguments, folder)
        except ChildFailedError:
            refusals = sorted(Path(folder).iterdir())
            if not refusals:
                raise
            raise ValueError(refusals[0].read_text()) from None


def _reporting(function: Callable[..., Any], arguments: tuple[Any, ...], folder: str) -> None:
    """What a process of the group does; what it refuses goes into a file, named by its number."""
    try:
        function(*arguments)
    except ValueError as error:
        Path(folder, f"{rank():06}").write_text(str(error))
        raise SystemExit(2) from None
