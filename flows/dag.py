"""The whole DAG as one run: what `ccm run` starts, and what the deployment of `ccm serve` starts from the UI."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from flows import durations, lifetime, server
from flows.errors import DvcFailed
from flows.notices import say_once
from flows.repro import Event, Listener, check_repository, reproduce, stages_of
from flows.spread import cluster
from pipeline.progress import Progress
from pipeline.settings import Spread, load_params, warnings
from pipeline.settings.checks import unwatched
from pipeline.settings.profile import assign

FLOW = "pipeline"
EVENTS: dict[Event, str] = {"running": "running", "unchanged": "nothing changed", "restored": "restored from the cache"}


class Request(BaseModel):
    """What to bring up to date."""

    model_config = ConfigDict(extra="forbid")

    targets: list[str] = Field(
        default_factory=list, description="Stages, e.g. evaluate or train_joint@ACHU-CH; none: all"
    )
    settings: list[str] = Field(
        default_factory=list,
        description="key=value, written to params.yaml before the run, e.g. train_joint.epochs=3",
    )
    force: bool = Field(default=False, description="Run the stages even where nothing changed")

    def __str__(self) -> str:
        return " ".join([*(self.targets or ["all stages"]), *self.settings])


def run(request: Request) -> dict[str, Any]:
    """Write the settings, check params.yaml, and bring the targets up to date, as a Prefect run where a server answers.

    ValueError for wrong settings or params; `repro.DvcFailed` when a stage fails.
    """
    check_repository()
    prepare(request)
    lifetime.exit_on_sigterm()
    spread = load_params().spread
    with cluster(spread):
        return _run(request, spread)


def _run(request: Request, spread: Spread) -> dict[str, Any]:
    if server.connect() is None:
        say_once(server.absence())
        ran = reproduce(request.targets, force=request.force, listener=Listener())
        return {"stages run": ran}
    from flows.runs import run_as_flow
    from flows.tracking import close_abandoned

    close_abandoned()
    return run_as_flow(FLOW, str(request), request.model_dump(), spread, lambda progress: watched(request, progress))


def prepare(request: Request) -> None:
    """Edit params.yaml as asked, say what changed, and validate all of it."""
    for change in assign(request.settings) if request.settings else []:
        print(f"params.yaml: {change}", flush=True)
    params = load_params()
    if problems := unwatched(params):
        raise ValueError("\n".join(f"params.yaml: {line}" for line in problems))
    for warning in warnings(params):
        say_once(f"warning: params.yaml: {warning}")


def watched(request: Request, progress: Progress) -> dict[str, Any]:
    """Run the DAG with its stages as subflows of the progress's flow run."""
    from flows.view import PrefectProgress

    assert isinstance(progress, PrefectProgress)
    listener = DagView(progress, stages_of(request.targets))
    try:
        ran = reproduce(request.targets, force=request.force, listener=listener, parent_run=str(progress.run))
    except DvcFailed as error:
        progress.log(str(error), logging.ERROR)
        raise
    listener.finish()
    return {"stages": len(listener.seen), "stages run": ran, "stages cached": len(listener.seen) - ran}


class DagView(Listener):
    """Shows how far the DAG is, the time that what remains took last time, and every skipped stage as Cached."""

    def __init__(self, progress: Any, stages: Sequence[str]):
        self.seen: list[str] = []
        self._progress = progress
        self._stages = list(stages)
        self._known = durations.recall()
        self._show()

    def stage(self, label: str, event: Event) -> None:
        self.seen.append(label)
        self._progress.log(f"{label}: {EVENTS[event]}")
        if event != "running":
            self._progress.cached(label, EVENTS[event])
        self._show()

    def finish(self) -> None:
        """All is done."""
        self._progress.share("stages", 100.0, f"{len(self.seen)} stages up to date")

    def _show(self) -> None:
        current = self.seen[-1:]
        done, total = max(0, len(self.seen) - 1), max(len(self._stages), len(self.seen))
        remaining = [stage for stage in self._stages if stage not in self.seen[:-1]]
        text = f"{done} of {total} stages" + (f", at {current[0]}" if current else "")
        left = durations.time_left(remaining, self._known)
        if left is not None and remaining:
            text += f", about {durations.in_words(left)} left (if each takes as long as last time)"
        self._progress.share("stages", 100.0 * done / max(total, 1), text)
