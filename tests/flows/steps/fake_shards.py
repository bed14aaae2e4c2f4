"""A stage that maps shards over the workers and merges what they return."""

import os
import time
from pathlib import Path

from pipeline.records.artefacts import written


def square(number):
    """One shard: leaves a trace of the process that ran it."""
    time.sleep(float(Path("shard.seconds").read_text()))
    with written(Path("shards") / f"{number}.txt") as temporary:
        temporary.write_text(str(number**2))
    with Path("workers").open("a") as file:
        file.write(f"{os.getpid()}\n")
    return number**2


def run(params, progress, item=None):
    squares = progress.map(square, list(range(12)), description="squares")
    with progress.task("merge"), written(Path("out/shards.txt")) as temporary:
        temporary.write_text("".join(f"{value}\n" for value in squares))
    return {"sum": sum(squares)}
