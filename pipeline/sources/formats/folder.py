"""Images without labels: a folder, or a text file that lists them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from pipeline.records.keypoints import KeypointSet
from pipeline.settings import Source
from pipeline.sources.quarantine import Quarantine
from pipeline.sources.records import Images, People, Records

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_NAMED = 5  # kinds of other files, in a message


def read(source: Source, keypoints: KeypointSet) -> Records:
    """List images: every image file below the folder `index`, or the paths (relative to `images`) of a text file.

    ValueError when there is neither, when the folder does not lie in `images`, or when there is no image.
    """
    index, root = Path(source.index), Path(source.images)
    others: Counter[str] = Counter()
    if index.is_dir():
        below = os.path.relpath(index, root)
        if below.startswith(".."):
            raise ValueError(f"{index}: the folder does not lie in the image root {root}")
        names = sorted(os.path.normpath(os.path.join(below, name)) for name in _files_below(index, others))
    elif index.is_file():
        try:
            names = [line.strip() for line in index.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        except UnicodeDecodeError:
            raise ValueError(f"{index}: neither a folder nor a text file that lists images, one a line") from None
    else:
        raise ValueError(f"{index}: no such folder or list of images")
    if not names:
        there = ", ".join(f"{count} {what}" for what, count in others.most_common(_NAMED))
        raise ValueError(f"{index}: no images in it; looked for {', '.join(SUFFIXES)}" + (there and f"; has {there}"))
    return Records(
        Images(names, names, [0] * len(names), [0] * len(names)),
        People.joined([], len(keypoints)),
        Quarantine(),
        len(names),
        dict(others.most_common()),
        text_ids=True,
    )


def _files_below(folder: Path, others: Counter[str]) -> list[str]:
    """Image files below a folder; `others` counts the rest by suffix. Links to folders further up are not followed."""
    found, stack, seen = [], [""], {_identity(folder)}
    while stack:
        below = stack.pop()
        try:
            entries = sorted(os.scandir(folder / below), key=lambda entry: entry.name)
        except OSError as error:
            raise ValueError(f"{folder / below}: cannot be read: {error.strerror}") from None
        for entry in entries:
            name = os.path.join(below, entry.name)
            if _is(entry.is_dir):
                identity = _identity(folder / name) if _is(entry.is_symlink) else None
                if identity not in seen:
                    stack.append(name)
                if identity is not None:
                    seen.add(identity)
            elif entry.name.lower().endswith(SUFFIXES):
                found.append(name)
            else:
                suffix = os.path.splitext(entry.name)[1].lower()
                others[f"{suffix} files" if suffix else "files without a suffix"] += 1
    return found


def _identity(folder: Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _is(question: Callable[[], bool]) -> bool:
    """What a directory entry answers; a link that leads in a circle is nothing."""
    try:
        return question()
    except OSError:
        return False
