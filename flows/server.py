"""Where the Prefect server is, and whether it answers. Nothing here imports prefect: asking must cost nothing."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request

from pipeline.layout import STATE

FOLDER = STATE / "prefect"
ADDRESS_FILE = FOLDER / "server.json"

# What the client must know before prefect is first imported. A server that goes away then costs one refused connection
# instead of a minute of retries; DVC's cache is the only cache; progress, log lines and errors have their own way.
_CLIENT_SETTINGS = {
    "PREFECT_CLIENT_MAX_RETRIES": "0",
    "PREFECT_API_REQUEST_TIMEOUT": "5",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_RUNNER_POLL_FREQUENCY": "2",  # seconds until a run that somebody asked for in the page starts
    "DO_NOT_TRACK": "1",
}


def configured_address() -> str | None:
    """The API's address: `PREFECT_API_URL`, else the server that `ccm ui` started in this workspace."""
    if address := os.environ.get("PREFECT_API_URL"):
        return address.rstrip("/")
    record = read_record()
    return str(record["api"]) if record else None


def read_record() -> dict[str, object] | None:
    """What `ccm ui` noted about its server, or None."""
    try:
        record = json.loads(ADDRESS_FILE.read_text())
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("api"), str) else None


def answers(address: str, timeout: float = 1.5) -> bool:
    """Whether a Prefect API answers there within `timeout` seconds."""
    headers = {"Authorization": f"Bearer {key}"} if (key := os.environ.get("PREFECT_API_KEY")) else {}
    request = urllib.request.Request(f"{address}/health", headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({})) if _is_loopback(address) else None
    try:
        with opener.open(request, timeout=timeout) if opener else urllib.request.urlopen(request, timeout=timeout) as r:
            return bool(r.status == 200)
    except urllib.error.HTTPError as error:
        return error.code in (401, 403)  # it is there; whether the key is right shows later
    except (OSError, ValueError, http.client.HTTPException):  # an address that is none, or somebody else's server
        return False


def connect() -> str | None:
    """Prepare this process, before it imports prefect, to speak to the server; its address, or None if none answers."""
    address = configured_address()
    if address is None or not answers(address):
        return None
    os.environ["PREFECT_API_URL"] = address
    for name, value in _CLIENT_SETTINGS.items():
        os.environ.setdefault(name, value)
    return address


def absence() -> str:
    """What to tell the person when no server answers."""
    configured = configured_address()
    where = f"no Prefect server answers at {configured}" if configured else "no Prefect server is set"
    return f"{where}: running without the view (`ccm ui` starts one)"


def ui_address(api: str) -> str:
    """The page that belongs to an API address."""
    return api.removesuffix("/api")


def _is_loopback(address: str) -> bool:
    host = address.split("://", 1)[-1].split("/", 1)[0]
    return host.startswith(("127.", "localhost", "[::1]"))
