"""What records lack and other values of theirs give: a box, an area, zeros for what is not labelled."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from pipeline.sources.records import BOX_MARGIN, People


def without_absent(people: People) -> None:
    """Zeros, in place, for keypoints that are not labelled and have no number for a place: NaN, NaN, 0."""
    points = people.keypoints
    unknown = np.isnan(points[:, :, :2]).any(2)
    if unknown.any():
        points[unknown & (np.isnan(points[:, :, 2]) | (points[:, :, 2] == 0))] = 0


def fill_areas(people: People) -> int:
    """Areas of 0, which conversion scripts write for "unknown", become absent, in place; how many."""
    zero = people.areas == 0
    people.areas[zero] = np.nan
    return int(zero.sum())


def fill_boxes(people: People, rows: np.ndarray, sizes: np.ndarray) -> dict[str, int]:
    """Boxes of four zeros are derived, in place, from the labelled keypoints or else the mask; counts by origin.

    The extent grows by `BOX_MARGIN` of itself on every side and is cut at the image's border. `rows` [N] is each
    person's row of `sizes` [images, 2] (width, height), -1 for none.
    """
    counts: dict[str, int] = {}
    for person in np.flatnonzero((people.boxes == 0).all(1) & (rows >= 0)).tolist():
        points = people.keypoints[person]
        places, origin = points[(points[:, 2] > 0), :2], "keypoints"
        if not len(places):
            places, origin = _outline(people.masks[person].as_py()), "mask"
        if len(places) and np.isfinite(places).all():
            people.boxes[person] = box_round(places, sizes[rows[person]])
            counts[f"boxes derived from the {origin}"] = counts.get(f"boxes derived from the {origin}", 0) + 1
    return counts


def box_round(places: np.ndarray, size: np.ndarray) -> np.ndarray:
    """[4] x, y, w, h round places [N, 2] with the margin, within an image of (width, height)."""
    low, high = places.min(0), places.max(0)
    margin = BOX_MARGIN * np.maximum(high - low, 1)
    low, high = np.maximum(low - margin, 0), np.minimum(high + margin, size)
    return np.concatenate([low, high - low])


def _outline(segmentation: str | None) -> np.ndarray:
    """[N, 2] corners of COCO's polygons; of run lengths, or of nothing, none."""
    none = np.zeros((0, 2))
    if segmentation is None:
        return none
    polygons: Any = orjson.loads(segmentation)
    if isinstance(polygons, dict):
        return _of_runs(polygons)
    try:
        parts = [np.asarray(polygon, np.float64).reshape(-1, 2) for polygon in polygons if len(polygon) >= 6]
    except (ValueError, TypeError):
        return none
    return np.concatenate(parts) if parts else none


def _of_runs(runs: dict[str, Any]) -> np.ndarray:
    from pycocotools import mask as coco_mask  # here, for hardly any source needs it

    try:
        if isinstance(runs.get("counts"), list):
            runs = coco_mask.frPyObjects(runs, *runs["size"])
        x, y, width, height = coco_mask.toBbox(runs)
    except (KeyError, TypeError, ValueError):
        return np.zeros((0, 2))
    return np.array([[x, y], [x + width, y + height]]) if width and height else np.zeros((0, 2))
