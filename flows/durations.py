"""How long each stage took last time, to say how long a run will take."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress

from pipeline.layout import STATE
from pipeline.records.artefacts import write_json

_FILE = STATE / "durations.json"


def remember(stage: str, seconds: float) -> None:
    """Note how long a stage took. A full disk or a read-only folder is no reason to fail a stage that succeeded."""
    with suppress(OSError, ValueError):
        write_json(_FILE, recall() | {stage: round(seconds, 1)})


def recall() -> dict[str, float]:
    """Seconds by stage (`train_joint@ACHU-CH`), of the stages that have run here."""
    try:
        found = json.loads(_FILE.read_text())
        return {str(stage): float(seconds) for stage, seconds in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def time_left(remaining: Iterable[str], known: dict[str, float]) -> float | None:
    """Seconds the remaining stages took last time; None where one of them has never run."""
    stages = list(remaining)
    return sum(known[stage] for stage in stages) if all(stage in known for stage in stages) else None


def in_words(seconds: float) -> str:
    """ "45 s", "12 min", "3 h 20 min", "2 d 4 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
