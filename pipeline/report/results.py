"""How good the models are, on which boxes, and where they fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline import layout
from pipeline.evaluation.ablation import ABLATION, OWN_SETTINGS
from pipeline.evaluation.average_precision import STATS
from pipeline.evaluation.errors import REASONS
from pipeline.evaluation.measures import OWN_FIGURES
from pipeline.report.blocks import Block, Card, Cards, Figure, Fold, MissingArtefact, Note, Section, Table
from pipeline.report.charts import bar_chart
from pipeline.report.context import Context, count_text, percent, with_interval
from pipeline.report.paper_tables.rows import boxes_text
from pipeline.settings import arrow

PLAIN = next(iter(ABLATION))  # the row without any technique
OWN_HEADER = ("mean OKS", "AP of Eq 26-27")  # of `OWN_FIGURES`
FEW = "Over a few people neither an AP nor its interval means much"
WITHOUT_OKS = ("PCK", "distance")  # of a keypoint set without sigmas: within 0.2 of the box's side, mean share of it
VIEWS = {"all": None, "visible": "visible", "occluded": "occluded"}
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
    blocks += [Note(text) for text in dict.fromkeys(_made_by(strategy, figures) for strategy, _, _, figures in rows)]
    for _, source, _, figures in rows:
        if not figures["people"]:
            blocks.append(Note(f"{source} has no annotated keypoints here: its poses are in the results file only."))
    blocks += [*_own_poses(rows), *_differences(context), *_visibility(rows), *_by_labelled(rows), *_overlap(rows)]
    blocks += [*_techniques(context), *_errors(rows)]
    return Section(
        "results",
        "Results",
        "AP and AR by COCO's protocol, in percent, with the 95 % interval over resampled images in parentheses; "
        "without sigmas PCK, the keypoints within 0.2 of the box's longer side, and the mean distance as its share. "
        "An AP means little without the boxes it was measured on, so they stand beside it.",
        blocks,
    )


def _cards(context: Context, rows: list[tuple[str, str, str, dict[str, Any]]]) -> list[Card]:
    cards = []
    strategy, source = context.strategies[-1], context.params.data.validation[0]
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


def _own_poses(rows: list[tuple[str, str, str, dict[str, Any]]]) -> list[Block]:
    """Mean OKS and the AP of Eq 26 and 27, which ground-truth boxes alone have."""
    body = []
    for strategy, source, _, figures in rows:
        for name, view in VIEWS.items():
            part = figures if view is None else figures.get(view, {})
            if OWN_FIGURES[0] in part:
                body.append([arrow(strategy), source, name, count_text(part["people"]), *_figures(part, OWN_FIGURES)])
    caption = (
        "On ground-truth boxes each person has a pose of its own: the mean OKS (Eq 28), and AP as the paper's Eq 26 "
        "and 27 write it, the mean share of people above each OKS threshold, whatever the poses' scores"
    )
    return [Table(["strategy", "set", "keypoints", "people", *OWN_HEADER], body, caption, labels=3)] if body else []


def _made_by(strategy: str, figures: dict[str, Any]) -> str:
    """The conditions that a model's figures share."""
    return f"{arrow(strategy)}: {figures['model']}; post-processing: {figures['postprocessing']}."


def _stats(rows: list[tuple[str, str, str, dict[str, Any]]]) -> Table:
    without_oks = any("PCK" in figures for *_, figures in rows)
    with_oks = any("AP" in figures for *_, figures in rows) or not without_oks
    names = [*(STATS if with_oks else ()), *(WITHOUT_OKS if without_oks else ())]
    body = []
    for strategy, source, _, figures in rows:
        stats = _figures(figures, names)
        body.append([arrow(strategy), source, boxes_text(figures["boxes"]), count_text(figures["people"]), *stats])
    return Table(
        ["strategy", "set", "boxes", "people", *names],
        body,
        "Every model, and every ensemble, on every set and kind of boxes",
        labels=3,
    )


def _figures(figures: dict[str, Any], names: Sequence[str]) -> list[str]:
    """Cells: the leading figures with their intervals, the others without."""
    return [with_interval(figures, n) if n in ("AP", "AR", *OWN_FIGURES) else percent(figures.get(n)) for n in names]


def _differences(context: Context) -> list[Block]:
    """Each model against every one before it, on the same resampled images."""
    if len(context.strategies) + len(context.params.evaluate_ensemble) < 2:
        return []
    body = [
        [
            " minus ".join(map(arrow, pair.split(" minus "))),
            source,
            BOXES[boxes],
            *_difference(found["AP"]),
            *_difference(found["AR"]),
        ]
        for pair, sets in context.metrics("compare_strategies").items()
        for source, kinds in sets.items()
        for boxes, found in kinds.items()
    ]
    header = ["difference", "set", "boxes", "AP", "AP beyond chance", "AR", "AR beyond chance"]
    caption = (
        "Paired differences in points, with the 95 % interval over resampled images, the same for both models. Beyond "
        "chance: the interval leaves out 0. It tells of the choice of images, not of the luck of a training run"
    )
    return [Table(header, body, caption, labels=3)]


def _difference(found: dict[str, float]) -> list[str]:
    text = f"{100 * found['difference']:+.1f}"
    if "low" not in found:
        return [text, "-"]
    sure = "yes" if found["low"] > 0 or found["high"] < 0 else "no"
    return [f"{text} ({100 * found['low']:+.1f} to {100 * found['high']:+.1f})", sure]


def _visibility(rows: list[tuple[str, str, str, dict[str, Any]]]) -> list[Block]:
    body = []
    for strategy, source, boxes, figures in rows:
        for view in ("visible", "occluded"):
            part = figures.get(view, {})
            if "AP" in part:
                label = [arrow(strategy), source, BOXES[boxes], view]
                body.append([*label, count_text(part["people"]), *_figures(part, STATS)])
    if not body:
        return []
    header = ["strategy", "set", "boxes", "keypoints", "people", *STATS]
    caption = "Visible and occluded keypoints by themselves (Table 13)"
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
            caption = f"{arrow(strategy)} on {source}, ground-truth boxes: AP by labelled keypoints (Table 14)"
            body = [[c, count_text(parts[c]["people"]), *_figures(parts[c], ("AP", *OWN_FIGURES))] for c in counts]
            header = ["labelled keypoints", "people", "AP", *OWN_HEADER]
            blocks += [
                Figure(chart, caption),
                Table(header, body, f"{caption}. {FEW}"),
            ]
    return [Fold("By number of annotated keypoints", blocks)] if blocks else []


def _overlap(rows: list[tuple[str, str, str, dict[str, Any]]]) -> list[Block]:
    body = []
    for strategy, source, boxes, figures in rows:
        for name, part in figures.get("max_iou", {}).items():
            if "AP" in part:
                label = [arrow(strategy), source, BOXES[boxes], name]
                body.append([*label, count_text(part["people"]), *_figures(part, STATS)])
    if not body:
        return []
    header = ["strategy", "set", "boxes", "MaxIoU", "people", *STATS]
    return [
        Fold("Overlapping people", [Table(header, body, f"By MaxIoU with another person (Table 3). {FEW}", labels=4)])
    ]


def _techniques(context: Context) -> list[Block]:
    """What each combination of post-processing techniques gains, on the same resampled images."""
    blocks: list[Block] = []
    for strategy in context.strategies:
        try:
            found = context.metrics("ablate_postprocessing", strategy)
        except MissingArtefact as missing:
            blocks.append(Note(f"{missing}", missing=True))
            continue
        about, body, measured = found["conditions"], [], found["rows"]
        for name in (*ABLATION, OWN_SETTINGS):  # in the tables' order
            row, plain = measured.get(name, {}), measured.get(PLAIN, {})
            if "AP" in row and "AP" in plain:
                gain = {"difference": row["AP"] - plain["AP"], **row.get("gain_interval", {}).get("AP", {})}
                body.append([name, with_interval(row, "AP"), *_difference(gain)])
        caption = (
            f"{arrow(strategy)} ({about['model']}) on {about['set']}, {about['images']} images, "
            f"{boxes_text(about['boxes'])}: every row of Tables 7 and 8 from one pass over the network, and its paired "
            f"gain over plain {PLAIN}"
        )
        blocks.append(Table(["technique", "AP", "gain", "beyond chance"], body, caption))
    return [Fold("Post-processing, technique by technique", blocks)]


def _errors(rows: list[tuple[str, str, str, dict[str, Any]]]) -> list[Block]:
    measured = [(s, src, b, f["errors"]) for s, src, b, f in rows if f.get("errors")]
    shown = [reason for reason in REASONS if reason not in ("unlabelled", "good")]
    labels, series = [], {reason: list[float]() for reason in shown}
    for strategy, source, boxes, errors in measured:
        total = sum(errors[reason] for reason in REASONS if reason != "unlabelled")
        if total:
            labels.append(f"{arrow(strategy)} {source}, {BOXES[boxes].split(' ')[0]}")
            for reason in shown:
                series[reason].append(100 * errors[reason] / total)
    if not labels:
        return []
    caption = (
        "Why keypoints of found people are off, in percent of their labelled keypoints (after Ronchi and Perona 2017): "
        "jitter, near the right place; inversion, on the mirror keypoint; swap, on somebody else; miss, on none"
    )
    return [Figure(bar_chart(labels, series, "% of keypoints"), caption)]
