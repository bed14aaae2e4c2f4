"""What items leave behind that the params no longer make: named, removed on request, and never counted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipeline import layout
from pipeline.settings.graph import MARK, Definition


def leftovers(graph: Mapping[str, Definition]) -> list[Path]:
    """Artefacts in the workspace of items that the params do not name; notes and built-in data sets left out."""
    made: dict[Path, set[str]] = {}
    for stage in graph.values():
        for pattern in map(Path, stage.pattern.made):
            if stage.has_items and pattern.parent != Path("data") and layout.INDEX not in pattern.parents:
                made.setdefault(pattern, set()).update(stage.items)
    found = {path for pattern, items in made.items() for item, path in _lying(pattern) if item not in items}
    return sorted(found)


def _lying(pattern: Path) -> Iterator[tuple[str, Path]]:
    """The items whose artefact of this pattern is there, and the artefact. Files of DVC's and git's are none."""
    if MARK not in pattern.name or not pattern.parent.is_dir():
        return
    before, after = pattern.name.split(MARK)
    for path in pattern.parent.iterdir():
        name = path.name
        fits = name.startswith(before) and name.endswith(after) and path.is_dir() == (not after)
        if fits and not name.startswith("."):
            yield name[len(before) : len(name) - len(after)], path


def remove(paths: Sequence[Path]) -> None:
    """Remove leftovers; DVC's cache still has what it tracked."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def drop_notes(graph: Mapping[str, Definition]) -> None:
    """Drop the notes of items that are no more, so that what joins a stage's items does not depend on them."""
    for name, stage in graph.items():
        for path in (layout.INDEX / name).glob("[!.]*"):
            if path.stem not in stage.items:
                path.unlink(missing_ok=True)
