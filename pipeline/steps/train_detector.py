"""The person detector: Mask R-CNN on the people of C (section 4.1)."""

from __future__ import annotations

from typing import Any

from pipeline.detection.job import DetectorJob, run_job
from pipeline.progress import Progress
from pipeline.settings import Params


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Train detector `item` on C and measure its box AP on the validation source."""
    assert item is not None
    job = DetectorJob(
        item=item,
        training=params.train_detector.models[item],
        compute=params.compute,
        labelled=params.data.labelled,
        validation=params.data.validation,
    )
    return run_job(job, progress)
