"""Pictures as people have them: grey, deep, with alpha, turned by their EXIF tag; a file, or an array."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from pipeline.records.images import ImageReader, orientation, upright


@dataclass(frozen=True)
class Picture:
    """A picture to look at. `path` is set where the file's stored pixels are the picture; else `given` holds them."""

    path: str | None
    given: np.ndarray | None

    @cached_property
    def pixels(self) -> np.ndarray:
        """[H, W, 3] uint8 RGB."""
        if self.given is not None:
            return self.given
        assert self.path is not None
        return ImageReader().read(self.path)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.pixels.shape[:2]
        return height, width


def read_picture(image: np.ndarray | str | Path, stored: bool) -> Picture:
    """A picture from a file or an array; ValueError names the file that cannot be read, or says what an array must be.

    With `stored` a file is taken as it is stored, else as viewers show it.
    """
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"a picture of {image.dtype} {image.shape}; allowed: uint8 [H, W, 3], RGB")
        return Picture(None, np.ascontiguousarray(image))
    path = str(image)
    turn = 1 if stored else orientation(path)
    if turn == 1:
        return Picture(path, None)
    return Picture(None, upright(ImageReader().read(path), turn))
