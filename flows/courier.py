"""One thread that tells the Prefect server what a stage is doing, so that the stage itself never waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import PrefectException

INTERVAL = 1.0  # seconds between deliveries
PATIENCE = 5.0  # seconds before a server that did not answer is tried again
LOOK = 3  # deliveries between looks
LIMIT = 2000  # letters kept while the server does not answer
BUSY = {408, 429, 503}  # what a server says that should be asked again; SQLite has one writer at a time
PAUSES = (0.3, 0.9, 1.8)  # seconds before it is

Letter = Callable[[SyncPrefectClient], Any]
Answer = TypeVar("Answer")


def insist(call: Callable[[], Answer]) -> Answer:
    """What a call with a client returns, made up to four times while the server says that it is busy."""
    for pause in PAUSES:
        try:
            return call()
        except httpx.HTTPStatusError as error:
            if error.response.status_code not in BUSY:
                raise
        time.sleep(pause)
    return call()


class Courier(threading.Thread):
    """Delivers letters (calls with a client) in order, about once a second. A lost server costs the letters, no more.

    `warn` is called once, from this thread, when the server stops answering; `look` every few seconds, to see what the
    server wants of us.
    """

    def __init__(self, warn: Callable[[str], None], look: Letter | None = None):
        super().__init__(name="courier", daemon=True)
        self._warn = warn
        self._look = look
        self._letters: dict[str, Letter] = {}
        self._count = 0
        self._condition = threading.Condition()
        self._closing = False
        self._lost = False
        self.start()

    def post(self, letter: Letter, key: str | None = None) -> None:
        """Queue a letter; one with the same key that still waits is replaced (only the latest progress matters)."""
        with self._condition:
            self._count += 1
            if len(self._letters) < LIMIT or key in self._letters:
                self._letters[key or f"#{self._count}"] = letter

    def close(self, timeout: float = 3.0) -> None:
        """Deliver what is left, for at most `timeout` seconds; no time at all when the server is known to be gone."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self.join(0.0 if self._lost else timeout)

    def run(self) -> None:
        with get_client(sync_client=True) as client:
            rounds = 0
            while self._wait():
                if self._look is not None and rounds % LOOK == 0:
                    self.post(self._look, key="look")
                self._deliver(client)
                rounds += 1
            self._deliver(client)

    def _wait(self) -> bool:
        with self._condition:
            if not self._closing:
                self._condition.wait(PATIENCE if self._lost else INTERVAL)
            return not self._closing

    def _deliver(self, client: SyncPrefectClient) -> None:
        with self._condition:
            letters, self._letters = self._letters, {}
        for done, letter in enumerate(letters.values()):
            try:
                insist(lambda letter=letter: letter(client))  # type: ignore[misc]
                self._lost = False
            except httpx.TransportError as error:
                self._keep(dict(list(letters.items())[done:]))
                self._lose(f"the Prefect server stopped answering ({type(error).__name__}); going on without the view")
                return
            except (httpx.HTTPStatusError, PrefectException, ValueError) as error:
                self._lose(f"the Prefect server refused a report ({error}); going on")
                self._lost = False

    def _keep(self, letters: dict[str, Letter]) -> None:
        with self._condition:
            self._letters = letters | self._letters

    def _lose(self, message: str) -> None:
        self._lost = True
        self._warn(message)
        self._warn = lambda message: None
