"""Training on Phi, the first half of a strategy (section 4.3, Eq 10)."""

from __future__ import annotations

from typing import Any

from pipeline import layout
from pipeline.learning.training.job import TrainingJob, run_job
from pipeline.progress import Progress
from pipeline.settings import Params


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Train on the Phi of strategy `item`. Two strategies with the same Phi share one training run."""
    assert item is not None
    settings = params.train_joint
    job = TrainingJob(
        stage="train_joint",
        item=item,
        model=settings.model,
        training=settings.training,
        compute=params.compute,
        tables=(layout.training_set(item, "train"),),
        validation=tuple(map(layout.instances, params.data.validation)),
        start=None,
        sampling=tuple(sorted(settings.sampling.items())),
        external=tuple(params.align_labels.sources),
        keep_auxiliary=True,
        output=layout.joint(item),
    )
    return run_job(job, progress)
