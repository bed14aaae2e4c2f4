"""Tables over small images that tests draw themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from pipeline.records.tables import TableInfo, table_from


def people_table(
    root: Path, names: list[str], boxes: np.ndarray, keypoints: np.ndarray, supervised: np.ndarray | None = None
) -> pa.Table:
    """An `instances` table, a row a box; `keypoints` [N, K, 3] of COCO's set, v in the last place."""
    rows = len(names)
    return table_from(
        "instances",
        {
            "instance_id": [f"drawn:{i}" for i in range(rows)],
            "image_id": [f"drawn:{name}" for name in names],
            "source": ["drawn"] * rows,
            "file_name": names,
            "kind": ["labelled"] * rows,
            "width": [1] * rows,
            "height": [1] * rows,
            "bbox": np.asarray(boxes, np.float32),
            "area": np.ones(rows),
            "iscrowd": np.zeros(rows, bool),
            "keypoints": keypoints.reshape(rows, -1).astype(np.float32),
            "supervised": keypoints[:, :, 2] > 0 if supervised is None else supervised,
        },
        TableInfo("coco", {"drawn": str(root)}),
    )


def blob(height: int, width: int, x: float, y: float, sigma: float) -> np.ndarray:
    """A Gaussian dot on black, [height, width, 3]; the channels round in three ways, so that their mean is finer."""
    across, down = (np.exp(-((np.arange(size) - at) ** 2) / (2 * sigma**2)) for size, at in ((width, x), (height, y)))
    value = 255 * np.outer(down, across)
    return np.floor(value[:, :, None] + np.array([1, 3, 5]) / 6).clip(0, 255).astype(np.uint8)


def centroid(image: np.ndarray) -> tuple[float, float]:
    """Centre of brightness of [H, W, 3], x, y."""
    value = image.astype(np.float64).sum(2)
    rows, columns = np.mgrid[: value.shape[0], : value.shape[1]]
    return float((value * columns).sum() / value.sum()), float((value * rows).sum() / value.sum())


def misplaced(image: np.ndarray, at: Sequence[float], sigma: float) -> tuple[float, float]:
    """How far off `at` the Gaussian dot of `blob` lies in [H, W, 3], x, y: least squares, as the dot's slope sees it.

    Noise disturbs it an order of magnitude less than the centroid, which weighs what is far away the most.
    """
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    dx, dy = columns - at[0], rows - at[1]
    dot = 255 * np.exp(-(dx**2 + dy**2) / (2 * sigma**2))
    difference = image.astype(np.float64).mean(2) - dot
    along, down = (dot * step / sigma**2 for step in (dx, dy))
    return float((along * difference).sum() / (along**2).sum()), float((down * difference).sum() / (down**2).sum())


def noise_people(root: Path, count: int = 10, seed: int = 0) -> pa.Table:
    """People with all keypoints in JPEGs of smooth noise; every second one shares its image with the one before."""
    random = np.random.default_rng(seed)
    names = []
    for i in range(count):
        names.append(f"{i // 2}.jpg")
        if i % 2 == 0:
            picture = cv2.GaussianBlur(random.integers(0, 256, (240, 320, 3), dtype=np.uint8), (0, 0), 2)
            cv2.imwrite(str(root / names[-1]), picture)
    corner, side = random.uniform(0, 150, (count, 2)), random.uniform(60, 160, (count, 2))
    points = random.uniform(0.1, 0.9, (count, 17, 2)) * side[:, None] + corner[:, None]
    keypoints = np.concatenate([points, np.full((count, 17, 1), 2.0)], 2)
    return people_table(root, names, np.concatenate([corner, side], 1), keypoints)
