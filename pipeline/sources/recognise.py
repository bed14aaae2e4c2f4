"""What an annotation file is: its format, keypoints and categories (COCO's form alone, for now)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.sources.json_index import JsonIndex


@dataclass(frozen=True)
class Recognised:
    """A data set as its files declare it. `limbs` are pairs of names."""

    format: str
    names: tuple[str, ...]
    limbs: tuple[tuple[str, str], ...]
    categories: tuple[str, ...]
    people: int
    images: int


def recognise(path: str | Path) -> Recognised:
    """Look at a file. ValueError when it is of no known format."""
    file = JsonIndex(str(path))
    if file.is_array or "images" not in file.members or "annotations" not in file.members:
        raise ValueError(f"{path}: no annotation file of a known format")
    categories = [c for c in file.value("categories") if c.get("keypoints")]
    if not categories:
        raise ValueError(f"{path}: no category declares keypoints")
    names = tuple(categories[0]["keypoints"])
    limbs = tuple((names[a - 1], names[b - 1]) for a, b in categories[0].get("skeleton") or [])
    people, images = (
        sum(len(batch) for batch in file.batches(key, lambda *_: None)) for key in ("annotations", "images")
    )
    return Recognised("coco", names, limbs, tuple(c["name"] for c in categories), people, images)
