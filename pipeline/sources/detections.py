"""Person boxes from a COCO results file, such as the public detections on val2017."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.records.artefacts import provenance
from pipeline.records.tables import TableInfo, table_from, table_info
from pipeline.sources.json_index import JsonIndex
from pipeline.sources.mending import whole
from pipeline.sources.records import MALFORMED, fault_in_numbers, identities, is_identity, numbers, optional_numbers

_HUGE = float(np.finfo(np.float32).max)


def read_detections(path: str | Path, images: pa.Table) -> pa.Table:
    """A `detections` table of one source from a list of `image_id` (or `file_name`), `category_id`, `bbox`, `score`.

    Rows come image by image in the order of `images` (the source's table), the best box first. Other categories,
    images that the table does not hold, and boxes that are empty or outside their image are left out and counted in
    the metadata (`made_by["left_out"]`). ValueError names a record that is malformed, or a file of which no image or no
    category fits: that of the source's own file, 1 where it has none.
    """
    category = table_info(images).made_by.get("category", 1)
    file = JsonIndex(path)
    if not file.is_array:
        raise ValueError(f"{path}: no COCO results file: expected a list of detections")

    def refuse(position: str, text: str) -> None:
        raise ValueError(f"{path}: {position} is not valid JSON: {text}")

    others: set[Any] = set()
    parts = [_columns(path, batch, category, others) for batch in file.batches("", refuse) if batch]
    if not parts:
        raise ValueError(f"{path}: holds no detections")
    people, boxes, scores = (np.concatenate([part[i] for part in parts]) for i in (1, 2, 3))
    if not people.any():
        there = ", ".join(sorted(map(str, others))[:5])
        raise ValueError(
            f"{path}: no detection of a person: category {category} is asked for, as the source's annotations have it, "
            f"the file has category {there}; many detectors count from 0: write the category that the source has"
        )
    sources = images["source"].unique().to_pylist()
    if len(sources) != 1:
        raise ValueError(f"{path}: detections belong to one source, the images come from {sources}")
    row_of = {name: row for row, name in enumerate(images["file_name"].to_pylist())}
    row_of |= {identity.split(":", 1)[1]: row for row, identity in enumerate(images["image_id"].to_pylist())}
    rows = np.array([row_of.get(identity, -1) for part in parts for identity in part[0]], np.int64)
    if (rows < 0).all():
        raise ValueError(f"{path}: none of its {len(rows)} detections is on an image of source '{sources[0]}'")
    sizes = np.stack([images[side].to_numpy() for side in ("width", "height")], 1)[rows]
    outside = (boxes[:, 2:] <= 0).any(1) | (boxes[:, :2] >= sizes).any(1) | (boxes[:, :2] + boxes[:, 2:] <= 0).any(1)
    reasons = {"other_category": ~people, "unknown_image": people & (rows < 0)}
    reasons["empty_or_outside"] = people & (rows >= 0) & outside
    kept = np.flatnonzero(people & (rows >= 0) & ~outside)
    kept = kept[np.lexsort((kept, -scores[kept], rows[kept]))]
    made_by = provenance({}, [path]) | {"left_out": {name: int(where.sum()) for name, where in reasons.items()}}
    info = table_info(images)
    return table_from(
        "detections",
        _on_images(images, rows[kept])
        | {
            "detection_id": [f"{sources[0]}:{number}" for number in kept],
            "bbox": boxes[kept],
            "score": scores[kept],
            "detector": [Path(path).stem] * len(kept),
        },
        TableInfo(info.keypoints, info.image_roots, made_by),
    )


def _on_images(images: pa.Table, rows: np.ndarray) -> dict[str, Any]:
    names = ("image_id", "source", "file_name", "width", "height")
    return {name: images[name].combine_chunks().take(pa.array(rows)) for name in names}


def _columns(
    path: str | Path, batch: Sequence[Any], category: int | str, others: set[Any]
) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Image ids, whether the category is people [N], boxes [N, 4] and scores [N]; adds to the `others` categories."""
    try:
        with np.errstate(over="ignore"):
            boxes = numbers([record["bbox"] for record in batch], 4).astype(np.float32)
            scores = optional_numbers([record["score"] for record in batch]).astype(np.float32)
        categories = [record.get("category_id", category) for record in batch]
        people = np.array([own == category for own in categories], bool)
        others |= {own for own in categories if own != category}
        ids = identities([whole(_image(record)) for record in batch])
    except MALFORMED:
        raise _malformed(path, batch) from None
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise _malformed(path, batch)
    return ids, people, boxes, scores


def _malformed(path: str | Path, batch: Sequence[Any]) -> ValueError:
    for record in batch:
        if not isinstance(record, dict):
            return ValueError(f"{path}: a detection is no object: {record!r:.100}")
        if fault := fault_in_numbers(record.get("bbox"), 4, "bbox"):
            return ValueError(f"{path}: a detection on image {record.get('image_id')}: {fault[0]} ({fault[1]!r:.100})")
        values = [*record["bbox"], record.get("score")]
        if not all(isinstance(value, int | float) and abs(value) < _HUGE for value in values):
            return ValueError(f"{path}: a detection on image {record.get('image_id')}: not finite numbers: {values}")
        if not is_identity(whole(_image(record))):
            return ValueError(f"{path}: a detection has no image_id and no file_name: {record!r:.100}")
    return ValueError(f"{path}: a detection cannot be read: {batch[0]!r:.100}")


def _image(record: dict[str, Any]) -> Any:
    """What names a detection's image: its id, or its file, as outside teachers' results have it; None without both."""
    return record["image_id"] if "image_id" in record else record.get("file_name")
