"""The whole run as a Prefect deployment: its parameters are a form in the UI, Cancel ends all it started."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import prefect.runtime.flow_run
import psutil
from prefect import flow
from prefect.runner import Runner

from flows import dag, lifetime
from flows.repro import check_targets
from flows.runs import watching
from flows.tracking import this_process
from pipeline.settings import load_params
from pipeline.settings.profile import parse_value, split_setting


@flow(name=dag.FLOW, flow_run_name="{request}", persist_result=False)
def bring_up_to_date(request: dag.Request = dag.Request()) -> None:  # noqa: B008 - the form shows the default
    """Bring the pipeline, or the stages named in `targets`, up to date, as `ccm run` and `dvc repro` do."""
    check_form(request)
    dag.prepare(request)
    run_id = UUID(str(prefect.runtime.flow_run.id))
    with watching(load_params().spread, run_id) as progress:
        progress.post(lambda client: client.update_flow_run(run_id, infrastructure_pid=this_process()))
        figures = dag.watched(request, progress)
        progress.table("figures", [{"figure": key, "value": value} for key, value in figures.items()])


def check_form(request: dag.Request) -> None:
    """ValueError for what the form does not do: whoever reaches the page shall reach no file outside of the project.

    Stages run commands of `dvc.yaml` alone, and params name files; so settings name none that lie elsewhere.
    """
    check_targets(request.targets)
    for setting in request.settings:
        key, value = split_setting(setting)
        if key.startswith("spread"):
            raise ValueError(f"{key}: the form does not say where shards run; edit params.yaml there")
        for text in _texts(parse_value(value, setting)):
            if Path(text).is_absolute() or text.startswith("~") or ".." in Path(text).parts or "://" in text:
                raise ValueError(
                    f"{key} = {text!r}: the form sets no places outside of the project's folder; edit params.yaml there"
                )


def _texts(value: Any) -> Iterator[str]:
    """Every text in a setting's value, keys of mappings too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from (*_texts(key), *_texts(inner))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


class _Runner(Runner):
    """Prefect's runner, which when told to stop would leave a run at work to itself or wait days for its end."""

    def __init__(self) -> None:
        super().__init__(name=Path.cwd().name, limit=1)
        self._spared = psutil.Process().children()  # the server, if `ccm serve` started it

    def handle_sigterm(self, *args: Any, **kwargs: Any) -> None:
        """End the run at work, while the runner still answers it, then the runner."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=self._end, daemon=True).start()

    def _end(self) -> None:
        lifetime.end_children(8.0, self._spared)
        os.kill(os.getpid(), signal.SIGINT)


def serve(cron: str | None = None) -> None:
    """Offer the deployment until interrupted, one run at a time; a run that is at work then ends with it."""
    runner = _Runner()
    signal.signal(signal.SIGINT, runner.handle_sigterm)
    runner.add_flow(bring_up_to_date, name=runner.name, cron=cron)
    with suppress(KeyboardInterrupt):
        asyncio.run(runner.start())
