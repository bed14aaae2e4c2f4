"""A local Prefect server for this workspace: started once, kept running by a supervisor, stopped on request."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from flows import lifetime, server
from pipeline.records.artefacts import write_json

HOST = "127.0.0.1"
PORT = 4200
_PATIENCE = 120.0  # seconds for a first start, which makes the database
_LOG = server.FOLDER / "server.log"


def start(port: int | None = None) -> str:
    """The address of the page; starts a server (SQLite on loopback) unless one answers already.

    ValueError when `port` is taken or the server does not come up. Runs whose process was killed are closed.
    """
    address = server.configured_address()
    if address is None or not server.answers(address):
        if os.environ.get("PREFECT_API_URL"):
            raise ValueError(
                f"PREFECT_API_URL = {address!r}: no server answers there; start that one, or unset it for a local one"
            )
        address = _launch(_pick_port(port))
    server.connect()
    _close_abandoned()
    return server.ui_address(address)


def stop() -> bool:
    """Stop the server that `start` made here; whether there was one."""
    record = server.read_record()
    if record is None:
        return False
    supervisor = _supervisor(record)
    if supervisor is not None:
        lifetime.end_session(supervisor.pid, 8.0)
    server.ADDRESS_FILE.unlink(missing_ok=True)
    return supervisor is not None


def _launch(port: int) -> str:
    stop()  # a supervisor whose server does not answer is of no use
    server.FOLDER.mkdir(parents=True, exist_ok=True)
    with _LOG.open("ab") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "flows.ui", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    address = f"http://{HOST}:{port}/api"
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and supervisor.poll() is None:
        if server.answers(address):
            born = psutil.Process(supervisor.pid).create_time()
            write_json(server.ADDRESS_FILE, {"api": address, "pid": supervisor.pid, "created": born})
            return address
        time.sleep(0.3)
    with suppress(psutil.NoSuchProcess):
        lifetime.end_session(supervisor.pid, 5.0)
    raise ValueError(f"the Prefect server did not come up on port {port}; see {_LOG}")


def _pick_port(wanted: int | None) -> int:
    if _is_free(wanted or PORT):
        return wanted or PORT
    if wanted is not None:
        raise ValueError(f"--port {wanted}: something else listens there; choose another, or none for a free one")
    return free_port()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind((HOST, port))
            return True
    return False


def _supervisor(record: dict[str, object]) -> psutil.Process | None:
    with suppress(psutil.NoSuchProcess, KeyError, ValueError):
        process = psutil.Process(int(str(record["pid"])))
        if process.create_time() == record["created"]:
            return process
    return None


def _close_abandoned() -> None:
    from flows.tracking import close_abandoned

    if closed := close_abandoned():
        print(f"closed {closed} runs whose process was gone")


def supervise(port: int) -> None:
    """Run the server in the foreground, again and again: it comes back within seconds of a crash."""
    lifetime.exit_on_sigterm()
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    environment = os.environ | {
        "PREFECT_HOME": str(Path(server.FOLDER).resolve()),
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",  # where the page looks for its server
        "PREFECT_SERVER_UI_V2_ENABLED": "false",  # the new page calls an outside host
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    pause = 1.0
    while True:
        started = time.monotonic()
        subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False)
        pause = 1.0 if time.monotonic() - started > 60 else min(2 * pause, 30.0)
        print(f"the server ended; starting it again in {pause:.0f} s", flush=True)
        time.sleep(pause)


if __name__ == "__main__":
    supervise(int(sys.argv[1]))
