"""How good the models are, on which boxes, and where they fail."""

from __future__ import annotations

import itertools
from typing import Any

from pipeline import layout
from pipeline.evaluation.average_precision import STATS
from pipeline.evaluation.bootstrap import difference_intervals
from pipeline.evaluation.errors import REASONS
from pipeline.evaluation.matching import Matches, match_poses
from pipeline.evaluation.measures import OWN_FIGURES
from pipeline.evaluation.people import read_poses, read_truth
from pipeline.paper_tables.rows import boxes_text
from pipeline.report.blocks import Block, Card, Cards, Figure, Fold, Note, Section, Table
from pipeline.report.charts import bar_chart
from pipeline.report.context import Context, count_text, percent, with_interval

OWN_HEADER = ("mean OKS", "AP of Eq 26-27")  # of `OWN_FIGURES`
OWN_WORDS = (
    "The last two columns exist on ground-truth boxes only, where each person has a pose of its own: the mean OKS, and "
    "AP as the paper's Eq 26 and 27 write it, the mean share of people above each OKS threshold, whatever their scores"
)
BOXES = {"detected": "detected boxes", "ground_truth": "ground-truth boxes"}


def results(context: Context) -> Section:
    """Ten stats of every strategy, set and kind of boxes; differences; partial views; reasons for errors."""
    found = {strategy: context.metrics("evaluate", strategy) for strategy in context.strategies}
    for name, members in context.params.evaluate_ensemble.items():
        found[f"{name} ({', '.join(members)})"] = context.metrics("evaluate_ensemble", name)
    rows = [
        (strategy, source, boxes, figures)
        for strategy, sets in found.items()
        for source, kinds in sets.items()
        for boxes, figures in kinds.items()
    ]
    blocks: list[Block] = [Cards(_cards(context, rows)), _stats(rows)]
    for _, source, _, figures in rows:
        if not figures["people"]:
            blocks.append(Note(f"{source} has no annotated keypoints here: its poses are in the results file only."))
    blocks += [*_differences(context), *_visibility(rows), *_by_labelled(rows), *_overlap(rows), *_errors(rows)]
    return Section(
        "results",
        "Results",
        "AP and AR by COCO's protocol, in percent, with the 95 % interval over resampled images in parentheses. "
        "An AP means little without the boxes it was measured on, so they stand beside it.",
        blocks,
    )


def _cards(context: Context, rows: list[tuple[str, str, str, dict[str, Any]]]) -> list[Card]:
    cards = []
    strategy, source = context.strategies[-1], context.params.data.validation
    for name, boxes, text in ((s, b, f) for s, src, b, f in rows if s == strategy and src == source):
        stat = "AP" if "AP" in text else "PCK"
        if stat in text:
            detail = f"{name} on {source}, {boxes_text(text['boxes'])}"
            cards.append(Card(f"{stat}, {BOXES[boxes]}", percent(text[stat]), detail))
    for letter, stage, items in (
        ("H", "mine_hard_negatives", context.params.mine_hard_negatives.sources),
        ("U", "pseudo_label", context.params.pseudo_label.sources),
    ):
        files = [layout.letter(letter, item) for item in items]
        if files and all(file.exists() for file in files):
            count = sum(context.table(file, "instances", stage).num_rows for file in files)
            words = {"H": "hard-negative boxes", "U": "pseudo-labelled people"}[letter]
            cards.append(Card(f"rows in {letter}", count_text(count), f"{words} of {', '.join(items)}"))
    return cards


def _stats(rows: list[tuple[str, str, str, dict[str, Any]]]) -> Table:
    names = [*STATS, "PCK"] if any("PCK" in figures for *_, figures in rows) else list(STATS)
    body = []
    for strategy, source, _, figures in rows:
        stats = [with_interval(figures, name) if name in ("AP", "AR") else percent(figures.get(name)) for name in names]
        stats += [percent(figures.get(name)) for name in OWN_FIGURES]
        body.append([strategy, source, boxes_text(figures["boxes"]), count_text(figures["people"]), *stats])
    return Table(
        ["strategy", "set", "boxes", "people", *names, *OWN_HEADER],
        body,
        f"Every model, and every ensemble, on every set and kind of boxes. {OWN_WORDS}",
        labels=3,
    )


def _differences(context: Context) -> list[Block]:
    """Each strategy against the one before it, on the same resampled images."""
    settings, body = context.params.evaluate, []
    if not settings.bootstrap:
        return []
    for source in settings.sets:
        for boxes in settings.boxes:
            measured = [(s, _matches(context, s, source, boxes)) for s in context.strategies]
            for (first, one), (second, two) in itertools.pairwise(measured):
                if one is None or two is None:
                    continue
                low, high = difference_intervals(one, two, settings.bootstrap)["AP"]
                sure = "yes" if low > 0 or high < 0 else "no"
                body.append(
                    [f"{second} minus {first}", source, BOXES[boxes], f"{percent(low)} to {percent(high)}", sure]
                )
    if not body:
        return []
    header = ["difference", "set", "boxes", "95 % interval of the AP difference", "beyond chance"]
    return [Table(header, body, "Paired differences: both models on the same resampled images", labels=3)]


def _matches(context: Context, strategy: str, source: str, boxes: str) -> Matches | None:
    path = layout.results(strategy) / f"{source}-{boxes}.parquet"
    table = context.table(path, "poses", f"evaluate@{strategy}")
    images = context.table(layout.images(source), "images", f"ingest@{source}")
    truth = read_truth(images, context.table(layout.instances(source), "instances", "ingest"), context.keypoints)
    if truth.sigmas is None or truth.ignored.all():
        return None
    return match_poses(truth, read_poses(table, truth))


def _visibility(rows: list[tuple[str, str, str, dict[str, Any]]]) -> list[Block]:
    body = []
    for strategy, source, boxes, figures in rows:
        for view in ("visible", "occluded"):
            part = figures.get(view, {})
            if "AP" in part:
                label = [strategy, source, BOXES[boxes], view]
                stats = (percent(part.get(name)) for name in (*STATS, *OWN_FIGURES))
                body.append([*label, count_text(part["people"]), *stats])
    if not body:
        return []
    header = ["strategy", "set", "boxes", "keypoints", "people", *STATS, *OWN_HEADER]
    caption = f"Visible and occluded keypoints by themselves (Table 13). {OWN_WORDS}"
    return [Fold("Visible and occluded keypoints", [Table(header, body, caption, labels=4)])]


def _by_labelled(rows: list[tuple[str, str, str, dict[str, Any]]]) -> list[Block]:
    blocks: list[Block] = []
    for strategy, source, boxes, figures in rows:
        parts = {count: part for count, part in figures.get("labelled_keypoints", {}).items() if "AP" in part}
        if boxes == "ground_truth" and parts:
            counts = sorted(parts, key=int)
            chart = bar_chart(
                counts, {"AP": [100 * parts[c]["AP"] for c in counts]}, "AP", x_label="labelled keypoints of a person"
            )
            blocks.append(
                Figure(chart, f"{strategy} on {source}, ground-truth boxes: AP by labelled keypoints (Table 14)")
            )
    return [Fold("By number of annotated keypoints", blocks)] if blocks else []


def _overlap(rows: list[tuple[str, str, str, dict[str, Any]]]) -> list[Block]:
    body = []
    for strategy, source, boxes, figures in rows:
        for name, part in figures.get("max_iou", {}).items():
            if "AP" in part:
                stats = [percent(part.get(stat)) for stat in STATS]
                body.append([strategy, source, BOXES[boxes], name, count_text(part["people"]), *stats])
    if not body:
        return []
    header = ["strategy", "set", "boxes", "MaxIoU", "people", *STATS]
    return [Fold("Overlapping people", [Table(header, body, "By MaxIoU with another person (Table 3)", labels=4)])]


def _errors(rows: list[tuple[str, str, str, dict[str, Any]]]) -> list[Block]:
    measured = [(s, src, b, f["errors"]) for s, src, b, f in rows if f.get("errors")]
    shown = [reason for reason in REASONS if reason not in ("unlabelled", "good")]
    labels, series = [], {reason: list[float]() for reason in shown}
    for strategy, source, boxes, errors in measured:
        total = sum(errors[reason] for reason in REASONS if reason != "unlabelled")
        if total:
            labels.append(f"{strategy} {source}, {BOXES[boxes].split(' ')[0]}")
            for reason in shown:
                series[reason].append(100 * errors[reason] / total)
    if not labels:
        return []
    caption = (
        "Why keypoints of found people are off, in percent of their labelled keypoints (after Ronchi and Perona 2017): "
        "jitter, near the right place; inversion, on the mirror keypoint; swap, on somebody else; miss, on none"
    )
    return [Figure(bar_chart(labels, series, "% of keypoints"), caption)]
