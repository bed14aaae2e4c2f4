"""A round: students of C and U, which label U anew where they are better than their teachers (section 4.2, repeated).

DVC runs every round that the params name, so one that follows a round without a gain trains nobody: it hands U on as it
was, in seconds.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import pyarrow as pa

from pipeline import layout
from pipeline.learning.training import distributed
from pipeline.learning.training.job import TrainingJob, run_job
from pipeline.learning.training.validation import RANKED_BY
from pipeline.progress import Progress
from pipeline.records.alignment import joined
from pipeline.records.artefacts import read_json, write_json, written
from pipeline.records.tables import read_table, to_numpy, write_table
from pipeline.settings import FIRST_LABELS, Params
from pipeline.steps.compose_sets import held_out, labelled_rows
from pipeline.steps.pseudo_label import Teachers, first_teachers, label_source

Figures = dict[str, Any]


def run(params: Params, progress: Progress, item: str | None = None) -> Figures:
    """Train the students of round `item`; U by them and their teachers if the best of them beats the best before."""
    assert item is not None
    make_folders(item)
    before = best_before(params, item)
    if before is None:
        figures: Figures = {"kept": False, "students": {}}
        progress.say(f"round {item}: trains nobody, for the round before has not risen on the validation")
    else:
        students = train(params, progress, item)
        if distributed.rank() != 0:
            return {}
        figures = judged(students, before) | {"students": students}
        progress.say(f"round {item}: {in_words(figures)}")
    after = params.rounds[item].after
    figures["labels"] = {}
    for source in params.pseudo_label.sources:
        if figures["kept"]:
            teachers = teachers_of(params, f"rounds/{item}")
            figures["labels"][source] = label_source(params, progress, source, teachers, f"rounds/{item}")
        else:
            with written(layout.labels(f"rounds/{item}", source)) as temporary:
                shutil.copyfile(layout.labels(after, source), temporary)
    figures |= size(params, f"rounds/{item}")
    write_json(layout.figures("rounds", item), figures)
    return {key: value for key, value in figures.items() if not isinstance(value, list | dict)}


def make_folders(item: str) -> None:
    """DVC expects them of a round that trains nobody too."""
    for path in (layout.students(item), layout.curves("rounds", item), layout.figures("rounds", item)):
        path.with_suffix("").mkdir(parents=True, exist_ok=True)


def best_before(params: Params, item: str) -> Figures | None:
    """The figures on the validation of the best network that the students have to beat; None where rounds have ended.

    {} where there is none: all teachers are from outside.
    """
    after = params.rounds[item].after
    if after == FIRST_LABELS:
        return best({name: read_json(layout.figures("train_teachers", name)) for name in params.train_teachers.models})
    earlier = read_json(layout.figures("rounds", PurePath(after).name))
    return best(earlier["students"]) if earlier["kept"] else None


def best(models: Mapping[str, Figures]) -> Figures:
    """The figures of the best of some models by what ranks weights in training; {} of none."""
    return max(models.values(), key=lambda figures: figures[ranked_by(figures)], default={})


def ranked_by(figures: Figures) -> str:
    """The figure that training goes by."""
    return next(name for name in RANKED_BY if name in figures)


def judged(students: Mapping[str, Figures], before: Figures) -> Figures:
    """Whether the best student is better than the best before, and by what figure."""
    mine = best(students)
    name = ranked_by(mine)
    found = {key: value for key, value in mine.items() if key.startswith("val_")}
    if not before:
        return found | {"kept": True, "ranked_by": name}
    return found | {"kept": mine[name] > before[name], "ranked_by": name, "before": before[name]}


def in_words(figures: Figures) -> str:
    """What became of a round."""
    name = figures["ranked_by"]
    beside = f"{figures['before']:.4f} before" if "before" in figures else "no network of ours before"
    done = "U is labelled anew" if figures["kept"] else "no better, so U stays as it was and no round follows"
    return f"{name} {figures[name]:.4f}, {beside}: {done}"


def train(params: Params, progress: Progress, item: str) -> dict[str, Figures]:
    """The figures of every student, trained on C, but for the images that are held out, and on the U of before."""
    people = layout.STATE / "rounds" / item / "labelled.parquet"
    rows = joined(labelled_rows(params))
    write_table(people, rows.filter(pa.array(~held_out(rows, params.train_teachers.held_out))))
    labels = [layout.labels(params.rounds[item].after, source) for source in params.pseudo_label.sources]
    found = {}
    for name, student in params.rounds[item].students.items():
        job = TrainingJob(
            stage="rounds",
            item=f"{item}/{name}",
            model=student.model,
            training=student.training,
            compute=params.compute,
            tables=(people, *labels),
            validation=tuple(map(layout.instances, params.data.validation)),
            start=None,
            sampling=(),
            external=(),
            keep_auxiliary=False,
            output=layout.students(item) / name,
        )
        with progress.task(name):
            found[name] = run_job(job, progress)
    return found


def teachers_of(params: Params, stage: str) -> Teachers:
    """Who has made the U of `pseudo_label`, or of a round that was kept, as all before it were then."""
    if stage == FIRST_LABELS:
        return first_teachers(params)
    name = PurePath(stage).name
    settings = params.rounds[name]
    mine = tuple(layout.students(name) / student for student in settings.students)
    if not settings.keep_teachers:
        return Teachers(mine, (), trained=True)
    earlier = teachers_of(params, settings.after)
    return Teachers((*earlier.folders, *mine), earlier.outside, trained=True)


def last_kept(params: Params) -> str:
    """Whose U the strategies train on, as it came about: of the rounds so far the last that was kept."""
    ran = [name for name in params.rounds if layout.figures("rounds", name).exists()]
    kept = [name for name in ran if read_json(layout.figures("rounds", name))["kept"]]
    return f"rounds/{kept[-1]}" if kept else FIRST_LABELS


def last_figures(params: Params, source: str) -> Figures:
    """What the teachers of that U said of a source, as `label_figures`."""
    stage = last_kept(params)
    if stage == FIRST_LABELS:
        return dict(read_json(layout.figures(FIRST_LABELS, source)))
    return dict(read_json(layout.figures("rounds", PurePath(stage).name))["labels"][source])


def size(params: Params, stage: str) -> Figures:
    """How much U holds after a stage: rows, keypoints, and what a keypoint weighs in the mean."""
    rows = keypoints = 0
    weight = 0.0
    for source in params.pseudo_label.sources:
        table = read_table(layout.labels(stage, source), "instances")
        supervised = to_numpy(table, "supervised")
        rows, keypoints = rows + table.num_rows, keypoints + int(supervised.sum())
        weight += float(to_numpy(table, "weight")[supervised].sum(dtype=float))
    return {"rows": rows, "keypoints": keypoints, "mean_weight": weight / max(keypoints, 1)}
