"""One keypoint model of the teacher ensemble (section 4.2)."""

from __future__ import annotations

from typing import Any

from pipeline import layout
from pipeline.artefacts import provenance
from pipeline.params import Params
from pipeline.progress import Progress
from pipeline.steps.compose_sets import rows_of
from pipeline.tables import concatenate, write_table
from pipeline.training.job import TrainingJob, run_job


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Train teacher `item` on the labelled sources."""
    assert item is not None
    teacher, sources = params.train_teachers.models[item], params.train_teachers.sources
    files = [layout.instances(source) for source in sources]
    table = layout.STATE / "train_teachers" / f"{item}.parquet"
    write_table(table, concatenate([rows_of("C", path) for path in files], provenance({}, files)))
    job = TrainingJob(
        stage="train_teachers",
        item=item,
        model=teacher.model,
        training=teacher.training,
        compute=params.compute,
        tables=(table,),
        validation=layout.instances(params.train_teachers.validation),
        start=None,
        sampling=(),
        external=(),
        keep_auxiliary=False,
        output=layout.teacher(item),
    )
    return run_job(job, progress)
