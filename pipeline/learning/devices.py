"""Which device and precision the work runs on."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache

import torch
from torch import Tensor

from model.network import PoseNetwork
from model.quick_convolutions import quicken
from pipeline.settings import Compute

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's numbers of these parameters, malloc.h
_TYPES = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick_device(name: str) -> torch.device:
    """`auto` is the first GPU, else the CPU. ValueError when a GPU is asked for and there is none."""
    _keep_memory()
    if name == "auto":
        return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"compute.device = {name!r}: this machine has {torch.cuda.device_count()} GPUs; allowed: auto, cpu"
            + "".join(f", cuda:{i}" for i in range(torch.cuda.device_count()))
        )
    return device


@cache
def _keep_memory() -> None:
    """Have glibc keep the memory of freed tensors for the next ones, instead of giving it back at once.

    Each step would ask the kernel for its feature maps again, page by page: a quarter of a small network's time on a
    CPU (docs/performance.md). Whoever has set glibc's own variables is left alone; so are other C libraries.
    """
    if any(name in os.environ for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_MMAP_THRESHOLD, 32 * 2**20)  # the most that glibc takes


def to_train(network: PoseNetwork, compute: Compute, device: torch.device) -> PoseNetwork:
    """The network itself, as training takes it: on the device, channels last, with quick gradients on a CPU."""
    network = network.to(device).to(memory_format=torch.channels_last)
    if device.type == "cpu" and not compute.compile:
        quicken(network)
    return network.train()


def autocast(compute: Compute, device: torch.device) -> AbstractContextManager[object]:
    """Mixed precision as `compute.precision` says; float32 changes nothing.

    ValueError for float16 on the CPU, whose half-precision gradients underflow without a scaler.
    """
    kind = _TYPES[compute.precision]
    if kind is None:
        return nullcontext()
    if kind is torch.float16 and device.type == "cpu":
        raise ValueError("compute.precision = 'float16' needs a GPU; allowed on the CPU: float32, bfloat16")
    return torch.autocast(device.type, dtype=kind)


def normalise(images: Tensor, device: torch.device, network: PoseNetwork) -> Tensor:
    """uint8 crops [B, 3, H, W] as the network wants them: on the device, channels last, with its mean and deviation."""
    mean, std = _statistic(tuple(network.mean), device), _statistic(tuple(network.std), device)
    moved = images.to(device, non_blocking=True, memory_format=torch.channels_last)
    return (moved.float() - mean) / std


@cache
def _statistic(values: tuple[float, ...], device: torch.device) -> Tensor:
    """[1, 3, 1, 1] on the device once: a copy from the host at every batch would wait for all that is queued there.

    No buffer of the network, because those are averaged and sent between processes.
    """
    with torch.inference_mode(False):  # training uses it too
        return torch.tensor(values, device=device).view(1, -1, 1, 1) * 255


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute a shard on one thread: sums of floats depend on how many share them, and each worker has other cores.

    More workers, not more threads in each, use the cores of a machine.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
