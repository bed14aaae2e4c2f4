"""Records in forms that people really have, rewritten as COCO means them: what a program wrote a little differently."""

from __future__ import annotations

import math
from typing import Any

_WHOLE = ("id", "image_id", "category_id", "width", "height", "iscrowd")
_ABSENT = [0, 0, 0, 0]  # a box that is to be derived


def whole(value: Any) -> Any:
    """A float that is a whole number as an integer, as table libraries write ids; anything else as it is."""
    return int(value) if type(value) is float and math.isfinite(value) and value == int(value) else value


def mended(record: Any) -> Any:
    """An image's or a person's record as COCO has it, where that is plain; else as it is, for the checks to refuse.

    Whole-numbered floats become integers, `[[x, y, v], ...]` one list, an absent box zeros, an absent `iscrowd` 0, and
    keypoints of null or NaN that are not labelled zeros.
    """
    if not isinstance(record, dict):
        return record
    record = record | {key: whole(record[key]) for key in _WHOLE if key in record}
    if "image_id" not in record:
        return record
    if record.get("iscrowd") is None:
        record["iscrowd"] = 0
    if record.get("bbox") in (None, []) or record["bbox"] == [None] * 4:
        record["bbox"] = _ABSENT
    if "keypoints" in record:
        record["keypoints"] = _points(record["keypoints"])
    return record


def _points(points: Any) -> Any:
    if not isinstance(points, list):
        return points
    if not points:
        return None
    if all(isinstance(point, list) and len(point) == 3 for point in points):
        points = [value for point in points for value in point]
    if None in points and len(points) % 3 == 0:
        triples = [points[start : start + 3] for start in range(0, len(points), 3)]
        points = [value for x, y, v in triples for value in ((0, 0, 0) if _absent(x, y, v) else (x, y, v))]
    return points


def _absent(x: Any, y: Any, v: Any) -> bool:
    return (v == 0 and v is not None) and (x is None or y is None)
