"""Runs a function of the batch number in worker processes and hands its batches on in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

import cv2
import torch
from torch.utils.data import DataLoader, Dataset


class Timed(Protocol):
    """What is made: it can be told how long its consumer waited."""

    data_seconds: float


Made = TypeVar("Made", bound=Timed)


class Feed(Generic[Made]):
    """A sized iterable of the batches `start` to `stop` - 1 that `make` makes.

    With `workers` = 0 they are made when asked for. Each batch learns how long its consumer waited (`data_seconds`).
    A ValueError in a worker is raised here as it was there.
    """

    def __init__(self, make: Callable[[int], Made], start: int, stop: int, workers: int) -> None:
        self.make, self.numbers, self.workers = make, range(start, max(start, stop)), workers

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[Made]:
        if not self.numbers:
            return
        waiting = time.perf_counter()
        for made in self._loader() if self.workers else map(self.make, self.numbers):
            if isinstance(made, ValueError):
                raise made
            made.data_seconds = time.perf_counter() - waiting
            yield made
            waiting = time.perf_counter()

    def _loader(self) -> DataLoader[Any]:
        return DataLoader(
            _Numbered(self.make),
            batch_size=None,
            sampler=self.numbers,
            num_workers=min(self.workers, len(self.numbers)),
            collate_fn=_unchanged,
            worker_init_fn=_one_thread,
            pin_memory=torch.cuda.is_available(),
            multiprocessing_context="fork",  # workers share the table's memory
        )


def pace(samples: int, batches: int, seconds: float, waited: float) -> str:
    """How fast batches were worked off, in words: the time of one, and how much of it was waiting for data.

    `seconds` and `waited` are of all of them together. Waiting is the host's; work that a GPU still has queued goes on.
    """
    seconds, batches = max(seconds, 1e-9), max(batches, 1)
    return (
        f"{samples / seconds:.1f} samples/s; a batch takes {1e3 * seconds / batches:.0f} ms, "
        f"{1e3 * waited / batches:.0f} ms of it waiting for data ({waited / seconds:.0%})"
    )


class _Numbered(Dataset[Any]):
    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make

    def __getitem__(self, number: int) -> Any:
        try:
            return self.make(number)
        except ValueError as error:
            return ValueError(str(error))


def _unchanged(made: Any) -> Any:
    return made


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
