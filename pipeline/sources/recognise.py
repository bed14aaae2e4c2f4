"""What an annotation file or folder is: its format, its keypoints and limbs, its categories, how much is in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.sources.formats.folder import SUFFIXES
from pipeline.sources.json_index import JsonIndex


@dataclass(frozen=True)
class Recognised:
    """A data set as its files declare it. `limbs` are pairs of names; without declared names both are empty."""

    format: str
    names: tuple[str, ...]
    limbs: tuple[tuple[str, str], ...]
    categories: tuple[str, ...]
    people: int
    images: int


def recognise(path: str | Path) -> Recognised:
    """Look at a file or folder. ValueError when it is of no known format."""
    path = Path(path)
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file or folder")
    file = JsonIndex(path)
    if file.is_array:
        return _list(file)
    if not file.array("images"):
        raise ValueError(f"{path}: no annotation file of a known format: it has no 'images'")
    return _coco(file)


def _folder(path: Path) -> Recognised:
    images = sum(entry.name.lower().endswith(SUFFIXES) for entry in path.rglob("*"))
    if not images:
        raise ValueError(f"{path}: a folder without images, and nothing of a known format in it")
    return Recognised("folder", (), (), (), 0, images)


def _list(file: JsonIndex) -> Recognised:
    images = people = 0
    for batch in file.batches("", _ignore):
        for record in batch:
            if not isinstance(record, dict) or not isinstance(record.get("keypoint_annotations"), dict):
                raise ValueError(f"{file.path}: no annotation file of a known format: a list of {record!r:.60}")
            images, people = images + 1, people + len(record["keypoint_annotations"])
    return Recognised("aic", (), (), ("person",), people, images)


def _coco(file: JsonIndex) -> Recognised:
    declared = file.value("categories") if file.array("categories") else []
    with_points = [c for c in declared if isinstance(c, dict) and isinstance(c.get("keypoints"), list)]
    with_points = [c for c in with_points if c["keypoints"]]
    named = with_points or [c for c in declared if isinstance(c, dict)]
    names = tuple(map(str, with_points[0]["keypoints"])) if with_points else ()
    limbs = _limbs(with_points[0].get("skeleton"), names) if with_points else ()
    counts = {kind: _count(file, kind) for kind in ("annotations", "images")}
    categories = tuple(str(c.get("name")) for c in named)
    return Recognised("coco", names, limbs, categories, counts["annotations"], counts["images"])


def _count(file: JsonIndex, member: str) -> int:
    return sum(map(len, file.batches(member, _ignore))) if file.array(member) else 0


def _limbs(skeleton: Any, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """COCO's skeleton, pairs of positions that count from 1, as pairs of names; what is no such pair is none."""
    pairs = [p for p in skeleton or [] if isinstance(p, list) and len(p) == 2 and all(type(n) is int for n in p)]
    if any(min(pair) == 0 for pair in pairs):  # some programs count from 0
        pairs = [[a + 1, b + 1] for a, b in pairs]
    return tuple((names[a - 1], names[b - 1]) for a, b in pairs if min(a, b) >= 1 and max(a, b) <= len(names))


def _ignore(*_: str) -> None:
    """What is no JSON is for the reader to name."""
