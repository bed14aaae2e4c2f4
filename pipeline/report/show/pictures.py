"""Rows of `instances`, `detections` and `poses`, drawn on their pictures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.predict.drawing import SURE
from pipeline.predict.run import drawn_name, save_picture, tiled
from pipeline.progress import Progress
from pipeline.records.images import file_of
from pipeline.records.tables import table_info, table_name, to_numpy
from pipeline.report.drawing import GREEN, RED, YELLOW, Scene, Skeleton, drawn
from pipeline.report.show.describe import chosen

DRAWABLE = ("instances", "detections", "poses")
IMAGES = 12
_HEIGHT = 360
_SHEET = (".jpg", ".jpeg", ".png", ".webp")
_COLOURS = {"labelled": GREEN, "pseudo": YELLOW, "hard_negative": RED}


def draw_rows(
    path: Path, output: Path, progress: Progress, images: int = IMAGES, where: Mapping[str, str] | None = None
) -> int:
    """Draw a table's rows on their pictures, and say on how many.

    Args:
        path: a table of `DRAWABLE`. Boxes are green (labelled people, detections, poses), yellow (pseudo-labels) or red
            (hard negatives); keypoints scored below 0.3, or labelled as occluded, are rings.
        output: a name of a picture takes all of them side by side, any other is a folder for a file each.
        images: how many pictures, in the order in which the rows name them.
        where: column to value: only these rows.

    Raises:
        ValueError: another table, no rows, or a picture that cannot be read; names the file.
    """
    name = table_name(path)
    if name not in DRAWABLE:
        raise ValueError(f"{path}: the table {name} has nothing to draw; allowed: {', '.join(DRAWABLE)}")
    table = chosen(path, where or {})
    if not table.num_rows:
        raise ValueError(f"{path}: no rows to draw" + (" that --where chooses" if where else ""))
    keypoints = table_info(table).keypoint_set
    identities = list(dict.fromkeys(table["image_id"].to_pylist()))[:images]
    sheet: list[np.ndarray] | None = [] if output.suffix.lower() in _SHEET else None
    for identity in progress.track(identities, description=f"draw {path}", unit="image"):
        rows = table.filter(pc.equal(table["image_id"], identity))
        scene = _scene(rows)
        picture = drawn(scene, keypoints, _HEIGHT)
        if sheet is None:
            save_picture(_place(output, rows["file_name"][0].as_py(), scene.path), picture)
        else:
            sheet.append(picture)
    if sheet is not None:
        save_picture(output, tiled(sheet, height=_HEIGHT // 2))
    return len(identities)


def _scene(rows: pa.Table) -> Scene:
    """The picture of rows that share it."""
    root = table_info(rows).image_roots[rows["source"][0].as_py()]
    boxes = to_numpy(rows, "bbox").astype(float)
    kinds = rows["kind"].to_pylist() if "kind" in rows.column_names else ["labelled"] * rows.num_rows
    coloured = [(box, _COLOURS[kind]) for box, kind in zip(boxes, kinds, strict=True)]
    return Scene(Path(root) / rows["file_name"][0].as_py(), boxes=coloured, skeletons=_skeletons(rows))


def _skeletons(rows: pa.Table) -> list[Skeleton]:
    if "keypoints" not in rows.column_names:
        return []
    triples = to_numpy(rows, "keypoints").astype(float).reshape(rows.num_rows, -1, 3)
    third = triples[:, :, 2]
    if "kind" in rows.column_names:  # visibility
        return [Skeleton(points, v > 0, hollow=v == 1) for points, v in zip(triples[:, :, :2], third, strict=True)]
    everything = np.ones(triples.shape[1], bool)
    return [Skeleton(points, everything, hollow=s < SURE) for points, s in zip(triples[:, :, :2], third, strict=True)]


def _place(folder: Path, name: str, original: Path) -> Path:
    """Where a picture goes: as in its own folder, never outside of ours. ValueError where the original stands there."""
    inside = Path(file_of(name))
    place = folder / (inside.name if inside.is_absolute() or ".." in inside.parts else inside)
    if os.path.realpath(drawn_name(place, video=False)) == os.path.realpath(file_of(str(original))):
        raise ValueError(f"{place}: the picture itself would be written over; choose another folder than {folder}")
    return place
