"""Flow runs as the server keeps them: made under the DAG's run, shown as cached, closed when their process is gone."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Any
from uuid import UUID

import httpx
import psutil
from prefect import Flow, Task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Cancelled, Completed, Crashed, Pending

PARENT_VARIABLE = "CCM_PARENT_FLOW_RUN"  # the id of the run of the whole DAG that a stage's run belongs to


def create_run(client: SyncPrefectClient, flow: Flow[..., Any], name: str, parameters: dict[str, Any]) -> FlowRun:
    """A pending run of a flow; under the DAG's run it hangs on a task run of that, as a subflow does."""
    experiment = os.environ.get("DVC_EXP_NAME")
    tags = [f"experiment:{experiment}"] if experiment else []
    name = f"{experiment}: {name}" if experiment else name
    parent = parent_task(client, name, os.environ.get(PARENT_VARIABLE))
    run = client.create_flow_run(flow, name, parameters, tags=tags, parent_task_run_id=parent, state=Pending())
    client.update_flow_run(run.id, infrastructure_pid=this_process())
    return run


def cached_run(client: SyncPrefectClient, label: str, dag_run: UUID, why: str) -> None:
    """A stage of the DAG's run that had nothing to do, as a completed subflow."""
    flow = Flow(fn=_nothing, name=label.split("@")[0])
    parent = parent_task(client, label, str(dag_run))
    done: State[Any] = Completed(name="Cached", message=why)
    run = client.create_flow_run(flow, label, parent_task_run_id=parent, state=Pending())
    client.set_flow_run_state(run.id, done, force=True)


def parent_task(client: SyncPrefectClient, name: str, dag_run: str | None) -> UUID | None:
    """The task run that stands for a stage in the DAG's run; its state follows that of the stage's flow run."""
    if not dag_run:
        return None
    task = Task(fn=_nothing, name=name)
    return client.create_task_run(task, UUID(dag_run), dynamic_key=name, name=name, state=Pending()).id


def _nothing() -> None:
    """The stage's own process does the work."""


def this_process() -> str:
    """Names this process in a flow run, so that a run whose process was killed can be closed later."""
    return f"{socket.gethostname()}:{os.getpid()}"


def close_abandoned() -> int:
    """Close the unfinished runs of this machine whose process is gone (killed, or the machine went down); how many.

    A server that is too busy to answer is asked again at the next start.
    """
    unfinished = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    wanted = FlowRunFilter.model_validate({"state": {"type": {"any_": unfinished}}})
    closed = 0
    with suppress(httpx.HTTPError), get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=wanted, limit=200):
            if run.state is not None and not _is_alive(run):
                client.set_flow_run_state(run.id, _end_of(run.state), force=True)
                closed += 1
    return closed


def _end_of(state: State[Any]) -> State[Any]:
    if state.is_cancelling():
        return Cancelled(message="cancelled; its process is gone")
    return Crashed(message="its process ended without a word (killed, or the machine went down)")


def _is_alive(run: FlowRun) -> bool:
    """Whether a run's process is there, as far as can be told from here; another machine's counts as alive."""
    host, _, number = (run.infrastructure_pid or "").rpartition(":")
    if host != socket.gethostname() or not number.isdigit():
        return True
    try:
        born = psutil.Process(int(number)).create_time()
    except psutil.NoSuchProcess:
        return False
    return run.created is None or born <= run.created.timestamp() + 1.0  # else the number was given out again
