"""Built-in data: rendered scenes, written in the formats of the real data sets."""

from __future__ import annotations

from typing import Any

from pipeline import layout
from pipeline.params import Params
from pipeline.progress import Progress
from pipeline.synthesis import write_data_set


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Render data set `item`; the same settings give the same bytes."""
    assert item is not None
    settings = params.synthesize[item]
    with progress.task("render"):
        write_data_set(layout.synthetic(item), settings, progress.track)
    return settings.model_dump(exclude={"image_size"})
