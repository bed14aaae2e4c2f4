"""An estimate of a run, as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flows.durations import in_words
from pipeline.benchmarks.estimate import Counts, StagePlan
from pipeline.benchmarks.rates import Rates

_GB = 1e9


def lines(stages: Sequence[StagePlan], counts: Counts, rates: Rates, devices: int) -> Iterator[str]:
    """What was measured, then a line a stage, then the sums and what they rest on."""
    about = rates.conditions
    yield ""
    yield (
        f"measured on {about['device']} ({about['cores']} cores, {about['threads']} threads, load average "
        f"{about['load average']}, {about['precision']}, torch {about['torch']}):"
    )
    yield f"  {'':24} {'trained/s':>10} {'used/s':>10} {'batch':>6} {'memory':>10}"
    for name, rate in rates.networks.items():
        yield (
            f"  {name:24} {rate.training:10.1f} {rate.using:10.1f} {rate.batch_size:6} {rate.megabytes / 1e3:7.1f} GB"
        )
    yield f"  {'training crops, one core':24} {rates.crops:10.1f}"
    yield ""
    yield f"planned on {devices} device{'s' * (devices > 1)}:"
    width = max(len(stage.stage) for stage in stages)
    for stage in stages:
        memory = f"{stage.memory / _GB:5.1f} GB of memory" if stage.memory else ""
        yield (
            f"  {stage.stage:{width}}  {in_words(stage.seconds):>12}  {stage.work:28} {stage.bottleneck:26} "
            f"{stage.disk / _GB:6.2f} GB on disk  {memory}".rstrip()
        )
    seconds, disk = sum(stage.seconds for stage in stages), sum(stage.disk for stage in stages)
    most = max((stage.memory for stage in stages), default=0.0)
    yield (
        f"together {in_words(seconds)}, {disk / _GB:.1f} GB on disk, {most / _GB:.1f} GB of memory a training process; "
        "data, tables, report and start-up (2 s a stage) come on top"
    )
    if devices > 1:
        yield "hours are the least: no device waits for another"
    yield from (f"assumed: {line}" for line in counts.assumed)
