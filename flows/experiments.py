"""Ablation grids as DVC experiments: queued from one command, run one after the other or side by side, compared."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from flows import lifetime, server
from flows.notices import say_once
from flows.repro import Listener, check_repository, child_environment, dvc_command, run_dvc
from pipeline.layout import STATE, STATE_VARIABLE
from pipeline.progress import Progress
from pipeline.report.paper_tables import (
    Reached,
    Run,
    experiments_for,
    mean_figures,
    recorded_run,
    side_by_side,
    workspace_run,
)
from pipeline.settings import PARAMS_FILE, load_params
from pipeline.settings.merging import as_written
from pipeline.settings.profile import edited, parse_value, split_setting
from pipeline.settings.reading import load_yaml, read_text

FLOW = "experiments"
_COPIES = Path(".dvc/tmp/exps")  # where DVC puts a copy of the workspace for each queued experiment
_COMMITS = 10  # how far back experiments count


def grid(settings: Sequence[str]) -> list[dict[str, Any]]:
    """Every combination of `key=value,value,...`; a comma inside brackets or quotes belongs to its value.

    Keys joined by commas take the same value: `train_joint.seed,fine_tune.seed=0,1,2`.
    """
    axes = []
    for setting in settings:
        keys, text = split_setting(setting)
        values = [parse_value(value, setting) for value in split_values(text)]
        axes.append([dict.fromkeys(map(str.strip, keys.split(",")), value) for value in values])
    return [dict(itertools.chain(*map(dict.items, combination))) for combination in itertools.product(*axes)]


def split_values(text: str) -> list[str]:
    """Split at the commas outside of brackets and quotes."""
    return [part.strip() for part in re.findall(r"""(?:[^,\[\]{}'"]|\[[^\]]*\]|\{[^}]*\}|'[^']*'|"[^"]*")+""", text)]


def queue(experiments: Sequence[Mapping[str, Any]], targets: Sequence[str] = ()) -> None:
    """Queue each set of params as a DVC experiment, of all stages or of what the targets need.

    Every one is validated first: ValueError for params that are wrong, and nothing is queued.
    """
    check_repository()
    for settings in experiments:
        edited(settings)
    reach_outside(load_yaml(read_text(PARAMS_FILE), str(PARAMS_FILE)))
    for settings in experiments:
        overrides = [f"--set-param=++{key}={override(value)}" for key, value in settings.items()]
        command = [*dvc_command(), "exp", "run", "--queue", *overrides, *targets]
        result = subprocess.run(command, capture_output=True, text=True, env=child_environment())
        if result.returncode != 0:
            raise ValueError(f"dvc exp run --queue: {result.stderr.strip() or result.stdout.strip()}")
        found = re.search(r"Queued experiment '(.+?)'", result.stdout)
        print(f"{found.group(1) if found else 'queued'}: {_in_words(settings)}", flush=True)


def reach_outside(params: Mapping[str, Any]) -> None:
    """Let the copies of the workspace that queued experiments run in find the data that params name by `../`.

    ValueError where DVC has a folder of that name among the copies.
    """
    for path in filter(lambda leaf: leaf.startswith("../"), _texts(params)):
        ups = sum(1 for _ in itertools.takewhile(lambda part: part == "..", Path(path).parts))
        beside = Path(*Path(path).parts[: ups + 1])
        link = Path(os.path.normpath(_COPIES / "copy" / beside))
        if ups > len(_COPIES.parts) or link.is_symlink():
            continue
        if link.exists():
            raise ValueError(f"{path}: experiments cannot reach it, for DVC has a {link}; allowed: an absolute path")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path(os.path.normpath(Path.cwd() / beside)))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _texts(inner)


def run_queue(jobs: int) -> None:
    """Run what is queued, `jobs` at a time, as one run in the Prefect UI where a server answers; then compare."""
    lifetime.exit_on_sigterm()
    if server.connect() is None:
        say_once(server.absence())
        _run_all(jobs)
        return
    from flows.runs import run_as_flow

    def work(progress: Progress) -> dict[str, Any]:
        from flows.view import PrefectProgress

        assert isinstance(progress, PrefectProgress)
        _run_all(jobs, str(progress.run))
        progress.table("experiments", [each.as_dict() for each in compared()])
        return {}

    run_as_flow(FLOW, f"queue, {jobs} at a time", {"jobs": jobs}, load_params().spread, work)


def _run_all(jobs: int, parent_run: str | None = None) -> None:
    if jobs > 1:  # side by side, they share the cores
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    os.environ[STATE_VARIABLE] = str(STATE.absolute())
    run_dvc(["exp", "run", "--run-all", "--jobs", str(jobs)], Listener(), parent_run)


def compared() -> list[Reached]:
    """What the workspace and the experiments have reached."""
    return side_by_side([workspace_run(), *experiment_runs()])


def dvc_exp_show(options: Sequence[str]) -> int:
    """`dvc exp show` with options of its own; its exit status."""
    return subprocess.run([*dvc_command(), "exp", "show", *options], check=False, env=child_environment()).returncode


def runs_for_table(number: int, run: bool, jobs: int, seeds: Sequence[int] = ()) -> list[Run]:
    """The runs to hold against a table of the paper; with `run`, the experiments it lacks are queued and run first.

    With `seeds`, each row is wanted once a seed of the training on Phi and Theta.
    """
    runs = [workspace_run(), *experiment_runs()]
    if run:
        wanted = [as_written(settings, runs[0].params) for settings in experiments_for(number, runs, seeds)]
        if wanted:
            queue(wanted)
            run_queue(jobs)
            runs = [workspace_run(), *experiment_runs()]
        else:
            print("no experiment is lacking that can be run here")
    return runs


def means() -> str:
    """What `evaluate` measured in the workspace and the experiments, with the spread over seeds."""
    return mean_figures([workspace_run(), *experiment_runs()])


def experiment_runs() -> list[Run]:
    """The experiments of the last commits, as DVC has them."""
    command = [*dvc_command(), "exp", "show", "--json", f"--num={_COMMITS}"]
    result = subprocess.run(command, capture_output=True, text=True, env=child_environment())
    if result.returncode != 0:  # outside a git repository there are none
        return []
    baselines = json.loads(result.stdout)
    return [run for baseline in baselines for entry in baseline["experiments"] or [] for run in _runs(entry)]


def _runs(entry: Mapping[str, Any]) -> list[Run]:
    state = (entry.get("executor") or {}).get("state") or "success"
    if state == "failed":
        return []
    found = []
    for revision in entry["revs"][:1]:
        name = entry["name"] or revision["rev"][:7]
        params, lock = _file_at(revision["rev"], str(PARAMS_FILE)), _file_at(revision["rev"], "dvc.lock")
        run = recorded_run(name, params, lock, _cache(), pending=state != "success")
        found += [run] if run is not None else []
    return found


def _file_at(revision: str, name: str) -> str:
    """A file's text at a git revision; empty where it has none."""
    shown = subprocess.run(["git", "show", f"{revision}:{name}"], capture_output=True, text=True)
    return shown.stdout if shown.returncode == 0 else ""


@cache
def _cache() -> Path:
    """DVC's cache, wherever it is configured to be."""
    shown = subprocess.run([*dvc_command(), "cache", "dir"], capture_output=True, text=True, env=child_environment())
    return Path(shown.stdout.strip() or ".dvc/cache")


def override(value: Any) -> str:
    """A value in the grammar of `dvc exp run --set-param`, where a bare `A:B` is an error."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, str):
        return value if re.fullmatch(r"[A-Za-z_][\w.]*", value) else "'" + value.replace("'", r"\'") + "'"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{override(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(override(item) for item in value) + "]"
    return repr(value)


def _in_words(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {value}" for key, value in settings.items()) or "as params.yaml"
