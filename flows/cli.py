"""The command `ccm`. Starts fast: what a command needs is imported when it runs."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from flows.errors import DvcFailed
from flows.memory import keep_freed_memory

Arguments = argparse.Namespace


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 2 for wrong input (one message, no traceback), 130 or 143 when interrupted."""
    # Before torch is imported: threads that wait by spinning take the cores from those that work on a shared machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    keep_freed_memory()
    workspace = str(Path.cwd())
    if (Path(workspace) / "pipeline" / "steps").is_dir() and workspace not in sys.path:
        sys.path.insert(0, workspace)  # an experiment's copy of the project runs its own code
    arguments = _arguments(argv)
    try:
        return int(arguments.run(arguments) or 0)
    except ValueError as error:
        print(f"ccm: {error}", file=sys.stderr)
        return 2
    except DvcFailed:  # its last lines are on the terminal already
        return 1
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("ccm: interrupted", file=sys.stderr)
        return 130


def _arguments(argv: Sequence[str] | None) -> Arguments:
    """What was typed. Options that `ccm` does not know are handed on by the commands that run another (`rest`)."""
    parser = _parser()
    arguments, unknown = parser.parse_known_args(argv)
    if unknown and not hasattr(arguments, "rest"):
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    if unknown:
        arguments.rest = [*unknown, *arguments.rest]
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ccm", description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    stage = commands.add_parser("stage", help="run one stage (what dvc.yaml calls)")
    stage.add_argument("name")
    stage.add_argument("item", nargs="?")
    stage.set_defaults(run=_stage)

    run = commands.add_parser("run", help="bring everything up to date (dvc repro), as one run in the Prefect UI")
    run.add_argument("targets", nargs="*", metavar="TARGET", help="stages, e.g. evaluate; none: all")
    _add_settings(run, "set it in params.yaml first, e.g. train_joint.epochs=3")
    run.add_argument("--force", action="store_true", help="run the stages even where nothing changed")
    run.set_defaults(run=_run)

    ui = commands.add_parser("ui", help="start the local Prefect server, or find it, and print its address")
    ui.add_argument("--port", type=int)
    ui.add_argument("--stop", action="store_true")
    ui.set_defaults(run=_ui)

    serve = commands.add_parser("serve", help="offer the whole run in the Prefect UI: a form, Run, Cancel, a schedule")
    serve.add_argument("--cron", help="also run by this schedule, e.g. '0 3 * * *'")
    serve.set_defaults(run=_serve)

    params = commands.add_parser("params", help="check params.yaml")
    params.set_defaults(run=_params)

    profile = commands.add_parser("profile", help="list the profiles, or write one over params.yaml")
    profile.add_argument("name", nargs="?")
    profile.add_argument("--yes", action="store_true", help="do not ask")
    profile.add_argument("--force", action="store_true", help="drop edits that are saved nowhere else")
    profile.set_defaults(run=_profile)

    data = commands.add_parser("data", help="look at the data sets")
    data_commands = data.add_subparsers(required=True, metavar="COMMAND")
    check = data_commands.add_parser("check", help="say which files are missing or odd before anything runs")
    check.set_defaults(run=_data_check)

    bench = commands.add_parser("bench", help="measure speed", add_help=False)
    bench.add_argument("what", choices=["postproc", "data", "train", "evaluation", "spread"])
    bench.add_argument("rest", nargs=argparse.REMAINDER)
    bench.set_defaults(run=lambda a: _benchmark(a.what, a.rest))

    table = commands.add_parser("table", help="a table of the paper beside what was measured here")
    table.add_argument("number", type=int, metavar="N", help="2 to 14")
    table.add_argument("--run", action="store_true", dest="lacking", help="run the experiments that it lacks first")
    table.add_argument("--jobs", type=int, default=1, help="experiments at a time")
    table.add_argument("--seeds", type=_whole_numbers, default=[], metavar="N,N", help="run each row with these seeds")
    table.set_defaults(run=_table)

    experiments = commands.add_parser("exp", help="grids of experiments")
    experiment_commands = experiments.add_subparsers(required=True, metavar="COMMAND")
    grid = experiment_commands.add_parser("grid", help="queue every combination of settings, and run them")
    grid.add_argument("targets", nargs="*", metavar="TARGET", help="stages, e.g. evaluate; none: all")
    _add_settings(grid, "values to try, e.g. mine_hard_negatives.score_threshold=0.5,0.7,0.9")
    grid.add_argument("--jobs", type=int, default=1, help="experiments at a time")
    grid.add_argument("--queue-only", action="store_true", help="run them later, with `ccm exp start`")
    grid.set_defaults(run=_exp_grid)
    start = experiment_commands.add_parser("start", help="run what is queued")
    start.add_argument("--jobs", type=int, default=1, help="experiments at a time")
    start.set_defaults(run=_exp_start)
    mean = experiment_commands.add_parser(
        "mean", help="evaluations, mean and spread over runs that differ in seeds only"
    )
    mean.set_defaults(run=_exp_mean)
    compare = experiment_commands.add_parser("show", help="experiments side by side (dvc exp show)", add_help=False)
    compare.add_argument("rest", nargs=argparse.REMAINDER)
    compare.set_defaults(run=_exp_show)

    export = commands.add_parser("export", help="write a trained model as an ONNX file")
    export.add_argument("model", metavar="MODEL", help="a model's folder, e.g. models/final/ACHU-CH")
    export.add_argument("--output", metavar="FILE", help="default: exports/<name of the folder>.onnx")
    export.add_argument("--heatmaps", action="store_true", help="heatmaps instead of coordinates and scores")
    export.set_defaults(run=_export)

    complexity = commands.add_parser("complexity", help="parameters and MACs of the paper's networks, measured")
    complexity.add_argument("--json", action="store_true", help="print the rows as JSON")
    complexity.set_defaults(run=lambda a: _benchmark("complexity", ["--json"] if a.json else []))
    return parser


def _whole_numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _stage(arguments: Arguments) -> int:
    from flows.stages import run_stage

    run_stage(arguments.name, arguments.item)
    return 0


def _add_settings(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("-S", "--set", action="append", default=[], metavar="KEY=VALUE", dest="settings", help=text)


def _run(arguments: Arguments) -> int:
    from flows import dag

    dag.run(dag.Request(targets=arguments.targets, settings=arguments.settings, force=arguments.force))
    return 0


def _ui(arguments: Arguments) -> int:
    from flows import ui

    if arguments.stop:
        print("the Prefect server is stopped" if ui.stop() else "there was no Prefect server of this workspace")
    else:
        print(f"Prefect UI: {ui.start(arguments.port)}")
    return 0


def _serve(arguments: Arguments) -> int:
    from flows import ui

    page = ui.start()  # before prefect is imported: it tells where the server is
    from flows.deployment import serve

    print(f"Serving the whole run: {page}/deployments (Ctrl-C ends it)", flush=True)
    serve(arguments.cron)
    return 0


def _params(arguments: Arguments) -> int:
    from pipeline.settings import PARAMS_FILE, load_params, warnings

    params = load_params()
    for warning in warnings(params):
        print(f"warning: {PARAMS_FILE}: {warning}", file=sys.stderr)
    print(f"{PARAMS_FILE}: ok (profile {params.profile}, strategies {', '.join(params.strategies)})")
    return 0


def _profile(arguments: Arguments) -> int:
    from pipeline.settings import PARAMS_FILE
    from pipeline.settings.profile import profile_changes, profiles, use_profile

    if arguments.name is None:
        for name, path in profiles().items():
            print(f"{name}  ({path})")
        return 0
    changes = profile_changes(arguments.name)
    for change in changes:
        print(change)
    if not changes:
        print(f"{PARAMS_FILE} already says what profile {arguments.name!r} says")
        return 0
    if not arguments.yes and not _confirmed(f"write these {len(changes)} changes to {PARAMS_FILE}?"):
        print("nothing written")
        return 1
    use_profile(arguments.name, force=arguments.force)
    print(f"{PARAMS_FILE}: now profile {arguments.name!r}")
    return 0


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise ValueError(f"{question} there is nobody to ask; add --yes")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _table(arguments: Arguments) -> int:
    from flows import experiments

    experiments.paper_table(arguments.number, arguments.lacking, arguments.jobs, arguments.seeds)
    return 0


def _exp_grid(arguments: Arguments) -> int:
    from flows import experiments

    if not arguments.settings:
        raise ValueError("nothing to vary: add -S key=value,value")
    experiments.queue(experiments.grid(arguments.settings), arguments.targets)
    return 0 if arguments.queue_only else _exp_start(arguments)


def _exp_start(arguments: Arguments) -> int:
    from flows import experiments

    experiments.run_queue(arguments.jobs)
    return _exp_show(argparse.Namespace(rest=[]))


def _exp_mean(arguments: Arguments) -> int:
    from flows import experiments

    print(experiments.means())
    return 0


def _exp_show(arguments: Arguments) -> int:
    import subprocess

    from flows.experiments import SHOWN
    from flows.repro import dvc_command

    options = arguments.rest or ["--no-pager", *SHOWN]
    return subprocess.run([*dvc_command(), "exp", "show", *options], check=False).returncode


def _data_check(arguments: Arguments) -> int:
    from pipeline.settings import load_params

    check = importlib.import_module("pipeline.sources.check").check
    return int(check(load_params()) or 0)


def _export(arguments: Arguments) -> int:
    from pipeline.predict.export import export_model

    path = export_model(arguments.model, arguments.output, arguments.heatmaps)
    result = "heatmaps" if arguments.heatmaps else "coordinates in crop pixels, scores"
    print(f"{path}: uint8 RGB crops in, {result} out; onnxruntime and torch agree")
    return 0


def _benchmark(what: str, rest: list[str]) -> int:
    module = "flows.spread_benchmark" if what == "spread" else f"pipeline.benchmarks.{what}"
    return int(importlib.import_module(module).main(rest) or 0)


if __name__ == "__main__":
    sys.exit(main())
