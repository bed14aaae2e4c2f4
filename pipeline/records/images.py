"""Reading image files: whole, or reduced to 1/2, 1/4 or 1/8 while decoding, which is cheaper and does not alias."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import simplejpeg

REDUCTIONS = (1, 2, 4, 8)
_JPEG = b"\xff\xd8\xff"
_HARMLESS = "extraneous bytes"  # libjpeg skips them and loses nothing; every other complaint is lost picture


class ImageReader:
    """Decodes into one buffer that grows as needed: an array it returned is overwritten by the next call."""

    def __init__(self) -> None:
        self._buffer = np.empty(0, np.uint8)

    def read(self, path: str | Path, reduction: int = 1, channels: int = 3) -> np.ndarray:
        """The image as [ceil(h / reduction), ceil(w / reduction), channels], RGB as its pixels are stored.

        With 4 channels the last is filler: OpenCV warps four nearly three times as fast as three. Pixel i of the
        reduced image covers pixels i * reduction to (i + 1) * reduction - 1 of the file's.
        EXIF orientation is ignored, as COCO's annotations ignore it. ValueError names a file that is missing,
        truncated, corrupt or no image.
        """
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError as error:
            raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
        return self.decode(data, path, reduction, channels)

    def decode(self, data: bytes, path: str | Path, reduction: int = 1, channels: int = 3) -> np.ndarray:
        """As `read`, from a file's bytes; `path` is for the error message."""
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction: {reduction}; allowed: {REDUCTIONS}")
        if data[:3] == _JPEG:
            return self._jpeg(data, path, reduction, channels)
        return reduced(_any_format(data, path, channels), reduction)

    def _jpeg(self, data: bytes, path: str | Path, reduction: int, channels: int) -> np.ndarray:
        try:
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
            if colours in ("CMYK", "YCCK"):  # libjpeg-turbo does not turn these into RGB
                return reduced(_any_format(data, path, channels), reduction)
            size = {"min_height": -(-height // reduction), "min_width": -(-width // reduction)}
            needed = size["min_height"] * size["min_width"] * channels
            if self._buffer.size < needed:
                self._buffer = np.empty(needed, np.uint8)
            settings = {"buffer": self._buffer, "colorspace": "RGB" if channels == 3 else "RGBX"}
            try:
                return simplejpeg.decode_jpeg(data, **settings, **size)
            except ValueError as error:
                if _HARMLESS not in str(error):
                    raise
                return simplejpeg.decode_jpeg(data, **settings, **size, strict=False)
        except ValueError as error:
            raise ValueError(f"{path}: not a readable JPEG: {error}") from None


def _any_format(data: bytes, path: str | Path, channels: int) -> np.ndarray:
    image = None
    if data:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error:
            image = None
    if image is None:
        raise ValueError(f"{path}: not a readable image" + (" (the file is empty)" if not data else ""))
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB if channels == 3 else cv2.COLOR_BGR2RGBA)


def reduced(image: np.ndarray, reduction: int) -> np.ndarray:
    """An image reduced by 1, 2, 4 or 8, as the means of blocks; the last ones are filled up with the border."""
    if reduction == 1:
        return image
    rows, columns = (-side % reduction for side in image.shape[:2])
    padded = cv2.copyMakeBorder(image, 0, rows, 0, columns, cv2.BORDER_REPLICATE)
    size = (padded.shape[1] // reduction, padded.shape[0] // reduction)
    return cv2.resize(padded, size, interpolation=cv2.INTER_AREA)
