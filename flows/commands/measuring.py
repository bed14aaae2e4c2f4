"""How fast things are, and what networks cost."""

from __future__ import annotations

import argparse
import importlib

from flows.commands.parsing import Arguments, Commands, add_json, command, group

_BENCHMARKS = {
    "postproc": "heatmaps to keypoints, and suppression, by technique",
    "data": "reading annotations, cutting crops, memory",
    "train": "samples a second, and the share of the device's limit",
    "evaluation": "COCO's protocol at val2017's size",
    "load": "every stage but training on 240,000 images and 700,000 people: seconds and memory",
    "predict": "pictures and videos, from the file to the drawn people",
    "spread": "shards over several processes",
}


def add(commands: Commands) -> None:
    """`bench`, `complexity`."""
    inner = group(
        commands,
        "bench",
        "measure speed, with its conditions",
        "ccm bench train --models train_joint\nccm bench data --json",
    )
    for name, line in _BENCHMARKS.items():
        bench = command(inner, name, line, f"ccm bench {name} --json", _bench, own_help=False)
        bench.add_argument("rest", nargs=argparse.REMAINDER, metavar="OPTION", help=f"see ccm bench {name} --help")
        bench.set_defaults(what=name)
    complexity = command(
        commands,
        "complexity",
        "parameters and MACs of the paper's networks, measured",
        "ccm complexity\nccm complexity --json",
        _complexity,
    )
    add_json(complexity, "the rows")


def _bench(arguments: Arguments) -> int:
    module = "flows.spread_benchmark" if arguments.what == "spread" else f"pipeline.benchmarks.{arguments.what}"
    return int(importlib.import_module(module).main(arguments.rest) or 0)


def _complexity(arguments: Arguments) -> int:
    module = importlib.import_module("pipeline.benchmarks.complexity")
    return int(module.main(["--json"] if arguments.json else []) or 0)
