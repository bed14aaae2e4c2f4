"""One keypoint model of the teacher ensemble (section 4.2)."""

from __future__ import annotations

from typing import Any

from pipeline import layout
from pipeline.params import Params
from pipeline.progress import Progress
from pipeline.steps.compose_sets import trained_rows
from pipeline.tables import write_table
from pipeline.training.job import TrainingJob, run_job


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Train teacher `item` on C."""
    assert item is not None
    teacher = params.train_teachers.models[item]
    labelled = layout.instances(params.data.labelled)
    people = layout.STATE / "train_teachers" / f"{item}.parquet"
    write_table(people, trained_rows(labelled))
    job = TrainingJob(
        stage="train_teachers",
        item=item,
        model=teacher.model,
        training=teacher.training,
        compute=params.compute,
        tables=(people,),
        validation=layout.instances(params.data.validation),
        start=None,
        sampling=(),
        external=(),
        keep_auxiliary=False,
        output=layout.teacher(item),
    )
    return run_job(job, progress)
