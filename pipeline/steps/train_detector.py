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
        labelled=tuple(params.data.labelled),
        validation=tuple(params.data.validation),
    )
    figures = run_job(job, progress)
    if figures and not figures.get("val_AP", 1.0) > 0:
        progress.say(
            f"warning: detector {item} finds nobody on {', '.join(job.validation)} (AP {figures['val_AP']:.3g}): "
            "what is mined, labelled and evaluated on its boxes will be empty"
        )
    return figures
