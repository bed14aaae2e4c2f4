"""Compiled loops on all of the machine's cores."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

_SPANS_A_CORE = 4  # so that a core whose spans are light takes over from one whose spans are heavy


def over_cores(work: Callable[[int, int], object], count: int, least: int = 1) -> None:
    """Call `work(first, last)` for spans that together are `range(count)`, at least `least` long, a thread a core.

    `work` writes what it finds into its own part of an array, so that nothing depends on the spans or their order, and
    releases the interpreter's lock (numba's `nogil`, numpy's functions). The threads end with the call: a pool that
    stays would be dead in a forked process.
    """
    cores = len(os.sched_getaffinity(0))
    spans = min(cores * _SPANS_A_CORE, count // least)
    if cores == 1 or spans < 2:
        work(0, count)
        return
    bounds = [count * i // spans for i in range(spans + 1)]
    with ThreadPoolExecutor(cores, "evaluate") as pool:
        for done in [pool.submit(work, *span) for span in pairwise(bounds)]:
            done.result()
