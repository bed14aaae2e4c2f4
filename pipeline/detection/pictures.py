"""Boxes cut out of their images and laid out on one sheet, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from pipeline.records.images import ImageReader

_MARGIN = 0.15  # of the box, on every side
_LABEL = 14  # pixels for the line under a cell


def contact_sheet(
    files: Sequence[str | Path],
    boxes: np.ndarray,
    captions: Sequence[str],
    *,
    columns: int = 8,
    cell: tuple[int, int] = (128, 96),
) -> bytes:
    """A PNG of the boxes [N, 4] (x, y, w, h in image pixels) of N image files, each with its surroundings and caption.

    `cell` is (height, width) in pixels. ValueError names an image that cannot be read, or an empty list.
    """
    if not len(files):
        raise ValueError("a contact sheet needs at least one box")
    height, width = cell
    rows = -(-len(files) // columns)
    sheet = np.full((rows * (height + _LABEL), min(columns, len(files)) * width, 3), 255, np.uint8)
    reader = ImageReader()
    for i, (file, box, caption) in enumerate(zip(files, boxes, captions, strict=True)):
        top, left = i // columns * (height + _LABEL), i % columns * width
        picture = _fitted(reader.read(file), box, height, width)
        y, x = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
        sheet[top + y : top + y + picture.shape[0], left + x : left + x + picture.shape[1]] = picture
        place = (left + 2, top + height + _LABEL - 4)
        cv2.putText(sheet, caption, place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
    encoded: np.ndarray = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1]
    return encoded.tobytes()


def _fitted(image: np.ndarray, box: np.ndarray, height: int, width: int) -> np.ndarray:
    """The box with its margin, its outline drawn, as large as fits."""
    x, y, w, h = (float(v) for v in box)
    x1, y1 = max(0, int(x - _MARGIN * w)), max(0, int(y - _MARGIN * h))
    part = image[y1 : int(y + (1 + _MARGIN) * h) + 1, x1 : int(x + (1 + _MARGIN) * w) + 1]
    scale = min((height - 2) / part.shape[0], (width - 2) / part.shape[1])
    size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    picture = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    corners = [round((v - origin) * scale) for v, origin in ((x, x1), (y, y1), (x + w, x1), (y + h, y1))]
    cv2.rectangle(picture, corners[:2], corners[2:], (255, 80, 0), 1)
    return picture
