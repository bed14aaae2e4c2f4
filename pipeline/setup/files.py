"""Which files were meant: the annotation files of a folder, the folder of their images, names for the sources."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.sources.formats.yolo import DESCRIPTION, label_folders
from pipeline.sources.recognise import Recognised, recognise

_VALIDATION = re.compile(r"(?i)(^|[^a-z])(val|valid|validation|dev|test)([^a-z]|$)")
_MOST_FOLDERS, _SAMPLE = 2000, 25


@dataclass(frozen=True)
class Found:
    """An annotation file, what it was recognised as, and the folder of its images where that was said."""

    path: Path
    about: Recognised
    images: Path | None
    validates: bool  # its name says that it is for validation


def found(text: str) -> list[Found]:
    """What `FILE`, `FILE:IMAGES` or a folder names. ValueError when there is no annotation file."""
    path, images = _split(text)
    if path.name == DESCRIPTION or (path / DESCRIPTION).is_file():
        return _yolo(path if path.is_file() else path / DESCRIPTION, images)
    if path.is_file():
        return [Found(path, recognise(path), images, False)]
    if not path.is_dir():
        raise ValueError(f"{path}: no such file or folder; allowed: an annotation file, FILE:IMAGES, or a folder")
    known = []
    for candidate in _candidates(path):
        try:
            about = recognise(candidate)
        except ValueError:
            continue
        if about.names and about.people:
            known.append(Found(candidate, about, images, bool(_VALIDATION.search(candidate.stem))))
    if not known:
        raise ValueError(f"{path}: no annotation file of a known format in it; name the file itself")
    names = known[0].about.names
    if others := [each.path for each in known if each.about.names != names]:
        raise ValueError(
            f"{path}: {known[0].path.name} and {others[0].name} have different keypoints; name the files that you mean"
        )
    if all(each.validates for each in known):
        return [Found(each.path, each.about, each.images, False) for each in known]
    return known


def _yolo(description: Path, images: Path | None) -> list[Found]:
    """The parts of a `data.yaml`, each by its folder of labels: its own train and val stay what they are."""
    about, folders = recognise(description), label_folders(description)
    return [
        Found(folder, about, images or description.parent, validates=part == "val" and "train" in folders)
        for part, folder in folders.items()
        if part != "test"
    ]


def _split(text: str) -> tuple[Path, Path | None]:
    """`FILE:IMAGES` in its two halves; a path with a colon in it that is there stays whole."""
    if Path(text).exists() or ":" not in text:
        return Path(text), None
    places = [i for i, letter in enumerate(text) if letter == ":"]
    for place in places:
        if Path(text[:place]).exists() and Path(text[place + 1 :]).is_dir():
            return Path(text[:place]), Path(text[place + 1 :])
    if Path(text[: places[-1]]).exists():
        raise ValueError(f"{text[places[-1] + 1 :]}: no such folder of images")
    return Path(text), None


def _candidates(folder: Path) -> list[Path]:
    """Files that may hold annotations: those at the top, then two folders down; a data.yaml stands for its folder."""
    if (folder / "data.yaml").is_file():
        return [folder / "data.yaml"]
    endings = (".json", ".json.gz", ".csv")
    for pattern in ("*", "*/*", "*/*/*"):
        files = sorted(path for path in folder.glob(pattern) if path.name.lower().endswith(endings) and path.is_file())
        if files:
            return files
    return sorted(folder.glob("*/data.yaml"))


def images_root(index: Path, file_names: Sequence[str]) -> Path:
    """The folder that the file names are relative to: of those about the annotation file, the one with most of them.

    ValueError when none has any, with where it was looked.
    """
    step = max(1, len(file_names) // _SAMPLE)
    sample = file_names[::step][:_SAMPLE]
    best, most = None, 0
    for folder in _folders(index.parent):
        there = sum((folder / name).is_file() for name in sample)
        if there > most:
            best, most = folder, there
        if most == len(sample):
            break
    if best is None:
        raise ValueError(
            f"{index}: its images, such as {sample[0] if sample else 'none'}, are in no folder about it; name "
            f"their folder: {index}:IMAGES"
        )
    return best


def _folders(start: Path) -> Iterator[Path]:
    """The folder itself, what is below it, then what is below the one above, level by level."""
    seen: set[Path] = set()
    for top, levels in ((start, 3), (start.resolve().parent, 2)):
        level = [top]
        for _ in range(levels + 1):
            following: list[Path] = []
            for folder in level:
                if folder.resolve() not in seen and len(seen) < _MOST_FOLDERS:
                    seen.add(folder.resolve())
                    yield folder
                try:
                    following += sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir())
                except OSError:
                    continue
            level = following


def slug(text: str) -> str:
    """A name that params allow, of any text."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower() or "set"
