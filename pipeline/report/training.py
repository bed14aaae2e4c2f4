"""How the models were trained, and on what data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pipeline import layout
from pipeline.evaluation.postprocess import people_to_find
from pipeline.records.tables import to_numpy
from pipeline.report.blocks import Block, Figure, Fold, Gallery, MissingArtefact, Note, Section, Table
from pipeline.report.charts import bar_chart, line_chart
from pipeline.report.context import Context, count_text, image_path, short
from pipeline.report.drawing import LEFT, RIGHT, Scene, around, picture
from pipeline.report.teachers import outcomes
from pipeline.settings import arrow

VALIDATION = {
    False: "mean OKS and AP of Eq 26-27 on ground-truth boxes, decoded as training does it",
    True: "the boxes' AP by COCO's protocol",
}


def training(context: Context) -> Section:
    """Loss and validation curves of every model."""
    detectors, teachers = context.params.train_detector.models, context.params.train_teachers.models
    runs = [("train_detector", name, f"Person detector {name}") for name in detectors]
    runs += [("train_teachers", name, f"Teacher {name}") for name in teachers]
    runs += [
        ("rounds", f"{name}/{student}", f"Round {name}, student {student}")
        for name, figures in outcomes(context).items()
        for student in figures["students"]
    ]
    for strategy in context.strategies:
        runs += [("train_joint", strategy, f"Training on Phi, {arrow(strategy)}")]
        runs += [("fine_tune", strategy, f"Fine-tuning on Theta, {arrow(strategy)}")]
    blocks: list[Block] = []
    for stage, item, title in runs:
        try:
            blocks.append(Fold(title, _curves(context.curves(stage, item), stage), open=stage == "train_joint"))
        except MissingArtefact as missing:
            blocks.append(Note(f"{title}: {missing}", missing=True))
    return Section("training", "Training", "Loss and validation figures by epoch, as `dvc plots` has them.", blocks)


def _curves(curves: pd.DataFrame, stage: str) -> list[Block]:
    x = curves.columns[0]
    captions = {"loss": f"Loss by {x}", "validation": f"Validation by {x}: {VALIDATION[stage == 'train_detector']}"}
    groups = {"loss": [c for c in curves.columns if "loss" in c]}
    groups["validation"] = [c for c in curves.columns if c.startswith("val")]
    blocks: list[Block] = []
    for label, columns in groups.items():
        series = {}
        for column in columns:
            known = curves[[x, column]].dropna()
            if len(known):
                series[column.replace("_", " ")] = (known[x].tolist(), known[column].tolist())
        if len(series) > 1 and label == "loss":  # the main loss is the loss where there is no auxiliary decoder
            first = next(iter(series.values()))
            series = {name: points for i, (name, points) in enumerate(series.items()) if i == 0 or points != first}
        if series:
            blocks.append(Figure(line_chart(series, x, label), captions[label]))
    return blocks


def data(context: Context) -> Section:
    """Annotation statistics of every source (Figure 1), and the rows of every training set."""
    blocks: list[Block] = []
    figures: dict[str, dict[str, Any]] = {}
    for source in context.params.data.sources:
        try:
            figures[source] = context.metrics("ingest", source)
        except MissingArtefact as missing:
            blocks.append(Note(str(missing), missing=True))
    if figures:
        blocks.append(_sources(context, figures))
    for source, found in figures.items():
        if found.get("people"):
            is_open = source in context.params.data.labelled
            inner = [*_statistics(found), *_examples(context, source)]
            blocks.append(Fold(f"Annotations of {source}", inner, open=is_open))
    blocks += _training_sets(context)
    return Section(
        "data", "Data", "What the sources hold, as read and checked, and what the models were trained on.", blocks
    )


def _sources(context: Context, figures: dict[str, dict[str, Any]]) -> Table:
    keys = ("images", "people", "people_with_keypoints", "keypoints", "crowds")
    rows = []
    for source, found in figures.items():
        bad = sum(found.get("quarantined", {}).values())
        kind = context.params.data.sources[source].format
        rows.append([source, kind, *(count_text(found.get(key, 0)) for key in keys), count_text(bad)])
    return Table(["source", "format", *(key.replace("_", " ") for key in keys), "set aside"], rows, labels=2)


def _statistics(found: dict[str, Any]) -> list[Block]:
    blocks: list[Block] = []
    labelled: Sequence[int] = found.get("keypoints_per_person", [])[1:]
    if labelled:
        people = sum(labelled) or 1
        chart = bar_chart(
            [str(i) for i in range(1, len(labelled) + 1)],
            {"people": [100 * count / people for count in labelled]},
            "% of people",
            x_label="labelled keypoints",
        )
        blocks.append(
            Figure(chart, f"{count_text(people)} people with keypoints, by how many are labelled (Figure 1a)")
        )
    by_keypoint: list[dict[str, Any]] = found.get("by_keypoint", [])
    if by_keypoint:
        states = ("visible", "occluded", "unlabelled")
        people = max(sum(by_keypoint[0][state] for state in states), 1)
        series = {state: [100 * counts[state] / people for counts in by_keypoint] for state in states}
        labels = [short(counts["keypoint"]) for counts in by_keypoint]
        blocks.append(Figure(bar_chart(labels, series, "% of people with keypoints"), "Their keypoints (Figure 1b)"))
    return blocks


def _examples(context: Context, source: str) -> list[Block]:
    """Annotated people, drawn by the report's seed (Figure 1c)."""
    path = layout.instances(source)
    if not path.exists():
        return []
    instances = context.table(path, "instances", f"ingest@{source}")
    rows = people_to_find(instances)
    people = instances.take(rows[context.chosen(len(rows))])
    boxes = to_numpy(people, "bbox").astype(float)
    triples = to_numpy(people, "keypoints").reshape(people.num_rows, -1, 3)
    pictures = []
    for row, (box, own) in enumerate(zip(boxes, triples, strict=True)):
        dots = [(own[own[:, 2] == v, :2], colour) for v, colour in ((2, RIGHT), (1, LEFT))]
        scene = Scene(image_path(people, row), around([box], 0.15), dots=dots)
        pictures.append(picture(scene, context.keypoints, f"{people['file_name'][row].as_py()}", height=180))
    caption = f"{source}: annotated people; blue dots are visible keypoints, red ones occluded (Figure 1c)"
    return [Gallery(pictures, caption)] if pictures else []


def _training_sets(context: Context) -> list[Block]:
    rows = []
    for strategy in context.strategies:
        for phase, name in (("train", "Phi"), ("fine_tune", "Theta")):
            path = layout.training_set(strategy, phase)
            if not path.exists():
                return [Note(str(MissingArtefact(path, f"compose_sets@{strategy}")), missing=True)]
            table = context.table(path, "instances", "compose_sets")
            kinds = table["kind"].value_counts().to_pylist()
            counts = {entry["values"]: entry["counts"] for entry in kinds}
            sources = table["source"].value_counts().to_pylist()
            words = ", ".join(
                f"{e['values']} {count_text(e['counts'])}" for e in sorted(sources, key=lambda e: e["values"])
            )
            per_kind = [count_text(counts.get(kind, 0)) for kind in ("labelled", "pseudo", "hard_negative")]
            rows.append([arrow(strategy), name, words, count_text(table.num_rows), *per_kind])
    header = ["strategy", "set", "rows by source", "rows", "labelled", "pseudo", "hard negative"]
    return [Table(header, rows, "Training sets: the concatenation of a strategy's letters (Eq 10)", labels=3)]
