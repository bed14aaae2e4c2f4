"""Work as a Prefect flow run. The server may be slow, refuse or die: the work alone decides how it ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import httpx
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import PrefectException
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Cancelled, Completed, Failed
from tqdm import tqdm

from flows.courier import Courier, Letter, insist
from flows.spread import SpreadingProgress
from flows.tracking import create_run
from flows.view import PrefectProgress
from pipeline.progress import Progress
from pipeline.settings import Spread

Figures = dict[str, Any]
Work = Callable[[Progress], Figures]


def run_as_flow(flow_name: str, run_name: str, details: dict[str, Any], spread: Spread, work: Work) -> Figures:
    """Run work as a run of a Prefect flow, under the DAG's run if there is one. `details` are shown as its parameters.

    Returns the work's figures and raises the work's own errors; SystemExit when the run is cancelled in the UI. If the
    server fails, before, during or after the work, the work goes on without it from where it is.
    """
    story = _Story(spread, work)
    flow = Flow(fn=story.tell, name=flow_name, validate_parameters=False, persist_result=False)
    parameters = {"details": details}

    def run_or_report() -> None:
        if story.begun:  # the server was too busy to hear of the end
            story.report()
            return
        # A flow ends when its thread of heartbeats has slept out its second, a second of every stage. Nobody listens to
        # them: runs whose process is gone are closed by the process's number (`tracking.close_abandoned`).
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            run_flow(flow, flow_run=story.run, parameters=parameters)

    try:
        with get_client(sync_client=True) as client:
            story.run = insist(lambda: create_run(client, flow, run_name, parameters))
        insist(run_or_report)
    except (httpx.HTTPError, PrefectException, RuntimeError) as error:
        if not story.begun:
            print(f"the Prefect server failed ({_short(error)}): running without the view", file=sys.stderr)
            return work(SpreadingProgress(spread))
        if story.error is None and not story.cancelled:
            print(f"the Prefect server did not hear of the end ({_short(error)})", file=sys.stderr)
    except Exception as error:
        if error is not story.error:
            raise
    if story.cancelled:
        raise SystemExit(128 + signal.SIGTERM)
    if story.error is not None:
        raise story.error
    return story.figures


class _Story:
    """What a flow run does: the work, with somebody watching; and how it ended, whatever the engine could report."""

    def __init__(self, spread: Spread, work: Work):
        self.spread = spread
        self.work = work
        self.run: FlowRun | None = None
        self.begun = False
        self.cancelled = False
        self.error: Exception | None = None
        self.figures: Figures = {}

    def tell(self, details: dict[str, Any]) -> State[Any] | None:
        assert self.run is not None
        self.begun = True
        try:
            with watching(self.spread, self.run.id, self._obey) as progress:
                self.figures = self.work(progress)
                progress.table("figures", [{"figure": key, "value": value} for key, value in self.figures.items()])
        except Exception as error:
            self.error = error
            raise
        except BaseException:
            if self.cancelled:
                return Cancelled(message="cancelled in the UI")
            raise
        return None

    def report(self) -> None:
        """Tell the server how the run ended, whatever the engine could tell it."""
        assert self.run is not None
        end: State[Any] = Completed()
        if self.cancelled:
            end = Cancelled(message="cancelled in the UI")
        elif self.error is not None:
            end = Failed(message=f"{type(self.error).__name__}: {self.error}")
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(self.run.id, end, force=True)

    def _obey(self, client: SyncPrefectClient) -> None:
        """Stop when somebody pressed Cancel; runs without a runner have nobody else who would."""
        assert self.run is not None
        state = client.read_flow_run(self.run.id).state
        if state is not None and state.is_cancelling() and not self.cancelled:
            self.cancelled = True
            os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def watching(spread: Spread, run_id: UUID, look: Letter | None = None) -> Iterator[PrefectProgress]:
    """A progress that shows in a flow run; what it has to say is delivered when the block ends."""
    courier = Courier(_warn, look)
    try:
        yield PrefectProgress(spread, courier, run_id)
    finally:
        courier.close()


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _warn(message: str) -> None:
    tqdm.write(message, file=sys.stderr)
