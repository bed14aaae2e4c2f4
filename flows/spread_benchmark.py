"""How much faster `pseudo_label` is on several Dask workers than on one, on this machine and this workspace's set.

    ccm bench spread [--workers 2] [--rounds 3] [--json]

The people of the first source of `pseudo_label.sources` are labelled by the teachers in `models/`, as the stage would.
Every worker is a process that computes on one core (Dask sets OMP_NUM_THREADS to 1), loads the teachers and labels a
person before its clock starts. One worker and several take turns, so that a busy moment of the machine hits both.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from flows.spread import dask_client, in_workspace, on_client
from pipeline.benchmarks.parsing import bench_parser
from pipeline.learning.ensemble import FuseShard
from pipeline.learning.shards import forget, shards_of
from pipeline.settings import Params, Spread, load_params
from pipeline.steps.pseudo_label import labelling

_WORK = "bench/spread"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the times and their ratio, with what they depend on."""
    parser = bench_parser("ccm bench spread", __doc__, "ccm bench spread --workers 2 --rounds 2")
    parser.add_argument("--workers", type=int, default=2, help="processes to set against one (default 2)")
    parser.add_argument("--rounds", type=int, default=3, help="times that each is measured (default 3)")
    arguments = parser.parse_args(argv)
    if arguments.workers < 2 or arguments.rounds < 1:
        raise ValueError("--workers: allowed: 2 or more; --rounds: allowed: 1 or more")
    params = load_params()
    if not params.pseudo_label.sources:
        raise ValueError("pseudo_label.sources is empty: there is nothing to label")
    figures = measure(params, params.pseudo_label.sources[0], arguments.workers, arguments.rounds)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return 0
    for name, value in figures.items():
        print(f"{name:36} {value}")
    return 0


def measure(params: Params, source: str, workers: int, rounds: int) -> dict[str, Any]:
    """Seconds of each round with one worker and with several, and the ratio of the shortest."""
    label = replace(labelling(params, source)[0], work=_WORK)
    shards = shards_of(label.people, params.spread.shard_images)
    if len(shards) < workers:
        raise ValueError(
            f"spread.shard_images = {params.spread.shard_images}: {source!r} has {len(shards)} such shards; "
            f"allowed: a size that gives {workers} workers one each"
        )
    load = os.getloadavg()[0]
    seconds: dict[int, list[float]] = {1: [], workers: []}
    for _ in range(rounds):
        for count, times in seconds.items():
            times.append(_seconds(label, shards, count))
    return {
        "source": source,
        "people": label.people.num_rows,
        "shards": len(shards),
        "teachers": len(label.folders),
        "seconds, 1 worker": [round(time, 2) for time in seconds[1]],
        f"seconds, {workers} workers": [round(time, 2) for time in seconds[workers]],
        "ratio of the shortest": round(min(seconds[workers]) / min(seconds[1]), 3),
        "median ratio of a round": round(
            statistics.median(several / one for one, several in zip(*seconds.values(), strict=True)), 3
        ),
        "cores": os.cpu_count(),
        "load average before": round(load, 2),
        "python, torch": f"{platform.python_version()}, {torch.__version__}",
    }


def _seconds(label: FuseShard, shards: Sequence[tuple[int, int]], workers: int) -> float:
    forget(_WORK)
    spread = Spread(runner="dask", workers=workers, address=None, shard_images=1)
    with dask_client(spread) as client:
        client.wait_for_workers(workers)
        with in_workspace(_WarmUp(label)) as warm_up:
            client.run(warm_up, None)
        started = time.perf_counter()
        for _ in on_client(client, label, shards):
            pass
        return time.perf_counter() - started


class _WarmUp:
    """Has a worker load the teachers and label one person."""

    def __init__(self, label: FuseShard):
        self._label = label

    def __call__(self, _: None) -> None:
        replace(self._label, work=f"{_WORK}/warm-up-{os.getpid()}")((0, 1))
