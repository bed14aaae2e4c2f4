"""People's boxes that a file gives, found by the pictures' names."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any

import numpy as np
import orjson

from pipeline.records.text import read_file

_LARGEST = np.finfo(np.float32).max


class GivenBoxes:
    """Boxes [N, 4] by the names of pictures, which may have folders before them."""

    def __init__(self, file: Path, boxes: dict[str, np.ndarray]) -> None:
        self._file, self._boxes = file, boxes
        self._by_end: dict[str, list[str]] = {}
        for name in boxes:
            self._by_end.setdefault(PurePath(name).name, []).append(name)

    def of(self, picture: Path) -> np.ndarray:
        """A picture's boxes, none where the file names it nowhere.

        Of several pictures of one name, that is meant whose folders are the picture's; ValueError where none is.
        """
        names = self._by_end.get(picture.name, [])
        if len(names) > 1:
            place = picture.absolute().parts
            names = [name for name in names if place[-len(parts := PurePath(name).parts) :] == parts]
            if len(names) != 1:
                raise ValueError(
                    f"{self._file}: several pictures are called {picture.name}, and none lies where this does"
                )
        return self._boxes[names[0]] if names else np.zeros((0, 4))


def read_boxes(path: Path) -> GivenBoxes:
    """People's boxes of a COCO annotation file, or of results that name their `file_name`.

    ValueError when the file is neither.
    """
    try:
        content = orjson.loads(read_file(path))
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from None
    names: dict[str, str] = {}  # by the id as it is written
    entries = content
    if isinstance(content, dict):
        entries = content.get("annotations")
        images = content.get("images", [])
        if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
            raise ValueError(f"{path}: images: expected a list of images")
        names = {repr(image.get("id")): str(image.get("file_name", "")) for image in images}
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{path}: no boxes; allowed: COCO's annotations, or a list of results with bbox and file_name")
    found: dict[str, list[Any]] = {}
    for number, entry in enumerate(entries):
        name = entry.get("file_name") or names.get(repr(entry.get("image_id")))
        box = entry.get("bbox")
        if name is None or not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
            raise ValueError(f"{path}: entry {number}: needs bbox [x, y, w, h] and a picture that the file names")
        found.setdefault(str(name), []).append(box)
    return GivenBoxes(path, {name: np.asarray(boxes, np.float64) for name, boxes in found.items()})


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(abs(value) < _LARGEST)
