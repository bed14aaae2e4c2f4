"""The image files behind a source: are they there, are they images, how large, how new."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import simplejpeg

from pipeline.records.images import ImageReader

_HEAD, _TAIL = 4096, 64
_END_OF_JPEG = b"\xff\xd9"


@dataclass(frozen=True)
class Found:
    """What was found of one image file; `fault` is the reason it is no use, or empty."""

    width: int = 0
    height: int = 0
    size: int = 0
    modified: float = 0.0
    fault: str = ""
    value: str = ""


@dataclass(frozen=True)
class FileCheck:
    """Checks image files (name, declared width, declared height; 0 for unknown) below a root; picklable.

    With `decode` every image is decoded whole. Without, a JPEG's header and end are read, and it is decoded only
    where its end is missing; other formats are always decoded.
    """

    root: str
    decode: bool

    def __call__(self, files: list[tuple[str, int, int]]) -> list[Found]:
        reader = ImageReader()
        return [self._checked(reader, *file) for file in files]

    def _checked(self, reader: ImageReader, name: str, width: int, height: int) -> Found:
        fault = leaves_root(name)
        if fault:
            return Found(fault=fault, value=name)
        path = os.path.join(self.root, name)
        try:
            found = self._found(reader, path)
        except FileNotFoundError:
            return Found(fault="the image is missing", value=path)
        except IsADirectoryError:
            return Found(fault="the image is a folder", value=path)
        except OSError as error:
            return Found(fault="the image cannot be read", value=f"{path}: {error.strerror}")
        except ValueError as error:
            return Found(fault="the image is unreadable or truncated", value=str(error))
        if (width and width != found.width) or (height and height != found.height):
            sizes = f"{path}: the file is {found.width}x{found.height}, the record says {width}x{height}"
            return Found(fault="the image has another size than its record says", value=sizes)
        return found

    def _found(self, reader: ImageReader, path: str) -> Found:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            status = os.fstat(descriptor)
            head = os.read(descriptor, _HEAD)
            whole = self.decode or not head.startswith(b"\xff\xd8\xff")
            if not whole and _END_OF_JPEG not in os.pread(descriptor, _TAIL, max(0, status.st_size - _TAIL)):
                whole = True
            if whole:
                head += os.pread(descriptor, max(0, status.st_size - len(head)), len(head))
                height, width = reader.decode(head, path).shape[:2]
            else:
                height, width = _jpeg_size(head, descriptor, status.st_size, path)
        finally:
            os.close(descriptor)
        return Found(width, height, status.st_size, status.st_mtime)


def _jpeg_size(head: bytes, descriptor: int, size: int, path: str) -> tuple[int, int]:
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(head)
    except ValueError:  # long metadata comes before the picture
        head += os.pread(descriptor, max(0, size - len(head)), len(head))
        try:
            height, width, _, _ = simplejpeg.decode_jpeg_header(head)
        except ValueError as error:
            raise ValueError(f"{path}: not a readable JPEG: {error}") from None
    return height, width


def leaves_root(name: str) -> str:
    """Why a file name may not be opened below the image root, or an empty text."""
    if "\0" in name:
        return "the file name has a zero byte"
    if os.path.isabs(name) or os.path.normpath(name).split(os.sep)[0] == os.pardir or Path(name).drive:
        return "the path leaves the image root"
    return ""
