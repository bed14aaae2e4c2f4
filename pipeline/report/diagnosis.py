"""Which keypoints are off, why, and whether their scores say so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline import layout
from pipeline.evaluation.errors import EXACT, NEAR, REASONS, Diagnosis, diagnose
from pipeline.evaluation.people import Poses, Truth, read_poses, read_truth
from pipeline.evaluation.sets import mirror_of
from pipeline.records.keypoints import KeypointSet
from pipeline.records.tables import keypoint_set, to_numpy
from pipeline.report.blocks import Block, Figure, Fold, MissingArtefact, Note, Section, Table
from pipeline.report.charts import bar_chart, line_chart
from pipeline.report.context import Context, count_text, percent, short
from pipeline.report.results import BOXES
from pipeline.settings import arrow

WRONG = ("jitter", "inversion", "swap", "miss")
BINS = 10


@dataclass(frozen=True)
class ByKeypoint:
    """Of people who were found: `labelled` [K] keypoints, their mean `similarity` [K], `reasons` [K, R] of REASONS.

    `scores` and `similarities` [L] are those of every labelled keypoint, whosever it is.
    """

    labelled: np.ndarray
    similarity: np.ndarray
    reasons: np.ndarray
    scores: np.ndarray
    similarities: np.ndarray


def by_keypoint(truth: Truth, poses: Poses, scores: np.ndarray, found: Diagnosis) -> ByKeypoint:
    """Count a diagnosis by keypoint; `scores` [D, K] are the poses' keypoint scores, in the truth's order."""
    assert truth.sigmas is not None
    own, points = truth.keypoints[found.person], poses.points[found.pose]
    labelled = own[:, :, 2] > 0
    square = ((points - own[:, :, :2]) ** 2).sum(2)
    similarity = np.exp(-square / (2 * truth.area[found.person, None] * (2 * truth.sigmas) ** 2))
    count = labelled.sum(0)
    return ByKeypoint(
        count,
        np.where(labelled, similarity, 0).sum(0) / np.maximum(count, 1),
        np.stack([(found.reason == number).sum(0) for number in range(len(REASONS))], 1),
        scores[found.pose][labelled],
        similarity[labelled],
    )


def reliability(scores: np.ndarray, right: np.ndarray, bins: int = BINS) -> tuple[np.ndarray, np.ndarray]:
    """Mean score and share of `right`, of bins that hold equally many keypoints, from the least score up."""
    order = np.argsort(scores, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return np.array([scores[part].mean() for part in parts]), np.array([right[part].mean() for part in parts])


def keypoint_diagnosis(context: Context) -> Section:
    """For each evaluated model and kind of boxes: similarity and reasons by keypoint, and what a score is worth."""
    source, blocks = context.params.data.validation, list[Block]()
    last = (context.strategies[-1], context.params.evaluate.boxes[0])
    for strategy in context.strategies:
        for boxes in context.params.evaluate.boxes:
            title = f"{arrow(strategy)} on {source}, {BOXES[boxes]}"
            try:
                inner = _model(context, strategy, source, boxes, title)
            except MissingArtefact as missing:
                inner = [Note(f"{missing}", missing=True)]
            blocks.append(Fold(title, inner, open=(strategy, boxes) == last))
    return Section(
        "keypoints",
        "Keypoint by keypoint",
        "Of people who were found (OKS of 0.1 or more): how near each keypoint is to its place, as the similarity that "
        "OKS is the mean of, and why it is off, after Ronchi and Perona 2017.",
        blocks,
    )


def _model(context: Context, strategy: str, source: str, boxes: str, title: str) -> list[Block]:
    table = context.table(layout.results(strategy) / f"{source}-{boxes}.parquet", "poses", f"evaluate@{strategy}")
    instances = context.table(layout.instances(source), "instances", f"ingest@{source}")
    images = context.table(layout.images(source), "images", f"ingest@{source}")
    truth = read_truth(images, instances, context.keypoints)
    if truth.sigmas is None or truth.ignored.all():
        return [Note(f"{source} has no annotations with sigmas.")]
    poses = read_poses(table, truth)
    found = diagnose(truth, poses, mirror_of(truth, keypoint_set(instances)))
    if not len(found.person):
        return [Note("No pose has an OKS of 0.1 or more with a person.")]
    return _blocks(truth.names, by_keypoint(truth, poses, _scores(table, truth, context.keypoints), found), title)


def _scores(table: pa.Table, truth: Truth, keypoints: KeypointSet) -> np.ndarray:
    own = to_numpy(table, "keypoints").reshape(-1, len(keypoints), 3)[:, :, 2]
    return own[:, [keypoints.index(name) for name in truth.names]].astype(np.float64)


def _blocks(names: tuple[str, ...], found: ByKeypoint, title: str) -> list[Block]:
    labels, total = [short(name) for name in names], np.maximum(found.labelled, 1)
    shares = {reason: found.reasons[:, REASONS.index(reason)] / total for reason in ("good", *WRONG)}
    chart = bar_chart(labels, {reason: list(100 * shares[reason]) for reason in WRONG}, "% of keypoints")
    body = [
        [label, count_text(found.labelled[k]), percent(found.similarity[k]), *(percent(s[k]) for s in shares.values())]
        for k, label in enumerate(labels)
        if found.labelled[k]
    ]
    curves = {
        f"{word} (similarity ≥ {least:g})": reliability(found.scores, found.similarities >= least)
        for word, least in (("near", NEAR), ("right", EXACT))
    }
    worth = line_chart(
        {name: (list(x), list(100 * y)) for name, (x, y) in curves.items()}, "keypoint score", "% of keypoints"
    )
    return [
        Figure(chart, f"{title}: why keypoints are off, in percent of the labelled ones of people who were found"),
        Figure(
            worth,
            f"{title}: what a score is worth: keypoints in {BINS} equal groups by score, and how many are in place",
        ),
        Table(["keypoint", "labelled", "similarity", *shares], body, "In percent; good, jitter, ... add up to 100"),
    ]
