"""What items leave behind that the params no longer make: named, removed on request, and never counted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from pipeline import layout
from pipeline.settings.params import Params
from pipeline.settings.recipe import items_of

_MARK = "\0"


def leftovers(params: Params) -> list[Path]:
    """Artefacts in the workspace of items that the params do not name (built-in data sets aside), notes left out."""
    made: dict[Path, set[str]] = {}
    for stage, items in items_of(params).items():
        if stage != "synthesize":
            for pattern in layout.outputs(stage, _MARK):
                made.setdefault(pattern, set()).update(items)
    return sorted(
        path
        for pattern, items in made.items()
        if layout.INDEX not in pattern.parents
        for item, path in _found(pattern)
        if item not in items
    )


def _found(pattern: Path) -> Iterator[tuple[str, Path]]:
    """The items whose artefact of this pattern is there, and the artefact. Files of DVC's and git's are none."""
    if _MARK not in pattern.name or not pattern.parent.is_dir():
        return
    before, after = pattern.name.split(_MARK)
    for path in pattern.parent.iterdir():
        name = path.name
        fits = name.startswith(before) and name.endswith(after) and path.is_dir() == (not after)
        if fits and not name.startswith("."):
            yield name[len(before) : len(name) - len(after)], path


def remove(paths: list[Path]) -> None:
    """Remove leftovers; DVC's cache still has what it tracked."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def drop_notes(params: Params) -> None:
    """Drop the notes of items that are no more, so that what joins a stage's items does not depend on them."""
    for stage, items in items_of(params).items():
        for path in (layout.INDEX / stage).glob("*.json"):
            if path.stem not in items:
                path.unlink(missing_ok=True)
