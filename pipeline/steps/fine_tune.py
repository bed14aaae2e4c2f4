"""Fine-tuning on Theta, the second half of a strategy (section 4.3, Eq 10)."""

from __future__ import annotations

from typing import Any

from pipeline import layout
from pipeline.learning.training.job import TrainingJob, run_job
from pipeline.progress import Progress
from pipeline.settings import Params


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Fine-tune the joint model of strategy `item` on its Theta."""
    assert item is not None
    job = TrainingJob(
        stage="fine_tune",
        item=item,
        model=params.train_joint.model,
        training=params.fine_tune.training,
        compute=params.compute,
        tables=(layout.training_set(item, "fine_tune"),),
        validation=tuple(map(layout.instances, params.data.validation)),
        start=layout.joint(item),
        sampling=tuple(sorted(params.train_joint.sampling.items())),
        external=tuple(params.align_labels.sources),
        keep_auxiliary=False,
        output=layout.final(item),
    )
    return run_job(job, progress)
