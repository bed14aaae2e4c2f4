"""Which categories of an annotation file are meant, and whether their keypoints are the set's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.records.keypoints import KeypointSet
from pipeline.records.text import one_line

_FEWEST_POINTS = 3  # categories with keypoints' names: no list of objects has so many


def chosen_categories(
    declared: Sequence[dict[str, Any]], wanted: Sequence[str] | None, keypoints: KeypointSet, path: Path
) -> list[dict[str, Any]]:
    """The categories that are `wanted` by name; by default persons, or else those with keypoints, or else all.

    ValueError for a name that the file lacks, and for a file in which every keypoint is a category of its own.
    """
    if wanted is not None:
        return _wanted(declared, wanted, path)
    people = [c for c in declared if _plain(c.get("name")) == "person"]
    people = people or [c for c in declared if c.get("keypoints")]
    if not any(isinstance(c.get("keypoints"), list) and len(c["keypoints"]) > 1 for c in people):
        _refuse_points(declared, keypoints, path)
    return people or list(declared)


def check_names(category: dict[str, Any], expected: Sequence[str], set_name: str, path: Path) -> None:
    """ValueError when a category declares other keypoints; it says which one is different."""
    names = category.get("keypoints")
    where = f"{path}: category '{_shown(category.get('name'))}'"
    if names is not None and not isinstance(names, list):
        raise ValueError(f"{where}: keypoints is no list: {names!r:.200}")
    if names and tuple(names) != tuple(expected):
        raise ValueError(f"{where} declares the keypoints of another set than '{set_name}': "
                         f"{difference(names, expected)}. Declare the file's own names, in its order, in a keypoint "
                         "set and name that as the source's `keypoints`")  # fmt: skip


def difference(names: Sequence[Any], expected: Sequence[str]) -> str:
    """What two lists of names differ in, in words."""
    if sorted(map(str, names)) == sorted(expected):
        first = next(i for i, (a, b) in enumerate(zip(names, expected, strict=True)) if a != b)
        there, here = _shown(names[first]), expected[first]
        return f"the same names in another order, keypoint {first + 1} is {there} there and {here} here"
    added = [_shown(name) for name in names if name not in expected]
    missing = [name for name in expected if name not in names]
    if len(added) == len(missing) == 1 and len(names) == len(expected):
        return f"'{added[0]}' there is '{missing[0]}' here"
    parts = [f"{len(names)} there, {len(expected)} here"] if len(names) != len(expected) else []
    parts += [f"only there: {_some(added)}"] if added else []
    parts += [f"only here: {_some(missing)}"] if missing else []
    return "; ".join(parts)


def _shown(name: Any) -> str:
    return one_line(name)[:60]


def _wanted(declared: Sequence[dict[str, Any]], wanted: Sequence[str], path: Path) -> list[dict[str, Any]]:
    found = []
    for name in wanted:
        same = [c for c in declared if c.get("name") == name]
        same = same or [c for c in declared if _plain(c.get("name")) == _plain(name)]
        if not same:
            there = ", ".join(str(c.get("name")) for c in declared) or "none"
            raise ValueError(f"{path}: categories: there is no '{name}'; the file has {there}")
        found += same
    return found


def _refuse_points(declared: Sequence[dict[str, Any]], keypoints: KeypointSet, path: Path) -> None:
    known = {_letters(name) for name in keypoints.names}
    single = [c for c in declared if isinstance(c.get("keypoints"), list) and len(c["keypoints"]) == 1]
    points = [c for c in declared if _letters(c.get("name")) in known] or (single if len(known) > 1 else [])
    if len(points) >= min(_FEWEST_POINTS, len(known)):
        raise ValueError(
            f"{path}: every keypoint is a category of its own ({_some([str(c.get('name')) for c in points])}), so "
            "nothing says which points are one person's. Export skeletons instead: one category with its keypoints' "
            "names (COCO Keypoints), one annotation a person"
        )


def _plain(name: Any) -> str:
    return name.strip().casefold() if isinstance(name, str) else ""


def _letters(name: Any) -> str:
    return re.sub(r"[\W_]+", "", _plain(name))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
