"""A stage as a Prefect flow run. The server may be slow, refuse or die: the stage's own work decides how it ends."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import prefect.runtime.flow_run
from prefect import Flow, Task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectException
from prefect.flow_engine import run_flow
from prefect.states import Pending
from tqdm import tqdm

from flows.courier import Courier
from flows.spread import SpreadingProgress
from flows.view import PrefectProgress
from pipeline.params import Spread
from pipeline.progress import Progress

PARENT_VARIABLE = "CCM_PARENT_FLOW_RUN"  # the id of the run of the whole DAG that a stage's run belongs to

Figures = dict[str, Any]
Work = Callable[[Progress], Figures]


def run_as_flow(stage: str, item: str | None, spread: Spread, work: Work) -> Figures:
    """Run a stage's work as the run `stage@item` of the flow `stage`, under the DAG's run if there is one.

    Returns the work's figures and raises the work's own errors. If the server fails, before, during or after the work,
    the stage goes on without it from where it is.
    """
    story = _Story(spread, work)
    flow = Flow(fn=story.tell, name=stage, validate_parameters=False, persist_result=False)
    parameters = {"item": item}
    try:
        with get_client(sync_client=True) as client:
            flow_run = create_run(client, flow, f"{stage}@{item}" if item else stage, parameters)
        run_flow(flow, flow_run=flow_run, parameters=parameters)
    except (httpx.HTTPError, PrefectException, RuntimeError) as error:
        if not story.begun:
            print(f"the Prefect server failed ({type(error).__name__}): running without the view", file=sys.stderr)
            return work(SpreadingProgress(spread))
        if story.error is None:
            print(f"the Prefect server did not hear of the end ({type(error).__name__})", file=sys.stderr)
    except Exception as error:
        if error is not story.error:
            raise
    if story.error is not None:
        raise story.error
    return story.figures


class _Story:
    """What a flow run does: the work, with somebody watching; and how it ended, whatever the engine could report."""

    def __init__(self, spread: Spread, work: Work):
        self.spread = spread
        self.work = work
        self.begun = False
        self.error: Exception | None = None
        self.figures: Figures = {}

    def tell(self, item: str | None) -> None:
        self.begun = True
        courier = Courier(warn=lambda message: tqdm.write(message, file=sys.stderr))
        progress = PrefectProgress(self.spread, courier, UUID(str(prefect.runtime.flow_run.id)))
        try:
            self.figures = self.work(progress)
            progress.table("figures", [{"figure": key, "value": value} for key, value in self.figures.items()])
        except Exception as error:
            self.error = error
            raise
        finally:
            courier.close()


def create_run(client: SyncPrefectClient, flow: Flow[..., Any], name: str, parameters: dict[str, Any]) -> FlowRun:
    """A pending run of a stage's flow; under the DAG's run it hangs on a task run of that, as a subflow does."""
    parent: UUID | None = None
    if dag_run := os.environ.get(PARENT_VARIABLE):
        tracking = Task(fn=flow.fn, name=name)
        parent = client.create_task_run(tracking, UUID(dag_run), dynamic_key=name, name=name, state=Pending()).id
    run = client.create_flow_run(flow, name=name, parameters=parameters, parent_task_run_id=parent, state=Pending())
    client.update_flow_run(run.id, infrastructure_pid=this_process())
    return run


def this_process() -> str:
    """Names this process in a flow run, so that a run whose process was killed can be closed later."""
    return f"{socket.gethostname()}:{os.getpid()}"
