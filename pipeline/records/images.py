"""Reading image files: whole, or reduced to 1/2, 1/4 or 1/8 while decoding, which is cheaper and does not alias."""

from __future__ import annotations

import io
import os
import re
import stat
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image

REDUCTIONS = (1, 2, 4, 8)
MOST_PIXELS = 1 << 28  # what takes more memory than this has is a bomb, not a photograph
Image.MAX_IMAGE_PIXELS = MOST_PIXELS  # Pillow, which reads the headers, warns above a number of its own
_ORIENTATION = 0x0112  # EXIF's tag
_ROTATIONS = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_CLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}
_MIRRORED = {2: 1, 4: 3, 5: 8, 7: 6}  # as which one they turn once they are mirrored
_TURNED = re.compile(r"#exif=([2-8])$")
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
        EXIF orientation is ignored, as COCO's annotations ignore it, but where the name says otherwise
        (`turned_name`): then the image is as viewers show it. Of 16 bits, 65535 is white. ValueError names a file that
        is missing, truncated, corrupt, no image, of pixels with a sign or a fraction, or larger than `MOST_PIXELS`.
        """
        path, turn = split_turn(str(path))
        try:
            with open(path, "rb", opener=_without_waiting) as file:
                data = file.read()
        except OSError as error:
            raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
        if turn == 1:
            return self.decode(data, path, reduction, channels)
        return reduced(upright(self.decode(data, path, 1, channels), turn), reduction)

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
            check_pixels(width, height, path)
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
        except TooLarge:
            raise
        except ValueError as error:
            raise ValueError(f"{path}: not a readable JPEG: {error}") from None


def _any_format(data: bytes, path: str | Path, channels: int) -> np.ndarray:
    image = None
    if data:
        check_pixels(*_size(data), path)
        image = _decoded(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION)
        if image is None and (grey := _decoded(data, cv2.IMREAD_UNCHANGED)) is not None:
            _bytes(grey, path)  # OpenCV makes no colours of grey numbers of 32 bits
    if image is None:
        raise ValueError(f"{path}: not a readable image" + (" (the file is empty)" if not data else ""))
    return cv2.cvtColor(_bytes(image, path), cv2.COLOR_BGR2RGB if channels == 3 else cv2.COLOR_BGR2RGBA)


def _decoded(data: bytes, flags: int) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None


def _bytes(image: np.ndarray, path: str | Path) -> np.ndarray:
    """Pixels as bytes, those of 16 bits in 257 steps a byte. Which of other numbers is white, nobody can know."""
    if image.dtype == np.uint16:
        return cv2.convertScaleAbs(image, alpha=1 / 257)
    if image.dtype != np.uint8:
        raise ValueError(f"{path}: its pixels are {image.dtype} numbers; allowed: 8 or 16 bits without a sign")
    return image


def reduced(image: np.ndarray, reduction: int) -> np.ndarray:
    """An image reduced by 1, 2, 4 or 8, as the means of blocks; the last ones are filled up with the border."""
    if reduction == 1:
        return image
    rows, columns = (-side % reduction for side in image.shape[:2])
    padded = cv2.copyMakeBorder(image, 0, rows, 0, columns, cv2.BORDER_REPLICATE)
    size = (padded.shape[1] // reduction, padded.shape[0] // reduction)
    return cv2.resize(padded, size, interpolation=cv2.INTER_AREA)


class TooLarge(ValueError):
    """An image whose pixels would fill the memory."""


def check_pixels(width: int, height: int, path: str | Path) -> None:
    """Refuse, by what its header says, an image of more than `MOST_PIXELS`."""
    if width * height > MOST_PIXELS:
        raise TooLarge(f"{path}: {width} x {height} pixels; allowed: {MOST_PIXELS:,} altogether")


def turned_name(name: str, turn: int) -> str:
    """A file's name with the EXIF orientation (1 to 8) that it is to be read by: `a.jpg#exif=6`; 1 adds nothing."""
    return name if turn == 1 else f"{name}#exif={turn}"


def split_turn(name: str) -> tuple[str, int]:
    """The file's own name, and the orientation that it is to be read by."""
    found = _TURNED.search(name)
    return (name[: found.start()], int(found[1])) if found else (name, 1)


def file_of(name: str) -> str:
    """The file that a name of `turned_name` is of."""
    return split_turn(name)[0]


def orientation(file: str | Path | io.BytesIO) -> int:
    """The EXIF orientation of an image file, 1 to 8; 1 where there is none."""
    try:
        with Image.open(file) as opened:
            value = opened.getexif().get(_ORIENTATION, 1)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 1  # the reader says what is wrong
    return value if value in range(1, 9) else 1


def upright(pixels: np.ndarray, turn: int) -> np.ndarray:
    """Stored pixels as EXIF says to show them."""
    if turn in _MIRRORED:  # undo the mirror, then turn as the unmirrored twin
        pixels, turn = cv2.flip(pixels, 1), _MIRRORED[turn]
    return np.ascontiguousarray(cv2.rotate(pixels, _ROTATIONS[turn]) if turn in _ROTATIONS else pixels)


def _size(data: bytes) -> tuple[int, int]:
    """Width and height by an image's header; zeros where it is of no format that is known for its headers."""
    try:
        with Image.open(io.BytesIO(data)) as opened:
            return opened.size
    except Image.DecompressionBombError:
        return MOST_PIXELS, 2
    except (OSError, ValueError, SyntaxError):
        return 0, 0


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a named pipe, which nobody may ever write to, is refused instead of waited for."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise IsADirectoryError(0, "not a file", path)
    return descriptor
