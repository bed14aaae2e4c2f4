"""What the pipeline made of unlabelled data and of the detector's mistakes: H, U, and what to annotate next."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import layout
from pipeline.evaluation.similarity import box_iou
from pipeline.records.tables import to_numpy
from pipeline.report.blocks import (
    Block,
    Card,
    Cards,
    Figure,
    Fold,
    Gallery,
    MissingArtefact,
    Note,
    Picture,
    Section,
    Table,
)
from pipeline.report.charts import bar_chart, histogram
from pipeline.report.context import Context, count_text, image_path, percent, short
from pipeline.report.drawing import GREEN, RED, YELLOW, Scene, Skeleton, around, picture
from pipeline.report.teachers import calibration, last_labels, quantiles, rounds, teachers


def hard_negatives(context: Context) -> Section:
    """Counts at each threshold and samples of H (section 4.1, Figure 5)."""
    settings, blocks = context.params.mine_hard_negatives, list[Block]()
    for source in settings.sources:
        table = context.table(layout.letter("H", source), "instances", f"mine_hard_negatives@{source}")
        try:
            figures = context.metrics("mine_hard_negatives", source)
            blocks += _counts(source, figures)
        except MissingArtefact as missing:
            blocks.append(Note(str(missing), missing=True))
        detections = context.table(layout.detections(source), "detections", f"detect_people@{source}")
        people = context.table(layout.instances(source), "instances", f"ingest@{source}")
        below = detections.filter(pa.array(to_numpy(detections, "score") < settings.score_threshold))
        chosen = table.take(context.chosen(table.num_rows))
        pictures = [_hard_negative(context, chosen, row, people, below) for row in range(chosen.num_rows)]
        caption = (
            f"{source}: {count_text(table.num_rows)} boxes with score ≥ {settings.score_threshold:g} in H (Figure 5). "
            "Red: a box of H; green: annotated people; yellow: other detections below the threshold that touch nobody"
        )
        blocks.append(Gallery(pictures, caption) if pictures else Note(f"{source}: H is empty at this threshold."))
    return Section(
        "hard-negatives",
        "Hard negatives",
        "H: what the person detector is sure of, and no annotated person touches. The model learns to find no keypoint "
        "there (section 4.1).",
        blocks or [Note("mine_hard_negatives.sources is empty: no hard negatives are mined.")],
    )


def _hard_negative(context: Context, chosen: pa.Table, row: int, people: pa.Table, below: pa.Table) -> Picture:
    box, image = to_numpy(chosen, "bbox")[row].astype(float), chosen["image_id"][row]
    annotated = to_numpy(people.filter(pc.equal(people["image_id"], image)), "bbox").astype(float)
    unsure = to_numpy(below.filter(pc.equal(below["image_id"], image)), "bbox").astype(float)
    pairs = np.repeat(unsure, len(annotated), 0), np.tile(annotated, (len(unsure), 1))
    alone = ~(box_iou(*pairs).reshape(len(unsure), len(annotated)) > 0).any(1)
    drawn = [(b, YELLOW) for b in unsure[alone]] + [(b, GREEN) for b in annotated] + [(box, RED)]
    scene = Scene(image_path(chosen, row), around([box], 0.5), boxes=drawn)
    text = f"score {chosen['score'][row].as_py():.2f} · {chosen['file_name'][row].as_py()}"
    return picture(scene, context.keypoints, text, height=180)


def _counts(source: str, figures: dict[str, Any]) -> list[Block]:
    """How many boxes each threshold gives, beside the paper's."""
    ours, paper = figures.get("rows_at_threshold", {}), figures.get("paper_rows_at_threshold", {})
    thresholds = sorted({*ours, *paper}, key=float)
    if not thresholds:
        return []
    rows = [
        [name, *(count_text(counts[t]) if t in counts else "-" for t in thresholds)]
        for name, counts in ((f"{source}, here", ours), ("COCO train, the paper (section 6.2.2)", paper))
    ]
    return [Table(["hard negatives with score from", *thresholds], rows)]


def pseudo_labels(context: Context) -> Section:
    """Both thresholds, the score histogram and samples of U (section 4.2)."""
    blocks: list[Block] = [*teachers(context), *rounds(context)] if context.params.pseudo_label.sources else []
    for source in context.params.pseudo_label.sources:
        table = context.table(layout.letter("U", source), "instances", f"pseudo_label@{source}")
        figures = context.metrics("pseudo_label", source)
        blocks += [Cards(_pseudo_cards(figures)), *_pseudo_charts(context, source, figures)]
        blocks += [*calibration(source, figures), Fold(f"{source}: scores by keypoint", quantiles(source, figures))]
        boxes = to_numpy(table, "bbox").astype(float)
        triples = to_numpy(table, "keypoints").reshape(table.num_rows, len(context.keypoints), 3)
        scores = to_numpy(table, "score")
        pictures = [
            picture(
                Scene(
                    image_path(table, int(i)),
                    around([boxes[i]], 0.15),
                    boxes=[(boxes[i], GREEN)],
                    skeletons=[Skeleton(triples[i, :, :2], triples[i, :, 2] > 0)],
                ),
                context.keypoints,
                f"{int((triples[i, :, 2] > 0).sum())} keypoints · person {scores[i]:.2f}",
                height=200,
            )
            for i in context.chosen(table.num_rows)
        ]
        blocks.append(Gallery(pictures, f"{source}: samples of U") if pictures else Note(f"{source}: U is empty."))
    return Section(
        "pseudo-labels",
        "Pseudo-labels",
        "U: people found in unlabelled images, with the keypoints that the teachers' fused heatmaps are sure of. "
        "The others are neither labelled nor supervised (section 4.2).",
        blocks or [Note("pseudo_label.sources is empty: no pseudo-labels are made.")],
    )


def _pseudo_cards(figures: dict[str, Any]) -> list[Card]:
    mode = figures["person_threshold_mode"]
    mode += f" {figures['person_precision']:g}" if "person_precision" in figures else ""
    return [
        Card(
            "rows in U", count_text(figures["rows"]), f"of {count_text(figures['people'])} people above the threshold"
        ),
        Card("keypoints", count_text(figures["keypoints"]), f"{figures['keypoints_per_row']:.1f} a row"),
        Card("person threshold", f"{figures['person_threshold']:.4g}", f"mode {mode}; the paper's value is 0.9924"),
        Card(
            "keypoint threshold",
            f"{figures['keypoint_threshold']:g}",
            f"mode {figures['keypoint_threshold_mode']}; keeps {percent(figures['share_of_keypoints_kept'])} % of "
            "keypoints; the paper's value is 0.9",
        ),
    ]


def _pseudo_charts(context: Context, source: str, figures: dict[str, Any]) -> list[Block]:
    fixed = figures["keypoint_threshold_mode"] == "fixed"
    marks = {f"in use {figures['keypoint_threshold']:g}": figures["keypoint_threshold"]} if fixed else {}
    if not fixed or figures["keypoint_threshold"] != 0.9:
        marks["paper 0.9"] = 0.9
    counts = figures["score_histogram"]
    blocks: list[Block] = [
        Figure(
            histogram(counts, 0, 1, "keypoint score", "keypoints", marks),
            f"{source}: scores of the fused keypoints and the keypoint threshold",
        )
    ]
    path = layout.detections(source)
    if path.exists():
        scores = to_numpy(context.table(path, "detections", "detect_people"), "score")
        bins, _ = np.histogram(scores, bins=50, range=(0, 1))
        marks = {f"matched {figures['matched_threshold']:.4g}": figures["matched_threshold"]}
        other, name = ("person", "precision") if "person_precision" in figures else ("fixed", "fixed")
        marks[f"{name} {figures[f'{other}_threshold']:.4g}"] = figures[f"{other}_threshold"]
        caption = (
            f"{source}: scores of detected people. The matched threshold leaves "
            f"{figures['labelled_people_per_image']:.2f} people an image, as the labelled set has"
        )
        blocks.append(Figure(histogram(bins.tolist(), 0, 1, "person score", "people", marks), caption))
    return blocks


def annotate_next(context: Context) -> Section:
    """Where the teachers disagree most: the images and keypoints that a label would teach most (section 6.5)."""
    blocks: list[Block] = []
    for source in context.params.pseudo_label.sources:
        figures = last_labels(context, source)
        by_keypoint = figures["disagreement_by_keypoint"]
        names = sorted(by_keypoint, key=by_keypoint.get, reverse=True)
        values = [100 * by_keypoint[name] for name in names]
        labels = [short(name) for name in names]
        chart = bar_chart(labels, {"disagreement": values}, "% of the person's size")
        people = count_text(figures["people"])
        caption = f"{source}: how far apart the teachers put each keypoint, mean over {people} people"
        blocks.append(Figure(chart, caption))
        blocks.append(_candidates(context, source, figures))
    return Section(
        "annotate-next",
        "Annotate next",
        "Section 6.5 suggests to find the hard keypoints and to annotate those; here hard means that the teachers "
        "disagree. Distances are the root mean square distance to the teachers' mean place, in percent of the square "
        "root of the person box's area.",
        blocks or [Note("pseudo_label.sources is empty: there are no teachers to disagree.")],
    )


def _candidates(context: Context, source: str, figures: dict[str, Any]) -> Block:
    detections = context.table(layout.detections(source), "detections", f"detect_people@{source}")
    row_of = {name: row for row, name in reversed(list(enumerate(detections["file_name"].to_pylist())))}
    pictures = []
    for person in figures["annotate_next"][: context.params.report.pictures]:
        if person["file_name"] not in row_of:
            continue
        box = np.asarray(person["bbox"], float)
        scene = Scene(image_path(detections, row_of[person["file_name"]]), around([box]), boxes=[(box, GREEN)])
        keypoint, apart = person["keypoint"].replace("_", " "), percent(person["disagreement"])
        text = f"{apart} % of size, most at the {keypoint} · {person['file_name']}"
        pictures.append(picture(scene, context.keypoints, text, height=180))
    if not pictures:
        return Note(f"{source}: nobody was pseudo-labelled.")
    return Gallery(pictures, f"{source}: annotate these people first: the largest mean over their keypoints")
