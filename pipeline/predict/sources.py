"""What to look at: files, folders, globs, lists of paths, videos."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
LISTS = (".txt", ".lst")


def is_video(path: Path) -> bool:
    """By its ending."""
    return path.suffix.lower() in VIDEOS


def files_of(sources: Sequence[str]) -> list[tuple[Path, Path]]:
    """Every picture and video of the sources, in order, and below which name each is written.

    A folder gives the pictures and videos below it, sorted, with their place in it. Files of one name in several places
    are called by their folders too. ValueError for what is not there.
    """
    found: dict[Path, Path] = {}
    for source in sources:
        for path, name in _of(source):
            found.setdefault(path, name)
    if not found:
        raise ValueError(f"{', '.join(sources)}: no pictures or videos ({', '.join(PICTURES + VIDEOS)})")
    return _apart(found)


def _apart(found: dict[Path, Path]) -> list[tuple[Path, Path]]:
    """Files and names, no name twice: where one would be, their places below the folder that they share."""
    counts = Counter(found.values())
    twice = [os.path.abspath(path) for path, name in found.items() if counts[name] > 1]
    if not twice:
        return list(found.items())
    shared = os.path.commonpath([os.path.dirname(path) for path in twice])
    named = {
        path: name if counts[name] == 1 else Path(os.path.relpath(os.path.abspath(path), shared))
        for path, name in found.items()
    }
    name, count = Counter(named.values()).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{name}: so {count} of the files would be called; look at them one after the other")
    return list(named.items())


def _of(source: str) -> Iterator[tuple[Path, Path]]:
    path = Path(source)
    if path.is_dir():
        for inner in _below(path):
            yield inner, inner.relative_to(path)
    elif path.is_file() and path.suffix.lower() in LISTS:
        for line in _lines(path):
            listed = Path(line) if os.path.isabs(line) else path.parent / line
            yield listed, Path(listed.name)
    elif path.exists():
        yield path, Path(path.name)
    else:
        matches = sorted(glob.glob(source, recursive=True)) if glob.has_magic(source) else []
        if not matches:
            raise ValueError(f"{source}: no such file, folder or pattern")
        for match in matches:
            yield from _of(match)


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file that lists paths, one a line") from None


def _below(folder: Path) -> Iterator[Path]:
    """Pictures and videos below a folder, sorted; links to folders are not followed, so that none leads round."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            if path.suffix.lower() in PICTURES + VIDEOS and path.is_file():
                yield path
