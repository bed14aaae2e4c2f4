"""COCO's results file, as its test-dev server takes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa

from pipeline.records.artefacts import written
from pipeline.records.tables import to_numpy

PERSON = 1  # COCO's category id


def write_results(path: Path, poses: pa.Table) -> None:
    """Write a `poses` table as COCO results JSON: image ids as the source had them, full precision."""
    keypoints = to_numpy(poses, "keypoints").astype(np.float64)
    scores = to_numpy(poses, "score").astype(np.float64)
    entries = [
        {"image_id": source_id(image), "category_id": PERSON, "keypoints": row, "score": score}
        for image, row, score in zip(poses["image_id"].to_pylist(), keypoints, scores.tolist(), strict=True)
    ]
    with written(path) as temporary:
        temporary.write_bytes(orjson.dumps(entries, option=orjson.OPT_SERIALIZE_NUMPY))


def source_id(image_id: str) -> int | str:
    """`coco:139` to 139: the id in the source's own files, a number where it is one."""
    own = image_id.split(":", 1)[1]
    return int(own) if own.isdigit() else own
