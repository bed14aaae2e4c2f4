"""A built-in data set: rendered scenes, written in the formats of the real data sets."""

from __future__ import annotations

from typing import Any

from pipeline import layout
from pipeline.progress import Progress
from pipeline.settings import Params
from pipeline.synthesis import write_data_set


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Render data set `item`, byte for byte the same every time."""
    assert item is not None
    settings = params.synthesize[item]
    root = layout.synthetic(item)
    with progress.task("render"):
        write_data_set(root, settings, progress.track)
    files = [path for path in root.rglob("*") if path.is_file()]
    return {
        "images": sum(path.suffix == ".jpg" for path in files),
        "megabytes": sum(path.stat().st_size for path in files) / 1e6,
    }
