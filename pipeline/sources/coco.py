"""COCO's format: people with keypoints, image lists without annotations, and anybody's own keypoint set in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.keypoints import KeypointSet
from pipeline.sources.json_index import JsonIndex
from pipeline.sources.quarantine import Quarantine
from pipeline.sources.records import (
    Images,
    People,
    Records,
    fault_in_numbers,
    identities,
    in_bulk,
    numbers,
    optional_numbers,
    segmentations,
)


def read_coco(index: str | Path, keypoints: KeypointSet) -> Records:
    """Read a COCO annotation file; a file without `annotations` (test-dev, unlabelled) gives images alone.

    Categories other than people are counted and left out. ValueError when the file is no COCO JSON, or when its
    category declares keypoints other than the set's, by name and order.
    """
    reading = _Reading(JsonIndex(index), keypoints)
    reading.read_images()
    reading.read_people()
    return Records(
        reading.images,
        People.joined(reading.parts, len(keypoints)),
        reading.quarantine,
        reading.records,
        {"other_categories": reading.others} if reading.others else {},
    )


@dataclass
class _Reading:
    """One pass over one file."""

    file: JsonIndex
    keypoints: KeypointSet
    images: Images = field(default_factory=Images)
    parts: list[People] = field(default_factory=list)
    quarantine: Quarantine = field(default_factory=Quarantine)
    records: int = 0
    others: int = 0

    def refuse(self, kind: str, record: Any, reason: str, value: Any) -> None:
        name = f"{kind} {record.get('id')}" if isinstance(record, dict) else kind
        self.quarantine.add(self.file.path, name, reason, value)

    def _no_json(self, kind: str, position: str, text: str) -> None:
        self.records += 1
        self.quarantine.add(self.file.path, f"{kind}, {position}", "the record is not valid JSON", text)

    def read_images(self) -> None:
        if self.file.is_array or "images" not in self.file.members:
            raise ValueError(f"{self.file.path}: no COCO annotation file: it has no 'images'")
        for batch in self.file.batches("images", partial(self._no_json, "images")):
            self.records += len(batch)
            for record in batch:
                fault = _image_fault(record)
                if fault:
                    self.refuse("image", record, *fault)
                    continue
                size = record.get("width") or 0, record.get("height") or 0
                self.images.add(str(record["id"]), record["file_name"], *map(int, size))

    def read_people(self) -> None:
        if "annotations" not in self.file.members:
            return
        people, others = self._categories()
        for batch in self.file.batches("annotations", partial(self._no_json, "annotations")):
            self.records += len(batch)
            if others:
                kept = [a for a in batch if not (isinstance(a, dict) and _hashable(a.get("category_id")) in others)]
                self.others += len(batch) - len(kept)
                self.records -= len(batch) - len(kept)
                batch = kept
            self.parts += in_bulk(
                batch,
                partial(_convert, people=people, keypoints=len(self.keypoints)),
                partial(_person_fault, people=people, keypoints=len(self.keypoints)),
                partial(self.refuse, "annotation"),
            )

    def _categories(self) -> tuple[set[Any], set[Any]]:
        """Ids of the categories that are people, and of the others."""
        declared = self.file.value("categories") if "categories" in self.file.members else []
        if not isinstance(declared, list) or not all(isinstance(c, dict) and "id" in c for c in declared):
            raise ValueError(f"{self.file.path}: 'categories' is not a list of categories with ids: {declared!r:.200}")
        people = [c for c in declared if c.get("name") == "person"] or [c for c in declared if c.get("keypoints")]
        people = people or declared
        for category in people:
            names = category.get("keypoints")
            if names and tuple(names) != self.keypoints.names:
                raise ValueError(
                    f"{self.file.path}: category '{category.get('name')}' declares the keypoints "
                    f"{', '.join(map(str, names))}; "
                    f"the source's keypoint set '{self.keypoints.name}' has {', '.join(self.keypoints.names)}. Declare "
                    "the file's own names, in its order, in a keypoint set and name that as the source's `keypoints`"
                )
        ids = {_hashable(c["id"]) for c in people}
        return ids, {_hashable(c["id"]) for c in declared} - ids


def _category(record: dict[str, Any]) -> Any:
    return _hashable(record.get("category_id"))


def _hashable(value: Any) -> Any:
    return value if isinstance(value, int | str) else repr(value)


def _image_fault(record: Any) -> tuple[str, Any] | None:
    if not isinstance(record, dict):
        return "the record is not an object", record
    if not isinstance(record.get("id"), int | str):
        return "no id", record.get("id")
    if not isinstance(record.get("file_name"), str) or not record["file_name"]:
        return "no file name", record.get("file_name")
    for side in ("width", "height"):
        value = record.get(side)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            return "width and height are not whole numbers above 0", value
    return None


def _person_fault(record: Any, people: set[Any], keypoints: int) -> tuple[str, Any] | None:
    if not isinstance(record, dict):
        return "the record is not an object", record
    for key in ("id", "image_id"):
        if not isinstance(record.get(key), int | str):
            return f"no {key}", record.get(key)
    if people and _hashable(record.get("category_id")) not in people:
        return "unknown category id", record.get("category_id")
    if fault := fault_in_numbers(record.get("bbox"), 4, "bbox"):
        return fault
    if record.get("keypoints") is not None:
        fault = fault_in_numbers(record["keypoints"], 3 * keypoints, "keypoints")
        if fault:
            return fault
    if not isinstance(record.get("area"), int | float | None):
        return "area is not a number", record["area"]
    if not isinstance(record.get("iscrowd", 0), int) or record.get("iscrowd", 0) not in (0, 1):
        return "iscrowd is neither 0 nor 1", record["iscrowd"]
    return None


def _convert(records: Sequence[dict[str, Any]], people: set[Any], keypoints: int) -> People:
    """People of well-formed annotations; raises what `in_bulk` catches when one is not."""
    crowds = [record.get("iscrowd", 0) for record in records]
    if not set(crowds) <= {0, 1} or not (set(map(_category, records)) <= people or not people):
        raise ValueError("iscrowd or category")
    none = [0] * (3 * keypoints)
    points = [none if (values := record.get("keypoints")) is None else values for record in records]
    return People(
        identities([record["id"] for record in records]),
        identities([record["image_id"] for record in records]),
        numbers([record["bbox"] for record in records], 4).astype(np.float32),
        optional_numbers([record.get("area") for record in records]).astype(np.float32),
        np.array(crowds, bool),
        numbers(points, 3 * keypoints).astype(np.float32).reshape(-1, keypoints, 3),
        segmentations([record.get("segmentation") for record in records]),
    )
