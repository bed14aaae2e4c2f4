"""COCO's format: people with keypoints, image lists without annotations, and anybody's own keypoint set in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.records.keypoints import KeypointSet
from pipeline.settings import Source
from pipeline.sources.categories import check_names, chosen_categories
from pipeline.sources.json_index import JsonIndex
from pipeline.sources.mending import mended, whole
from pipeline.sources.quarantine import Quarantine
from pipeline.sources.records import (
    MALFORMED,
    Images,
    People,
    Records,
    fault_in_numbers,
    identities,
    in_bulk,
    is_identity,
    is_text,
    numbers,
    optional_numbers,
    segmentations,
)

_SIDES = ("width", "height")


def read(source: Source, keypoints: KeypointSet) -> Records:
    """Read a COCO annotation file; a file without `annotations` (test-dev, unlabelled) gives images alone.

    Categories other than people are counted and left out. ValueError when the file is no COCO JSON, or when its
    category declares keypoints other than the set's, by name and order.
    """
    reading = CocoReading(keypoints, source.categories)
    reading.read(JsonIndex(source.index))
    return reading.result()


@dataclass
class CocoReading:
    """Collects the records of one or more files of COCO's form.

    `prepare_images` and `prepare_people` may rewrite a batch of parsed records before it is looked at, for formats
    that differ from COCO's in a few places. Records that COCO's form does not fit are `mended` where that is plain.
    """

    keypoints: KeypointSet
    wanted: list[str] | None = None  # names of the categories that are meant; None: people, or those with keypoints
    declared: tuple[str, ...] | None = None  # that categories must declare, if not the whole set; (): anything
    prepare_images: Callable[[list[Any]], list[Any]] = list
    prepare_people: Callable[[list[Any]], list[Any]] = list
    notes: dict[str, int] = field(default_factory=dict)  # what is left out on purpose
    _images: Images = field(default_factory=Images)
    _parts: list[People] = field(default_factory=list)
    _quarantine: Quarantine = field(default_factory=Quarantine)
    _records: int = 0
    _text_ids: bool = False
    _category: int | str = 1

    def read(self, file: JsonIndex) -> None:
        """Add a file's images and people."""
        if file.is_array or not file.array("images"):
            raise ValueError(f"{file.path}: no COCO annotation file: it has no 'images'")
        people, others = self._categories(file)
        for batch in file.batches("images", partial(self._no_json, file.path, "images")):
            self.add_images(self.prepare_images(batch), file.path)
        if not file.array("annotations"):
            return
        for batch in file.batches("annotations", partial(self._no_json, file.path, "annotations"), "segmentation"):
            self.add_people(self._without(others, self.prepare_people(batch)), people, file.path)

    def add_people(self, batch: list[Any], people: set[Any], path: Path) -> None:
        """Add annotations whose category is one of `people` (ids; empty: no matter which)."""
        self._records += len(batch)
        self._parts += in_bulk(
            batch,
            mended,
            partial(_convert, people=people, keypoints=len(self.keypoints)),
            partial(_person_fault, people=people, keypoints=len(self.keypoints)),
            partial(self._refuse, path, "annotation"),
        )

    def leave_out(self, what: str, count: int) -> None:
        """Count records that are left out on purpose."""
        if count:
            self.notes[what] = self.notes.get(what, 0) + count

    def result(self) -> Records:
        """Everything that was read."""
        people = People.joined(self._parts, len(self.keypoints))
        return Records(
            self._images, people, self._quarantine, self._records, self.notes, self._category, self._text_ids
        )

    def _refuse(self, path: Path, kind: str, record: Any, reason: str, value: Any) -> None:
        name = f"{kind} {record.get('id')}" if isinstance(record, dict) else kind
        self._quarantine.add(path, name, reason, value)

    def refuse_text(self, path: Path, position: str, text: str) -> None:
        """Set a record aside that is no JSON."""
        self._no_json(path, "record", position, text)

    def _no_json(self, path: Path, kind: str, position: str, text: str) -> None:
        self._records += 1
        self._quarantine.add(path, f"{kind}, {position}", "the record is not valid JSON", text)

    def add_images(self, batch: list[Any], path: Path) -> None:
        """Add images of COCO's form."""
        self._records += len(batch)
        self._text_ids = self._text_ids or any(isinstance(r, dict) and type(r.get("id")) is str for r in batch[:1])
        try:
            self._images.extend(*_image_columns(batch))
        except MALFORMED:
            for record in map(mended, batch):
                fault = _image_fault(record)
                if fault:
                    self._refuse(path, "image", record, *fault)
                else:
                    self._images.extend(*_image_columns([record]))

    def _without(self, others: set[Any], batch: list[Any]) -> list[Any]:
        if not others:
            return batch
        kept = [a for a in batch if not (isinstance(a, dict) and _hashable(a.get("category_id")) in others)]
        self.leave_out("other_categories", len(batch) - len(kept))
        return kept

    def _categories(self, file: JsonIndex) -> tuple[set[Any], set[Any]]:
        """Ids of the categories that are people, and of the others."""
        declared = file.value("categories") if file.array("categories") else []
        if not isinstance(declared, list) or not all(isinstance(c, dict) and "id" in c for c in declared):
            raise ValueError(f"{file.path}: 'categories' is not a list of categories with ids: {declared!r:.200}")
        people = chosen_categories(declared, self.wanted, self.keypoints, file.path)
        for category in people if self.declared != () else ():
            check_names(category, self.declared or self.keypoints.names, self.keypoints.name, file.path)
        ids = {_hashable(c["id"]) for c in people}
        if people and is_identity(_hashable(people[0]["id"])):
            self._category = _hashable(people[0]["id"])
        return ids, {_hashable(c["id"]) for c in declared} - ids


def _hashable(value: Any) -> Any:
    value = whole(value)
    return value if isinstance(value, int | str) else repr(value)


def _image_columns(records: Sequence[dict[str, Any]]) -> tuple[list[str], list[str], list[int], list[int]]:
    """Ids, file names, widths and heights; raises when one is not what it should be."""
    names = [record["file_name"] for record in records]
    if not all(map(is_text, names)):
        raise TypeError("file name")
    widths, heights = (_sides([record.get(side) for record in records]) for side in _SIDES)
    return identities([record["id"] for record in records]), names, widths, heights


def _sides(values: list[int | None]) -> list[int]:
    """Widths or heights, 0 where there is none; raises when one is no whole number above 0."""
    sides = [0 if side is None else side for side in values]
    if 0 in values or not set(map(type, sides)) <= {int} or min(sides, default=0) < 0:
        raise ValueError("size")
    return sides


def _image_fault(record: Any) -> tuple[str, Any] | None:
    if not isinstance(record, dict):
        return "the record is not an object", record
    if not is_identity(record.get("id")):
        return "no id", record.get("id")
    if not is_text(record.get("file_name")):
        return "no file name", record.get("file_name")
    for side in _SIDES:
        value = record.get(side)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            return "width and height are not whole numbers above 0", value
    return None


def _person_fault(record: Any, people: set[Any], keypoints: int) -> tuple[str, Any] | None:
    if not isinstance(record, dict):
        return "the record is not an object", record
    for key in ("id", "image_id"):
        if not is_identity(record.get(key)):
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
    if not set(crowds) <= {0, 1} or (people and not {record.get("category_id") for record in records} <= people):
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
