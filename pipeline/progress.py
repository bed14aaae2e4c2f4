"""How a step tells what it is doing. Steps speak to a `Progress`; the terminal is one listener, Prefect another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from tqdm import tqdm

from pipeline.records.text import printable

Item = TypeVar("Item")
Result = TypeVar("Result")


class Progress:
    """Terminal progress: bars with rate and ETA. Subclasses show the same elsewhere as well."""

    def task(self, name: str) -> AbstractContextManager[None]:
        """A named piece of the stage's work, e.g. "load", "epoch 3", "write"."""
        return nullcontext()

    def track(
        self, items: Iterable[Item], *, total: int | None = None, description: str = "", unit: str = "it"
    ) -> Iterator[Item]:
        """Yield the items, showing how many are done, the rate and the time left."""
        if total is None and isinstance(items, Sequence):
            total = len(items)
        started, done = time.monotonic(), 0
        with tqdm(items, total=total, desc=description, unit=unit, mininterval=1.0, dynamic_ncols=True) as bar:
            self.advance(description, 0, total, 0.0)
            for item in bar:
                yield item
                done += 1
                self.advance(description, done, total, time.monotonic() - started)

    def advance(self, description: str, done: int, total: int | None, seconds: float) -> None:
        """Called as `track` proceeds; the terminal bar needs nothing more."""

    def say(self, message: str) -> None:
        """One line for the person who watches."""
        tqdm.write(printable(message))

    def table(self, key: str, rows: Sequence[dict[str, Any]], description: str = "") -> None:
        """Figures of the stage, one dict a row. `key`: lowercase letters, digits, dashes."""

    def image(self, key: str, png: bytes, description: str = "") -> None:
        """A small picture (PNG bytes)."""

    def map(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        description: str = "",
        unit: str = "shards",
    ) -> list[Result]:
        """Run an idempotent, picklable function on every item; where it runs is the listener's business."""
        return [function(item) for item in self.track(items, description=description, unit=unit)]


class Silence(Progress):
    """Says and shows nothing: for processes that work beside one that does."""

    def track(
        self, items: Iterable[Item], *, total: int | None = None, description: str = "", unit: str = "it"
    ) -> Iterator[Item]:
        """Yield the items."""
        yield from items

    def say(self, message: str) -> None:
        """Nothing."""
