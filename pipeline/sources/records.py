"""What an adapter hands over: the images and people of a source as columns, before anything is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from pipeline.sources.json_index import Raw
from pipeline.sources.quarantine import Quarantine

BOX_TO_AREA = (
    0.53  # a person's mask fills so much of the box where a source has no masks; COCO's own API for other sets
)
BOX_MARGIN = 0.15  # where a person has no box, the keypoints' or the mask's extent grows by so much on every side

_EMPTY = (b"[]", b"[[]]", None)

MALFORMED = (ValueError, TypeError, LookupError, AttributeError, OverflowError)
"""What converting a record raises when it is not of the form that is expected."""


@dataclass
class Images:
    """Images of a source. Sizes are 0 where only the file knows them."""

    ids: list[str] = field(default_factory=list)
    file_names: list[str] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)
    heights: list[int] = field(default_factory=list)

    def extend(self, ids: list[str], file_names: list[str], widths: list[int], heights: list[int]) -> None:
        self.ids += ids
        self.file_names += file_names
        self.widths += widths
        self.heights += heights


@dataclass
class People:
    """People of a source, N rows. Keypoint visibility is COCO's: 0 unlabelled, 1 occluded, 2 visible."""

    ids: list[str]
    image_ids: list[str]
    boxes: np.ndarray  # [N, 4] float32, x, y, w, h in image pixels
    areas: np.ndarray  # [N] float32, NaN where the source has none
    crowds: np.ndarray  # [N] bool
    keypoints: np.ndarray  # [N, K, 3] float32
    masks: pa.Array  # [N] COCO's segmentation as JSON text, null where there is none

    def __len__(self) -> int:
        return len(self.ids)

    @staticmethod
    def joined(parts: Sequence[People], keypoints: int) -> People:
        """All parts as one; `keypoints` is K."""
        if not parts:
            none = np.zeros((0, 4), np.float32)
            shape = (0, keypoints, 3)
            return People([], [], none, none[:, 0], np.zeros(0, bool), np.zeros(shape, np.float32), _no_masks(0))
        return People(
            [identity for part in parts for identity in part.ids],
            [identity for part in parts for identity in part.image_ids],
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.areas for part in parts]),
            np.concatenate([part.crowds for part in parts]),
            np.concatenate([part.keypoints for part in parts]),
            pa.chunked_array([part.masks for part in parts], pa.string()).combine_chunks(),
        )


@dataclass
class Records:
    """A source as it was read: what stands in its files, and what could not even be read as a record."""

    images: Images
    people: People
    quarantine: Quarantine
    records: int  # images and people in the files, the bad ones included
    notes: dict[str, int] = field(default_factory=dict)  # what was left out on purpose, counted
    category: int | str = 1  # the source's own id of the (first) category that is read
    text_ids: bool = False  # image ids are texts, though they may look like numbers
    derived: dict[str, int] = field(default_factory=dict)  # what a record lacked and was derived, counted


def numbers(values: Sequence[Any], length: int) -> np.ndarray:
    """A list of equally long lists of numbers as [N, length]; ValueError or TypeError when one is anything else."""
    if not len(values):
        return np.zeros((0, length))
    array = np.array(values)  # of texts or None it becomes no number, of unequal lengths it fails
    if array.dtype.kind not in "iuf" or array.shape != (len(values), length):
        raise ValueError("numbers")
    return array.astype(np.float64)


def in_bulk(
    records: Sequence[Any],
    mend: Callable[[Any], Any],
    convert: Callable[[Sequence[Any]], People],
    fault: Callable[[Any], tuple[str, Any] | None],
    refuse: Callable[[Any, str, Any], None],
) -> Iterable[People]:
    """Convert many records at once; where that fails, mend them all, find the faulty ones, refuse those.

    `mend` rewrites a record whose form differs a little. `fault` says what is wrong with the form of one record
    (reason, value), or None.
    """
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is a fault of its own
        with suppress(*MALFORMED):
            return [convert(records)]
        records = list(map(mend, records))
        try:
            return [convert(records)]
        except MALFORMED:
            return _one_by_one(records, convert, fault, refuse)


def _one_by_one(
    records: Sequence[Any],
    convert: Callable[[Sequence[Any]], People],
    fault: Callable[[Any], tuple[str, Any] | None],
    refuse: Callable[[Any, str, Any], None],
) -> list[People]:
    parts = []
    for record in records:
        problem = fault(record)
        try:
            if problem is None:
                parts.append(convert([record]))
        except MALFORMED as error:
            problem = "the record cannot be read", str(error)
        if problem is not None:
            refuse(record, *problem)
    return parts


def optional_numbers(values: Sequence[Any]) -> np.ndarray:
    """Numbers [N], NaN for None; raises when one is anything else."""
    return pa.array(values, pa.float64()).to_numpy(zero_copy_only=False)


def identities(values: Sequence[Any]) -> list[str]:
    """Ids as text; raises when one is neither a whole number nor a text."""
    if not set(map(type, values)) <= {int, str}:
        raise TypeError("id")
    texts = list(map(str, values))
    "".join(texts).encode()  # UnicodeEncodeError, a ValueError, for half a UTF-16 pair
    return texts


def is_identity(value: Any) -> bool:
    """Whether `identities` takes a value."""
    return type(value) is int or is_text(value)


def is_text(value: Any) -> bool:
    """Whether a value is a text, not empty, that a file can hold."""
    try:
        return isinstance(value, str) and bool(value.encode())
    except UnicodeEncodeError:
        return False


def segmentations(values: Sequence[Any]) -> pa.Array:
    """COCO segmentations as JSON text, null where there is none."""
    texts = [value if type(value) is Raw else orjson.dumps(value) if value else None for value in values]
    return pa.array([text if text not in _EMPTY else None for text in texts], pa.string())


def fault_in_numbers(value: Any, length: int, name: str) -> tuple[str, Any] | None:
    """What keeps a value from being a list of `length` numbers."""
    if not isinstance(value, list):
        return f"{name} is not a list of {length} numbers", value
    if len(value) != length:
        return f"{name} has the wrong number of values", f"{len(value)} values, expected {length}"
    if bad := [item for item in value if not isinstance(item, int | float)]:
        return f"{name} is not a list of {length} numbers", bad[0]
    return None


def _no_masks(rows: int) -> pa.Array:
    return pa.nulls(rows, pa.string())
