"""Several training processes: started here by torchrun's own launcher, or by whoever set its variables."""

from __future__ import annotations

import inspect
import logging
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

WAIT_SECONDS = 1800.0  # for the slowest process: validation and the writing of states lie between

Value = TypeVar("Value")
_talk: list[Any] = []  # of the host's values, while the processes are one group


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
    limit = timedelta(seconds=WAIT_SECONDS)
    dist.init_process_group(backend(device), timeout=limit)
    # Waiting goes over gloo, which says who is missing, and does not keep a GPU busy.
    _talk.append(dist.new_group(backend="gloo", timeout=limit))
    try:
        yield
    finally:
        _talk.clear()
        dist.destroy_process_group()


def backend(device: torch.device) -> str:
    """NCCL wants a GPU for each process; gloo goes without."""
    alone = int(os.environ.get("LOCAL_WORLD_SIZE", 1)) <= torch.cuda.device_count()
    return "nccl" if device.type == "cuda" and alone else "gloo"


def in_parallel(network: nn.Module, device: torch.device) -> nn.Module:
    """The network, whose gradients are from now on the means over all processes; itself when it trains alone.

    Each process keeps batch statistics of its own, which `take_buffers` makes one where they are looked at: sent at
    every step they would cost small networks on a CPU an eighth of their time, and training never reads them.
    """
    if world_size() == 1:
        return network
    name = "forward_sync_buffers"  # since torch 2.14
    known = name in inspect.signature(DistributedDataParallel).parameters
    settings: dict[str, Any] = {name if known else "broadcast_buffers": False}
    ids = [device.index] if device.type == "cuda" else None
    return DistributedDataParallel(network, device_ids=ids, gradient_as_bucket_view=True, **settings)


def mean_over_processes(values: torch.Tensor) -> torch.Tensor:
    """The mean of a tensor over all processes."""
    if not dist.is_initialized():
        return values
    values = values.clone()
    dist.all_reduce(values)
    return values / dist.get_world_size()


def from_all(value: Value, what: str) -> list[Value]:
    """The values that all processes have, in their order, in each of them.

    RuntimeError after `WAIT_SECONDS` names the processes that have not come to `what` (words for the message).
    """
    if not dist.is_initialized():
        return [value]
    wait_for_all(what)
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, value, group=_talk[0])
    return found


def wait_for_all(what: str) -> None:
    """Go on when every process has come here; RuntimeError as `from_all` says."""
    if not dist.is_initialized():
        return
    try:
        dist.monitored_barrier(_talk[0], timedelta(seconds=WAIT_SECONDS), wait_all_ranks=True)
    except RuntimeError as error:
        raise RuntimeError(
            f"process {rank()} of {world_size()} has waited up to {WAIT_SECONDS:g} s for {what}: {error}"
        ) from error


def of_first(make: Callable[[], Value], what: str) -> Value:
    """What the first process makes, in all of them; they wait for `what` (words for the message of `from_all`)."""
    if not dist.is_initialized():
        return make()
    made: list[Any] = [make() if rank() == 0 else None]
    wait_for_all(what)
    dist.broadcast_object_list(made, 0, group=_talk[0])
    value: Value = made[0]
    return value


def check_alike(decided_by: dict[str, Any], what: str) -> None:
    """ValueError in all processes unless all have the same in mind, as machines with folders of their own may not.

    Args:
        decided_by: what the result depends on, by name.
        what: words for the message, should somebody be missing.
    """
    everybody = from_all((socket.gethostname(), os.getcwd(), decided_by), what)
    host, folder, first = everybody[0]
    for number, (other_host, other_folder, other) in enumerate(everybody):
        if different := [name for name in {**first, **other} if first.get(name) != other.get(name)]:
            raise ValueError(
                f"process {number} ({other_host}:{other_folder}) and process 0 ({host}:{folder}) do not have the same "
                f"{' and '.join(different)}; give all machines the same params, data, code and environment"
            )


def share_of(count: int) -> tuple[int, int]:
    """First and last (exclusive) of `count` things that are this process's part, the same for all but one thing."""
    if not dist.is_initialized():
        return 0, count
    return count * rank() // world_size(), count * (rank() + 1) // world_size()


def take_buffers(network: nn.Module) -> None:
    """The first process's buffers in all of them: each has batch statistics of its own."""
    if dist.is_initialized():
        for buffer in network.buffers():
            dist.broadcast(buffer, 0)


def all_agree(value: bool) -> bool:
    """Whether it is true in all processes."""
    if not dist.is_initialized():
        return value
    return all(from_all(value, "the others' answer"))


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
