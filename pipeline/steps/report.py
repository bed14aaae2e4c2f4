"""One HTML page with everything that was made, the paper's numbers beside ours."""

from __future__ import annotations

from typing import Any

from pipeline import layout
from pipeline.progress import Progress
from pipeline.records.artefacts import written
from pipeline.report.page import make_page, make_times
from pipeline.settings import Params


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Write the report; sections whose artefacts are missing say which stage makes them."""
    page, figures = make_page(params, progress)
    with written(layout.REPORT) as temporary:
        temporary.write_text(page, encoding="utf-8")
    if (times := make_times(params)) is not None:
        with written(layout.TIMES_PAGE) as temporary:
            temporary.write_text(times, encoding="utf-8")
    progress.say(f"report: {layout.REPORT.resolve().as_uri()}")
    return {"file": str(layout.REPORT), "kilobytes": round(len(page.encode()) / 1000), **figures}
