"""COCO's results file, as its test-dev server takes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from pipeline.records.artefacts import written
from pipeline.records.tables import to_numpy


def write_results(path: Path, poses: pa.Table, about: Mapping[str, Any]) -> None:
    """Write a `poses` table as COCO results JSON: image ids and category as the source has them, full precision.

    `about` is what the source's `images` table says of its making: its `category`, and whether ids are `text_ids`.
    """
    keypoints = to_numpy(poses, "keypoints").astype(np.float64)
    scores = to_numpy(poses, "score").astype(np.float64)
    category, as_text = about.get("category", 1), bool(about.get("text_ids", False))
    entries = [
        {"image_id": source_id(image, as_text), "category_id": category, "keypoints": row, "score": score}
        for image, row, score in zip(poses["image_id"].to_pylist(), keypoints, scores.tolist(), strict=True)
    ]
    with written(path) as temporary:
        temporary.write_bytes(orjson.dumps(entries, option=orjson.OPT_SERIALIZE_NUMPY))


def source_id(image_id: str, as_text: bool = False) -> int | str:
    """`coco:139` to 139: the id in the source's own files, a number where it is one there."""
    own = image_id.split(":", 1)[1]
    if as_text:
        return own
    try:
        number = int(own)
    except ValueError:
        return own
    return number if str(number) == own else own
