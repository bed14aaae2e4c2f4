"""AI Challenger's format: a list of images, each with its people by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.records.keypoints import KeypointSet
from pipeline.settings import Source
from pipeline.sources.json_index import JsonIndex
from pipeline.sources.quarantine import Quarantine
from pipeline.sources.records import Images, People, Records, fault_in_numbers, identities, in_bulk, is_text, numbers

_SUFFIXES = (".jpg", ".jpeg", ".png")


def read(source: Source, keypoints: KeypointSet) -> Records:
    """Read AI Challenger's annotations: `image_id` (a file name without `.jpg`), boxes as corners, x, y, v triples.

    Its visibility 1 visible, 2 occluded, 3 not labelled becomes COCO's 2, 1, 0. ValueError when the file is no list.
    """
    index = source.index
    file = JsonIndex(index)
    if not file.is_array:
        raise ValueError(f"{index}: no AI Challenger annotation file: expected a list of images")
    quarantine, images, count = Quarantine(), Images(), 0
    parts: list[People] = []

    def no_json(position: str, text: str) -> None:
        quarantine.add(index, position, "the record is not valid JSON", text)

    def refuse(person: Any, reason: str, value: Any) -> None:
        quarantine.add(index, f"image {person[0]}, {person[1]}", reason, value)

    for batch in file.batches("", no_json):
        people: list[tuple[str, str, Any, Any]] = []
        for record in batch:
            count += 1
            fault = _image_fault(record)
            if fault:
                name = f"image {record.get('image_id')}" if isinstance(record, dict) else "image"
                quarantine.add(index, name, *fault)
                continue
            name = record["image_id"]
            images.extend([name], [name if name.lower().endswith(_SUFFIXES) else f"{name}.jpg"], [0], [0])
            people += _people_of(record)
        count += len(people)
        convert, fault_in = partial(_convert, keypoints=len(keypoints)), partial(_fault, keypoints=len(keypoints))
        parts += in_bulk(people, _as_it_is, convert, fault_in, refuse)
    unparsed = quarantine.reasons().get("the record is not valid JSON", 0)
    return Records(images, People.joined(parts, len(keypoints)), quarantine, count + unparsed, text_ids=True)


def _image_fault(record: Any) -> tuple[str, Any] | None:
    if not isinstance(record, dict):
        return "the record is not an object", record
    if not is_text(record.get("image_id")):
        return "no image_id", record.get("image_id")
    for key in ("human_annotations", "keypoint_annotations"):
        if not isinstance(record.get(key), dict):
            return f"{key} is not an object", record.get(key)
    return None


def _people_of(record: dict[str, Any]) -> Iterable[tuple[str, str, Any, Any]]:
    """(image, person, corners, triples) of each person, in the order of the file."""
    boxes, points = record["human_annotations"], record["keypoint_annotations"]
    for person in dict.fromkeys([*boxes, *points]):
        yield record["image_id"], person, boxes.get(person), points.get(person)


def _as_it_is(person: tuple[str, str, Any, Any]) -> tuple[str, str, Any, Any]:
    return person


def _fault(person: tuple[str, str, Any, Any], keypoints: int) -> tuple[str, Any] | None:
    fault = fault_in_numbers(person[2], 4, "box") or fault_in_numbers(person[3], 3 * keypoints, "keypoints")
    if fault:
        return fault
    if bad := [v for v in person[3][2::3] if v not in (1, 2, 3)]:
        return "visibility is not 1, 2 or 3", bad[0]
    return None


def _convert(people: Sequence[tuple[str, str, Any, Any]], keypoints: int) -> People:
    corners = numbers([person[2] for person in people], 4)
    triples = numbers([person[3] for person in people], 3 * keypoints).reshape(-1, keypoints, 3).copy()
    if not np.isin(triples[:, :, 2], (1, 2, 3)).all():
        raise ValueError("visibility")
    triples[:, :, 2] = 3 - triples[:, :, 2]
    return People(
        identities([f"{image}/{person}" for image, person, _, _ in people]),
        [person[0] for person in people],
        np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1).astype(np.float32),
        np.full(len(people), np.nan, np.float32),
        np.zeros(len(people), bool),
        triples.astype(np.float32),
        pa.nulls(len(people), pa.string()),
    )
