"""Halpe full body: COCO's form, 136 keypoints in one list, which its category does not name."""

from __future__ import annotations

from pipeline.records.keypoints import KeypointSet
from pipeline.settings import Source
from pipeline.sources.formats.coco import CocoReading
from pipeline.sources.json_index import JsonIndex
from pipeline.sources.records import Records


def read(source: Source, keypoints: KeypointSet) -> Records:
    """Read the file; the set gives the names, whatever the category declares."""
    reading = CocoReading(keypoints, source.categories, ())
    reading.read(JsonIndex(source.index))
    return reading.result()
