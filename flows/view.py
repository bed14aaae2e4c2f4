"""A stage's progress in the Prefect UI: task runs, progress bars with rate and ETA, tables, pictures, log lines."""

from __future__ import annotations

import base64
import html
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from prefect import Task
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed, Running

from flows.courier import Courier
from flows.durations import in_words
from flows.spread import SpreadingProgress
from flows.tracking import cached_run
from pipeline.records.text import printable, without_secrets
from pipeline.settings import Spread

PICTURE_LIMIT = 400_000  # bytes; the server refuses events of some megabytes


class PrefectProgress(SpreadingProgress):
    """Shows in the UI of a flow run what the terminal shows."""

    def __init__(self, spread: Spread, courier: Courier, flow_run_id: UUID):
        super().__init__(spread)
        self.post = courier.post
        self.run = flow_run_id
        self._artifacts: dict[str, UUID] = {}  # progress artifacts; only the courier's thread looks here
        self._tasks: dict[str, int] = {}

    @contextmanager
    def task(self, name: str) -> Iterator[None]:
        """A task run of the stage's flow run, from start to end of the block."""
        task_run_id = uuid4()
        self._post_task(name, task_run_id, Running())
        try:
            yield
        except BaseException as error:
            self._post_state(task_run_id, Failed(message=f"{type(error).__name__}: {error}"[:500]))
            raise
        self._post_state(task_run_id, Completed())

    def advance(self, description: str, done: int, total: int | None, seconds: float) -> None:
        """Update the progress artifact of that description."""
        name = description or "progress"
        self.share(name, 100.0 * done / total if total else 0.0, f"{name}: {pace(done, total, seconds)}")

    def share(self, name: str, percent: float, text: str) -> None:
        """Show a progress artifact at that many percent."""

        def letter(client: SyncPrefectClient) -> None:
            if known := self._artifacts.get(name):
                client.update_artifact(known, ArtifactUpdate(data=percent, description=shown(text)))
                return
            created = client.create_artifact(self._artifact("progress", f"progress-{slug(name)}", percent, text))
            self._artifacts[name] = created.id

        self.post(letter, key=f"progress {name}")

    def say(self, message: str) -> None:
        """One line, on the terminal and in the flow run's log."""
        super().say(message)
        self.log(message)

    def log(self, message: str, level: int = logging.INFO) -> None:
        """A line in the flow run's log only."""
        line = {
            "name": "ccm",
            "level": level,
            "message": printable(without_secrets(message[:20_000])),
            "timestamp": datetime.now(UTC).isoformat(),
            "flow_run_id": str(self.run),
        }
        self.post(lambda client: client.create_logs([line]))

    def table(self, key: str, rows: Sequence[dict[str, Any]], description: str = "") -> None:
        """A table artifact."""
        plain = [{name: _plain(value) for name, value in row.items()} for row in rows]
        artifact = self._artifact("table", slug(key), plain, description)
        self.post(lambda client: client.create_artifact(artifact))

    def image(self, key: str, png: bytes, description: str = "") -> None:
        """An image artifact that carries its picture."""
        kind, data = small(png)
        url = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        artifact = self._artifact("image", slug(key), url, description)
        self.post(lambda client: client.create_artifact(artifact))

    def shard_done(self, description: str, position: int) -> None:
        """A completed task run for the shard."""
        self._post_task(f"{description or 'shard'} {position}", uuid4(), Completed())

    def cached(self, label: str, why: str) -> None:
        """A stage of this run that had nothing to do."""
        self.post(lambda client: cached_run(client, label, self.run, why))

    def _artifact(self, kind: str, key: str, data: Any, description: str) -> ArtifactCreate:
        return ArtifactCreate(type=kind, key=key, data=data, description=shown(description), flow_run_id=self.run)

    def _post_task(self, name: str, task_run_id: UUID, state: State[Any]) -> None:
        self._tasks[name] = self._tasks.get(name, -1) + 1
        key = f"{name}-{self._tasks[name]}"
        task = Task(fn=_nothing, name=name)
        self.post(lambda client: client.create_task_run(task, self.run, key, id=task_run_id, name=name, state=state))

    def _post_state(self, task_run_id: UUID, state: State[Any]) -> None:
        self.post(lambda client: client.set_task_run_state(task_run_id, state, force=True))


def pace(done: int, total: int | None, seconds: float) -> str:
    """How far, how fast and how long still: "12 of 40, 3.1/s, 9 s left"."""
    text = f"{done} of {total}" if total is not None else f"{done}"
    if not done or seconds <= 0:
        return text
    rate = done / seconds
    text += f", {rate:.1f}/s" if rate >= 0.95 else f", {1 / rate:.1f} s each"
    if total is not None:
        text += f", {in_words((total - done) / rate)} left" if done < total else f", took {in_words(seconds)}"
    return text


def slug(text: str) -> str:
    """An artifact key: lowercase letters, digits, dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "untitled"


def small(png: bytes) -> tuple[str, bytes]:
    """A picture as (format, bytes) of at most `PICTURE_LIMIT` bytes, as a scaled-down JPEG where the PNG is larger."""
    if len(png) <= PICTURE_LIMIT:
        return "png", png
    import cv2
    import numpy as np

    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError("image: the bytes are not a picture that OpenCV can read")
    while True:
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
        if len(data) <= PICTURE_LIMIT:
            return "jpeg", data
        picture = cv2.resize(picture, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)


def _plain(value: Any) -> Any:
    """A table cell that JSON can carry: numbers rounded to what a reader wants to see."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if abs(value) != float("inf") and value == value else str(value)
    return value if isinstance(value, int | bool) or value is None else shown(str(value))


def shown(text: str) -> str:
    """A text of anybody's as the page shows it, which takes descriptions and cells for Markdown and HTML."""
    return re.sub(r"([\\\[\]`])", r"\\\1", html.escape(printable(without_secrets(text)), quote=False))


def _nothing() -> None:
    """What a task run stands for happens in the step; the engine has nothing to call."""
