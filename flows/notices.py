"""Lines that a person needs once in a `dvc repro`, not once in each of its stages."""

from __future__ import annotations

import hashlib
import json
import sys
from contextlib import suppress

import psutil

from flows import lifetime
from pipeline.layout import STATE
from pipeline.records.artefacts import write_json
from pipeline.records.text import printable

_FILE = STATE / "notices.json"


def say_once(message: str) -> None:
    """Print a line on stderr, unless an earlier stage of the same DVC or `ccm run` process has."""
    process = (lifetime.starters() or [psutil.Process()])[-1]
    owner = f"{process.pid}:{process.create_time()}"
    digest = hashlib.md5(message.encode()).hexdigest()
    said = _said(owner)
    if digest in said:
        return
    print(printable(message), file=sys.stderr, flush=True)
    with suppress(OSError, ValueError):  # said twice is better than not at all
        write_json(_FILE, {"owner": owner, "said": [*said, digest]})


def _said(owner: str) -> list[str]:
    try:
        record = json.loads(_FILE.read_text())
    except (OSError, ValueError):
        return []
    if not isinstance(record, dict) or record.get("owner") != owner or not isinstance(record.get("said"), list):
        return []
    return list(map(str, record["said"]))
