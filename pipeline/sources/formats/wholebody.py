"""COCO-WholeBody: COCO's form with lists of their own for feet, face and hands; 133 keypoints in that order."""

from __future__ import annotations

from typing import Any

from pipeline.records.keypoints import KeypointSet
from pipeline.settings import Source
from pipeline.sources.formats.coco import CocoReading
from pipeline.sources.json_index import JsonIndex
from pipeline.sources.records import Records

BODY = 17
_PARTS = {"foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}


def read(source: Source, keypoints: KeypointSet) -> Records:
    """Read the file; a list that a person lacks is not labelled. Its values above 0 for visibility mean seen: 2.

    ValueError when the keypoint set has another number than the 133 of `wholebody`.
    """
    if len(keypoints) != BODY + sum(_PARTS.values()):
        raise ValueError(f"{source.index}: COCO-WholeBody has 133 keypoints, '{keypoints.name}' has {len(keypoints)}")
    reading = CocoReading(keypoints, source.categories, keypoints.names[:BODY], prepare_people=_joined)
    reading.read(JsonIndex(source.index))
    return reading.result()


def _joined(batch: list[Any]) -> list[Any]:
    for person in batch:
        if isinstance(person, dict) and isinstance(person.get("keypoints"), list):
            for part, count in _PARTS.items():
                person["keypoints"] = person["keypoints"] + _part(person.get(part), count)
    return batch


def _part(values: Any, count: int) -> list[Any]:
    """[3 * count] x, y, v; what is no such list is left for the checks to refuse."""
    if values is None or values == []:
        return [0] * (3 * count)
    if not isinstance(values, list) or len(values) != 3 * count:
        return [values]
    scores = values[2::3]
    if all(isinstance(score, int | float) for score in scores):
        values = list(values)
        values[2::3] = [score if score in (0, 1, 2) else 2 if score > 0 else 0 for score in scores]
    return values
