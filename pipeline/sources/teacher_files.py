"""What a teacher from outside says of pictures, from a file: COCO keypoint results or Parquet, with a small card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.learning.outside import Predictions
from pipeline.records.keypoints import KeypointSet
from pipeline.records.text import parse_json, read_file
from pipeline.sources.teacher_card import Card, shared_names


def read_predictions(path: Path, card: Card, images: pa.Table, target: KeypointSet) -> Predictions:
    """The people of a teacher's file that are in the pictures of a source, in the target's keypoints, by name.

    A record has `keypoints`, x, y and a score for each of the card's names, and `file_name` or `image_id` of the
    picture; `bbox`, where it is missing, is the extent of its keypoints. Pictures that the source lacks are left out.

    Raises:
        ValueError: the file cannot be read, a record is malformed (by its number), no picture is the source's, or the
            card and the target set share no name.
    """
    here, there = shared_names(path, card, target)
    by_name = {name: row for row, name in enumerate(images["file_name"].to_pylist())}
    by_id = {name.split(":", 1)[1]: row for row, name in enumerate(images["image_id"].to_pylist())}
    records = _records(path)
    rows, triples, boxes = [], [], []
    for number, record in enumerate(records):
        row = _picture(path, number, record, by_name, by_id)
        if row is None:
            continue
        keypoints = _keypoints(path, number, record, len(card.names))
        rows.append(row)
        triples.append(keypoints)
        boxes.append(_box(path, number, record, keypoints))
    if not rows:
        raise ValueError(f"{path}: none of its {len(records)} records is on a picture of this source")
    points, scores = np.full((len(rows), len(target), 2), np.nan), np.zeros((len(rows), len(target)))
    found = np.stack(triples)
    points[:, there], scores[:, there] = found[:, here, :2], found[:, here, 2]
    return Predictions(np.array(rows), np.stack(boxes), points, scores)


def _records(path: Path) -> Sequence[Mapping[str, Any]]:
    if path.suffix == ".parquet":
        try:
            records: Any = pq.read_table(path).to_pylist()
        except (pa.ArrowInvalid, OSError) as error:
            raise ValueError(f"{path}: not a readable Parquet file: {error}") from None
    else:
        records = parse_json(read_file(path), path)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ValueError(f"{path}: expected COCO keypoint results, a list of objects")
    return records


def _picture(
    path: Path, number: int, record: Mapping[str, Any], by_name: Mapping[str, int], by_id: Mapping[str, int]
) -> int | None:
    name, identity = record.get("file_name"), record.get("image_id")
    if isinstance(name, str):
        return by_name.get(name)
    if isinstance(identity, int | str):
        return by_id.get(str(identity))
    raise ValueError(
        f"{path}: record {number}: needs a file_name or an image_id, got {name!r:.60} and {identity!r:.60}"
    )


def _keypoints(path: Path, number: int, record: Mapping[str, Any], count: int) -> np.ndarray:
    """x, y, score [K, 3] of a record."""
    triples = _floats(record.get("keypoints"))
    if triples is None or len(triples) != 3 * count:
        value = record.get("keypoints")
        raise ValueError(f"{path}: record {number}: keypoints: expected {3 * count} finite numbers, got {value!r:.100}")
    return triples.reshape(count, 3)


def _box(path: Path, number: int, record: Mapping[str, Any], keypoints: np.ndarray) -> np.ndarray:
    if record.get("bbox") is None:
        low, high = keypoints[:, :2].min(0), keypoints[:, :2].max(0)
        return np.concatenate([low, np.maximum(high - low, 1.0)])
    box = _floats(record["bbox"])
    if box is None or len(box) != 4 or (box[2:] <= 0).any():
        allowed = "x, y and a positive w, h"
        raise ValueError(f"{path}: record {number}: bbox: expected {allowed}, got {record['bbox']!r:.100}")
    return box


def _floats(value: Any) -> np.ndarray | None:
    """A list of finite numbers as an array; None for anything else."""
    if not isinstance(value, list) or not all(isinstance(each, int | float) for each in value):
        return None
    array = np.array(value, np.float64)
    return array if np.isfinite(array).all() else None
