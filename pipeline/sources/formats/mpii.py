"""MPII Human Pose in its usual JSON: a list of people with `image`, `joints` [16, 2] and `joints_vis`."""

from __future__ import annotations

from typing import Any

from pipeline.records.keypoints import KeypointSet
from pipeline.settings import Source
from pipeline.sources.formats.coco import CocoReading
from pipeline.sources.json_index import JsonIndex
from pipeline.sources.records import Records


def read(source: Source, keypoints: KeypointSet) -> Records:
    """Read the list. Places count from 1, as in Matlab, and become ours, which count from 0.

    A joint is labelled (2) or not (0): MPII's file does not say which are occluded. Boxes are derived from the joints.
    ValueError when the file is no list.
    """
    file = JsonIndex(source.index)
    if not file.is_array:
        raise ValueError(f"{source.index}: no MPII annotation file: expected a list of people")
    reading = CocoReading(keypoints)
    names: dict[str, None] = {}
    number = 0
    for batch in file.batches("", lambda position, text: reading.refuse_text(file.path, position, text)):
        people = []
        for record in batch:
            number += 1
            people.append(_person(record, number))
            if isinstance(record, dict) and isinstance(record.get("image"), str):
                names[record["image"]] = None
        reading.add_people(people, set(), file.path)
    reading.add_images([{"id": name, "file_name": name} for name in names], file.path)
    return reading.result()


def _person(record: Any, number: int) -> Any:
    """A person in COCO's form; what is malformed stays, for the checks to refuse."""
    if not isinstance(record, dict):
        return record
    person = {"id": number, "image_id": record.get("image"), "keypoints": record.get("joints")}
    joints, seen = record.get("joints"), record.get("joints_vis")
    if not isinstance(joints, list) or not isinstance(seen, list) or len(joints) != len(seen):
        return person | {"keypoints": str(joints)[:80]}
    try:
        triples = [[x - 1, y - 1, 2] if visible else [0, 0, 0] for (x, y), visible in zip(joints, seen, strict=True)]
    except (TypeError, ValueError):
        return person | {"keypoints": str(joints)[:80]}
    return person | {"keypoints": [value for triple in triples for value in triple]}
