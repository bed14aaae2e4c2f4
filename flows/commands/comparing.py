"""Experiments, and the paper's tables beside what was measured."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from flows.commands.parsing import (
    Arguments,
    Commands,
    add_json,
    add_settings,
    at_least_one,
    command,
    group,
    print_json,
    whole_numbers,
)


def add(commands: Commands) -> None:
    """`exp`, `table`, `plots`."""
    inner = group(
        commands,
        "exp",
        "grids of experiments: queue, run, compare",
        "ccm exp grid -S mine_hard_negatives.score_threshold=0.5,0.7,0.9\nccm exp show",
    )
    grid = command(
        inner,
        "grid",
        "queue every combination of settings, and run them",
        "ccm exp grid -S mine_hard_negatives.score_threshold=0.5,0.7,0.9\n"
        "ccm exp grid evaluate -S train_joint.seed,fine_tune.seed=1,2 --jobs 2",
        _grid,
        detail="Keys joined by commas take the same value.",
    )
    grid.add_argument("targets", nargs="*", metavar="TARGET", help="stages, e.g. evaluate; none: all")
    add_settings(grid, "values to try, e.g. mine_hard_negatives.score_threshold=0.5,0.7,0.9; any number of times")
    _add_jobs(grid)
    grid.add_argument("--queue-only", action="store_true", help="run them later, with `ccm exp start`")
    start = command(inner, "start", "run what is queued", "ccm exp start --jobs 2", _start)
    _add_jobs(start)
    mean = command(
        inner, "mean", "evaluations, mean and spread over runs that differ in seeds only", "ccm exp mean", _mean
    )
    add_json(mean)
    show = command(
        inner,
        "show",
        "experiments side by side: the settings that vary, and AP",
        "ccm exp show\nccm exp show --json\nccm exp show --csv --only-changed",
        _exp_show,
        detail="With other options it is `dvc exp show` with these options.",
    )
    add_json(show)
    show.set_defaults(rest=[])

    table = command(
        commands,
        "table",
        "a table of the paper beside what was measured here",
        "ccm table 7\nccm table 6 --run --seeds 0,1,2",
        _table,
    )
    table.add_argument("number", type=int, metavar="N", help="2 to 14")
    table.add_argument("--run", action="store_true", dest="lacking", help="run the experiments that it lacks first")
    _add_jobs(table)
    table.add_argument("--seeds", type=whole_numbers, default=[], metavar="N,N", help="run each row with these seeds")
    add_json(table)

    plots = command(
        commands,
        "plots",
        "the trainings' curves as a page that needs no network",
        "ccm plots\nccm plots --output curves.html",
        _plots,
    )
    plots.add_argument("--output", metavar="FILE", default="reports/curves.html", help="default: reports/curves.html")


def _add_jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=at_least_one, default=1, metavar="N", help="experiments at a time; default: 1")


def _table(arguments: Arguments) -> int:
    from flows import experiments
    from pipeline.report.paper_tables import compare, show

    runs = experiments.runs_for_table(arguments.number, arguments.lacking, arguments.jobs, arguments.seeds)
    print_json(asdict(compare(arguments.number, runs))) if arguments.json else print(show(arguments.number, runs))
    return 0


def _grid(arguments: Arguments) -> int:
    from flows import experiments

    if not arguments.settings:
        raise ValueError("nothing to vary: add -S key=value,value")
    experiments.queue(experiments.grid(arguments.settings), arguments.targets)
    return 0 if arguments.queue_only else _start(arguments)


def _start(arguments: Arguments) -> int:
    from flows import experiments

    experiments.run_queue(arguments.jobs)
    _print_compared()
    return 0


def _mean(arguments: Arguments) -> int:
    from flows import experiments

    if arguments.json:
        _print_compared(as_json=True)
    else:
        print(experiments.means())
    return 0


def _exp_show(arguments: Arguments) -> int:
    from flows import experiments

    if arguments.rest:
        return experiments.dvc_exp_show(arguments.rest)
    _print_compared(arguments.json)
    return 0


def _print_compared(as_json: bool = False) -> None:
    from flows import experiments
    from pipeline.report.paper_tables import table_text

    found = experiments.compared()
    print_json([each.as_dict() for each in found]) if as_json else print(table_text(found))


def _plots(arguments: Arguments) -> int:
    from pathlib import Path

    from pipeline.records.artefacts import written
    from pipeline.report.page import make_curves
    from pipeline.settings import load_params

    path = Path(arguments.output)
    with written(path) as temporary:
        temporary.write_text(make_curves(load_params()), encoding="utf-8")
    print(path.resolve().as_uri())
    return 0
