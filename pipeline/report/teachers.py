"""How good the teachers are beside their student, and whether their probabilities are what they say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline import layout
from pipeline.report.blocks import Block, Figure, Note, Table
from pipeline.report.charts import line_chart
from pipeline.report.context import Context, count_text, percent
from pipeline.settings import arrow

MARGIN = 0.05  # of AP: a teacher that is no better than this teaches little


def teachers(context: Context) -> list[Block]:
    """Each teacher's accuracy beside the students', and a warning where the margin is small; nothing without sigmas."""
    params = context.params
    ours = [(f"teacher {name}", "train_teachers", name) for name in params.train_teachers.models]
    students = [(arrow(strategy), "fine_tune", strategy) for strategy in context.strategies]
    found = {title: accuracy(context, stage, item) for title, stage, item in [*ours, *students]}
    found |= {
        f"round {name}, {student}": accuracy(context, "rounds", f"{name}/{student}")
        for name, figures in outcomes(context).items()
        if figures["kept"]
        for student in figures["students"]
    }
    found |= {f"{name}, from outside": from_outside(context, name) for name in params.ask_teachers}
    known = {title: each for title, each in found.items() if each is not None}
    if not known:
        return []
    rows = [[title, f"{100 * ap:.1f}", f"{100 * oks:.1f}", on] for title, (ap, oks, on) in known.items()]
    caption = "AP (Eq 26-27) and OKS on annotated boxes; one from outside is held to the keypoints that it knows"
    blocks: list[Block] = [Table(["model", "AP_Eq27", "OKS", "measured on"], rows, caption)]
    pupils = [known[title][0] for title, _, _ in students if title in known]
    masters = [each[0] for title, each in known.items() if title not in {pupil[0] for pupil in students}]
    if pupils and masters and max(masters) < max(pupils) + MARGIN:
        blocks.append(
            Note(
                f"The best teacher has AP {100 * max(masters):.1f}, the best student {100 * max(pupils):.1f}: teachers "
                "that are hardly better than their student teach it little."
            )
        )
    return blocks


def outcomes(context: Context) -> dict[str, dict[str, Any]]:
    """The figures of the rounds that have run, by name."""
    there = [name for name in context.params.rounds if layout.figures("rounds", name).exists()]
    return {name: context.metrics("rounds", name) for name in there}


def last_labels(context: Context, source: str) -> dict[str, Any]:
    """The figures of the U of a source that the strategies train on: of the last round that was kept, if any was."""
    kept = [figures for figures in outcomes(context).values() if figures["kept"]]
    return kept[-1]["labels"][source] if kept else context.metrics("pseudo_label", source)


def rounds(context: Context) -> list[Block]:
    """Each round's networks on the validation, what U holds after it, and whether it was kept; nothing without one."""
    found = outcomes(context)
    if not found:
        return []
    params = context.params
    first = [context.metrics("pseudo_label", source) for source in params.pseudo_label.sources]
    keypoints = sum(figures["keypoints"] for figures in first)
    held = {
        "rows": sum(figures["rows"] for figures in first),
        "keypoints": keypoints,
        "mean_weight": sum(figures["keypoints"] * figures["mean_weight"] for figures in first) / max(keypoints, 1),
    }
    own = {name: context.metrics("train_teachers", name) for name in params.train_teachers.models}
    rows = [["first labels", _scores(own), *_held(held), "-"]]
    for name, figures in found.items():
        kept = "kept" if figures["kept"] else "no better" if figures["students"] else "not trained: rounds had ended"
        rows.append([f"round {name}", _scores(figures["students"]), *_held(figures), kept])
    caption = (
        "Rounds: each network's OKS on the validation (PCK without sigmas), and U after the round. A round whose best "
        "student is no better than the best before hands U on as it was, and those after it train nobody"
    )
    return [Table(["round", "networks", "rows in U", "keypoints", "mean weight", "outcome"], rows, caption, labels=2)]


def _scores(models: Mapping[str, Mapping[str, Any]]) -> str:
    ranked = {name: figures.get("val_oks", figures.get("val_pck")) for name, figures in models.items()}
    return ", ".join(f"{name} {percent(score)}" for name, score in ranked.items()) or "-"


def _held(figures: Mapping[str, Any]) -> list[str]:
    return [count_text(figures["rows"]), count_text(figures["keypoints"]), f"{figures['mean_weight']:.2f}"]


def accuracy(context: Context, stage: str, item: str) -> tuple[float, float, str] | None:
    """AP, OKS and what they were measured on, of a model of ours; None where it is not known."""
    if not layout.figures(stage, item).exists():
        return None
    figures = context.metrics(stage, item)
    if "val_ap" not in figures:
        return None
    return figures["val_ap"], figures["val_oks"], ", ".join(context.params.data.validation)


def from_outside(context: Context, name: str) -> tuple[float, float, str] | None:
    """The same of a teacher from outside: on the validation, where it has a file for it, else on C."""
    if not layout.figures("ask_teachers", name).exists():
        return None
    figures = context.metrics("ask_teachers", name)
    for source in context.params.data.validation:
        if f"on {source}" in figures:
            return figures[f"on {source}"]["ap"], figures[f"on {source}"]["oks"], source
    return figures["ap"], figures["oks"], "C, which its offsets were measured on"


def calibration(source: str, figures: Mapping[str, Any]) -> list[Block]:
    """Whether the probabilities of a source's keypoints, and of its people, are what they say."""
    blocks: list[Block] = []
    if people := figures.get("person_calibration"):
        told = (
            f"detections are people (IoU 0.5 or more with a labelled one) by their probability, on "
            f"{count_text(people['detections'])} of {people['measured_on']} that the curve was not fitted on"
        )
        blocks += _reliability(source, people, "detections", told)
    if "reliability" in figures:
        told = (
            f"keypoints are right (within OKS 0.5 of the truth) by their probability, on "
            f"{figures['calibration_people']} people of C whom the curves were not fitted on"
        )
        blocks += _reliability(source, figures, "keypoints", told)
    return blocks


def _reliability(source: str, figures: Mapping[str, Any], what: str, told: str) -> list[Block]:
    """The reliability diagram, and what target precisions come to."""
    bins = figures["reliability"]
    said, right = [each["probability"] for each in bins], [each["right"] for each in bins]
    series = {"as often right": (said, right), "as said": ([0.0, 1.0], [0.0, 1.0])}
    caption = f"{source}: how often {told}; expected calibration error {figures['calibration_error']:.3f}"
    rows = [
        [f"{each['target']:g}", f"{100 * each['kept']:.0f} %", "-" if each["right"] is None else f"{each['right']:.2f}"]
        for each in figures["precision_reached"]
    ]
    return [
        Figure(line_chart(series, "probability", "share that is right"), caption),
        Table(["target precision", f"{what} kept", "right"], rows, f"{source}: what target precisions come to"),
    ]


def quantiles(source: str, figures: Mapping[str, Any]) -> list[Block]:
    """The scores that were seen, by keypoint."""
    seen = figures.get("score_quantiles")
    if not seen:
        return []
    header = [f"{100 * float(share):g} %" for share in next(iter(seen.values()))]
    rows = [[name, *(f"{value:.2f}" for value in each.values())] for name, each in seen.items()]
    return [Table(["keypoint", *header], rows, f"{source}: quantiles of the keypoints' scores, before any threshold")]
