"""The whole run as a Prefect deployment: its parameters are a form in the UI, Cancel ends all it started."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import prefect.runtime.flow_run
from prefect import flow

from flows import dag, lifetime
from flows.runs import watching
from flows.tracking import this_process
from pipeline.params import load_params


@flow(name=dag.FLOW, flow_run_name="{request}", persist_result=False)
def bring_up_to_date(request: dag.Request = dag.Request()) -> None:  # noqa: B008 - the form shows the default
    """Bring the pipeline, or the stages named in `targets`, up to date, as `ccm run` and `dvc repro` do."""
    dag.prepare(request)
    run_id = UUID(str(prefect.runtime.flow_run.id))
    with watching(load_params().spread, run_id) as progress:
        progress.post(lambda client: client.update_flow_run(run_id, infrastructure_pid=this_process()))
        figures = dag.watched(request, progress)
        progress.table("figures", [{"figure": key, "value": value} for key, value in figures.items()])


def serve(cron: str | None = None) -> None:
    """Offer the deployment until interrupted, one run at a time; a run that is at work then ends with it."""
    lifetime.exit_on_sigterm()
    try:
        bring_up_to_date.serve(name=Path.cwd().name, cron=cron, limit=1, print_starting_message=False)
    finally:
        lifetime.end_children(10.0)
