"""Data sets as they were published, each format read into the same records."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.records.keypoints import load_keypoint_set
from pipeline.settings import Source
from pipeline.sources.chosen import chosen
from pipeline.sources.oddities import refuse_shares
from pipeline.sources.records import Records


def read_records(source: Source) -> Records:
    """Read a source in its own format. ValueError when its files are missing, or not what the format says, or empty."""
    records = _read(source)
    if source.only is not None:
        records = chosen(records, Path(source.only))
    refuse_shares(records.people, source.index)
    if not records.images.ids and not len(records.quarantine):
        raise ValueError(f"{source.index}: lists no images")
    return records


def _read(source: Source) -> Records:
    keypoints = load_keypoint_set(source.keypoints)
    reader = importlib.import_module(f"{__name__}.formats.{source.format}")
    with _no_collection():
        records: Records = reader.read(source, keypoints)
    return records


@contextmanager
def _no_collection() -> Iterator[None]:
    """Millions of parsed objects live for a moment and have no cycles; looking for some takes a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
