"""Images without labels: a folder, or a text file that lists them."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.records.keypoints import KeypointSet
from pipeline.settings import Source
from pipeline.sources.quarantine import Quarantine
from pipeline.sources.records import Images, People, Records

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def read(source: Source, keypoints: KeypointSet) -> Records:
    """List images: every image file below the folder `index`, or the paths (relative to `images`) of a text file.

    ValueError when there is neither, when the folder does not lie in `images`, or when there is no image.
    """
    index, root = Path(source.index), Path(source.images)
    if index.is_dir():
        below = os.path.relpath(index, root)
        if below.startswith(".."):
            raise ValueError(f"{index}: the folder does not lie in the image root {root}")
        names = sorted(os.path.normpath(os.path.join(below, name)) for name in _files_below(index))
    elif index.is_file():
        try:
            names = [line.strip() for line in index.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
        except UnicodeDecodeError:
            raise ValueError(f"{index}: neither a folder nor a text file that lists images, one a line") from None
    else:
        raise ValueError(f"{index}: no such folder or list of images")
    if not names:
        raise ValueError(f"{index}: no images in it; looked for {', '.join(SUFFIXES)}")
    return Records(
        Images(names, names, [0] * len(names), [0] * len(names)),
        People.joined([], len(keypoints)),
        Quarantine(),
        len(names),
    )


def _files_below(folder: Path) -> list[str]:
    found, stack = [], [""]
    while stack:
        below = stack.pop()
        with os.scandir(folder / below) as entries:
            for entry in entries:
                name = os.path.join(below, entry.name)
                if entry.is_dir():
                    stack.append(name)
                elif entry.name.lower().endswith(SUFFIXES):
                    found.append(name)
    return found
