"""Lines that a person needs once in a `dvc repro`, not once in each of its stages."""

from __future__ import annotations

import hashlib
import json
import sys

from flows import lifetime
from pipeline.artefacts import write_json
from pipeline.layout import STATE

_FILE = STATE / "notices.json"


def say_once(message: str) -> None:
    """Print a line on stderr, unless an earlier stage of the same DVC or `ccm run` process has."""
    owners = lifetime.starters()
    owner = f"{owners[-1].pid}:{owners[-1].create_time()}" if owners else None
    digest = hashlib.md5(message.encode()).hexdigest()
    said = _said(owner)
    if digest in said:
        return
    print(message, file=sys.stderr, flush=True)
    if owner is not None:
        write_json(_FILE, {"owner": owner, "said": [*said, digest]})


def _said(owner: str | None) -> list[str]:
    try:
        record = json.loads(_FILE.read_text())
    except (OSError, ValueError):
        return []
    return list(record["said"]) if owner is not None and record.get("owner") == owner else []
