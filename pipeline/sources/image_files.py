"""The image files behind a source: are they there, are they images, how large, what is in them, which way up."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path

import simplejpeg

from pipeline.records.images import ImageReader, check_pixels, orientation

_HEAD, _TAIL = 4096, 64  # bytes
_END_OF_JPEG, _EXIF = b"\xff\xd9", b"Exif\0\0"


@dataclass(frozen=True)
class Found:
    """What was found of one image file; `fault` is the reason it is no use, or empty."""

    width: int = 0
    height: int = 0
    size: int = 0
    content: str = ""  # a hash of the file
    turn: int = 1  # the EXIF orientation that it is read by
    unsure: int = 1  # the EXIF orientation of which nothing tells whether the labels follow it
    told: str = ""  # what the sizes of a turned file tell of the labels: stored, exif
    fault: str = ""
    value: str = ""


@dataclass(frozen=True)
class FileCheck:
    """Checks image files (name, declared width, declared height; 0 for unknown) below a root; picklable.

    With `decode` every image is decoded whole. Without, a JPEG's header and end are read, and it is decoded only
    where its end is missing; other formats are always decoded.

    A file whose EXIF turns it has the size and the `turn` that `orientation` says (`stored`, `exif`); None: what the
    declared size tells, and `unsure` where it tells nothing.
    """

    root: str
    decode: bool
    orientation: str | None = "stored"
    links: str = "inside"

    def __call__(self, files: list[tuple[str, int, int]]) -> list[Found]:
        reader, root = ImageReader(), os.path.join(os.path.realpath(self.root), "")
        return [self._checked(reader, root, *file) for file in files]

    def _checked(self, reader: ImageReader, root: str, name: str, width: int, height: int) -> Found:
        fault = leaves_root(name)
        if fault:
            return Found(fault=fault, value=f"{name}{self._elsewhere(name)}")
        path = os.path.join(self.root, name)
        try:
            stored = self._found(reader, path, root)
            found = self._turned(stored, path, (width, height))
        except FileNotFoundError:
            return Found(fault="the image is missing", value=f"{path}{self._elsewhere(name)}")
        except IsADirectoryError:
            return Found(fault="the image is a folder", value=path)
        except OSError as error:
            return Found(fault="the image cannot be read", value=f"{path}: {error.strerror}")
        except _LeavesRoot as error:
            return Found(fault="the link leaves the image root", value=f"{error}; `links: anywhere` allows it")
        except ValueError as error:
            return Found(fault="the image is unreadable or truncated", value=str(error))
        if (width and width != found.width) or (height and height != found.height):
            sizes = f"the file is {found.width}x{found.height}, the record says {width}x{height}"
            where = path
            if stored.unsure > 4 and (width, height) == (found.height, found.width):
                sizes += f"; its EXIF turns it, and the record's size is not that of `orientation: {self.orientation}`"
                where = name  # the text is cut where it is long, and its end is the remedy
            return Found(fault="the image has another size than its record says", value=f"{where}: {sizes}")
        return found

    def _elsewhere(self, name: str) -> str:
        """Where below the root a file is that a name with other folders may mean, in words."""
        parts = name.replace("\\", "/").split("/")
        for start in range(1, len(parts)):
            shorter = "/".join(parts[start:])
            if shorter and not leaves_root(shorter) and os.path.isfile(os.path.join(self.root, shorter)):
                return f", but {shorter} is there: set `images`, or strip the folder from the names"
        return ""

    def _turned(self, found: Found, path: str, declared: tuple[int, int]) -> Found:
        """What was found, in the frame that the labels are in."""
        if self.orientation == "stored" or found.unsure == 1:
            return replace(found, unsure=1)
        turn = found.unsure
        stored = found.width, found.height
        shown = stored[::-1] if turn > 4 else stored
        as_shown = replace(found, width=shown[0], height=shown[1], turn=turn, unsure=1)
        if self.orientation == "exif":
            return as_shown
        if stored != shown and declared in (stored, shown):
            same = declared == shown
            return replace(as_shown, told="exif") if same else replace(found, unsure=1, told="stored")
        return found

    def _found(self, reader: ImageReader, path: str, root: str) -> Found:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a named pipe would be waited for
        try:
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError
            if not stat.S_ISREG(status.st_mode):
                raise ValueError(f"{path}: no file but a pipe or a device")
            if self.links == "inside" and not (real := os.readlink(f"/proc/self/fd/{descriptor}")).startswith(root):
                raise _LeavesRoot(f"{path} leads to {real}")
            data = b""
            while block := os.read(descriptor, max(_HEAD, status.st_size - len(data) + 1)):
                data += block
        finally:
            os.close(descriptor)
        is_jpeg = data.startswith(b"\xff\xd8\xff")
        if self.decode or not is_jpeg or _END_OF_JPEG not in data[-_TAIL:]:
            height, width = reader.decode(data, path).shape[:2]
        else:
            width, height = _jpeg_size(data, path)
        turn = orientation(path) if not is_jpeg or _EXIF in data[: 1 << 16] else 1
        return Found(width, height, len(data), content_hash(data), unsure=turn)


class _LeavesRoot(ValueError):
    """A symbolic link below the image root leads out of it."""


def content_hash(data: bytes) -> str:
    """What tells a file's content from any other's, fast."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def _jpeg_size(data: bytes, path: str) -> tuple[int, int]:
    """Width and height of a JPEG by its header."""
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise ValueError(f"{path}: not a readable JPEG: {error}") from None
    check_pixels(width, height, path)
    return width, height


def leaves_root(name: str) -> str:
    """Why a file name may not be opened below the image root, or an empty text."""
    if "\0" in name:
        return "the file name has a zero byte"
    if os.path.isabs(name) or os.path.normpath(name).split(os.sep)[0] == os.pardir or Path(name).drive:
        return "the path leaves the image root"
    return ""
