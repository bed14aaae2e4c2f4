"""The person detector: Mask R-CNN on the people of C (section 4.1)."""

from __future__ import annotations

from typing import Any

from pipeline.detection.job import DetectorJob, run_job
from pipeline.progress import Progress
from pipeline.settings.params import Params


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Train the detector on C and measure its box AP on the validation source."""
    return run_job(
        DetectorJob(params.train_detector, params.compute, params.data.labelled, params.data.validation), progress
    )
