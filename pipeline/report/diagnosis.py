"""Keypoint by keypoint: how near, why not, and whether the scores tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from pipeline import layout
from pipeline.evaluation.errors import NEAR, REASONS, diagnose
from pipeline.evaluation.people import read_poses, read_truth
from pipeline.evaluation.sets import mirror_of
from pipeline.records.tables import keypoint_set, to_numpy
from pipeline.report.blocks import Block, Figure, Note, Section, Table
from pipeline.report.charts import bar_chart, line_chart
from pipeline.report.context import Context, count_text, percent, short
from pipeline.report.results import BOXES
from pipeline.settings import arrow

BINS = 10  # of the keypoint scores, each of as many keypoints
_FEW = 20  # keypoints in a bin, below which there are fewer bins
_WRONG = ("jitter", "inversion", "swap", "miss")


@dataclass(frozen=True)
class Keypoints:
    """The labelled keypoints of the people that a model found: `similarity`, `score` [N, K] (NaN where not labelled),
    and `reason` [N, K] index into `REASONS`."""

    names: tuple[str, ...]
    similarity: np.ndarray
    score: np.ndarray
    reason: np.ndarray


def diagnosis(context: Context) -> Section:
    """Each keypoint's similarity, errors and scores, of the best strategy on the validation set."""
    strategy, source = context.strategies[-1], context.params.data.validation[0]
    introduction = (
        f"{arrow(strategy)} on {source}. A keypoint's similarity is its share of the OKS, 1 at its annotated place; "
        f"from {NEAR:g} on it is near. People count who have a pose with an OKS of 0.1 or more."
    )
    blocks: list[Block] = []
    for boxes in context.params.evaluate.boxes:
        found = _found(context, strategy, source, boxes)
        title = BOXES[boxes].capitalize()
        if found is None or not np.isfinite(found.similarity).any():
            blocks.append(Note(f"{source}, {title}: nobody with labelled keypoints and sigmas was found."))
        else:
            blocks += [Figure(_errors(found), f"{title}: why keypoints are off, in percent of the labelled ones")]
            blocks += [table(found, title), Figure(*_scores(found, title))]
    return Section("keypoints", "Keypoint by keypoint", introduction, blocks)


def _found(context: Context, strategy: str, source: str, boxes: str) -> Keypoints | None:
    poses = context.table(layout.results(strategy) / f"{source}-{boxes}.parquet", "poses", f"evaluate@{strategy}")
    instances = context.table(layout.instances(source), "instances", f"ingest@{source}")
    images = context.table(layout.images(source), "images", f"ingest@{source}")
    truth = read_truth(images, instances, context.keypoints)
    if truth.sigmas is None or truth.ignored.all():
        return None
    found = diagnose(truth, read_poses(poses, truth), mirror_of(truth, keypoint_set(instances)))
    own = keypoint_set(poses)
    places = [own.index(name) for name in truth.names]
    scores = to_numpy(poses, "keypoints").reshape(-1, len(own), 3).astype(np.float64)[found.pose][:, places, 2]
    return Keypoints(truth.names, found.similarity, np.where(np.isnan(found.similarity), np.nan, scores), found.reason)


def table(found: Keypoints, title: str) -> Table:
    """A row a keypoint that anybody has labelled."""
    rows = []
    for k, name in enumerate(found.names):
        labelled = np.isfinite(found.similarity[:, k])
        if not labelled.any():
            continue
        similarity, score, reason = (a[labelled, k] for a in (found.similarity, found.score, found.reason))
        near = similarity >= NEAR
        shares = [percent(float((reason == REASONS.index(kind)).mean())) for kind in ("good", *_WRONG)]
        means = [_mean(score[near]), _mean(score[~near]), _text(ranked(score, near))]
        rows.append([short(name), count_text(labelled.sum()), _mean(similarity), *shares, *means])
    header = ["keypoint", "labelled", "similarity", "good", *_WRONG, "score if near", "score if not", "ranking"]
    caption = (
        f"{title}: mean similarity; percent of the labelled keypoints by reason; mean score of those near their place "
        "and of the others. Ranking: how often a near keypoint is scored higher than one that is not, 0.5 is chance"
    )
    return Table(header, rows, caption)


def _errors(found: Keypoints) -> Markup:
    columns = [k for k in range(len(found.names)) if np.isfinite(found.similarity[:, k]).any()]
    series = {
        kind: [
            100 * float((found.reason[np.isfinite(found.similarity[:, k]), k] == REASONS.index(kind)).mean())
            for k in columns
        ]
        for kind in _WRONG
    }
    return bar_chart([short(found.names[k]) for k in columns], series, "% of keypoints")


def _scores(found: Keypoints, title: str) -> tuple[Markup, str]:
    """The share of near keypoints by score: a calibrated score would lie on the diagonal."""
    labelled = np.isfinite(found.similarity)
    score, share, gap = reliability(found.score[labelled], found.similarity[labelled] >= NEAR)
    ends = [0.0, 1.0]
    chart = line_chart(
        {
            "near their place": (score, [100 * value for value in share]),
            "a score that is the probability": (ends, [100 * end for end in ends]),
        },
        "mean keypoint score",
        "% near",
    )
    caption = (
        f"{title}: {len(score)} groups of keypoints by their score. Taken as the probability of being near, scores are "
        f"off by {percent(gap)} points in the mean"
    )
    return chart, caption


def reliability(score: np.ndarray, near: np.ndarray) -> tuple[list[float], list[float], float]:
    """Mean score and share of near keypoints of `BINS` groups of equally many, the lowest scored first, and the mean
    distance of the two (the expected calibration error of Guo 2017, over equally filled bins)."""
    order = np.argsort(score, kind="stable")
    groups = np.array_split(order, max(1, min(BINS, len(order) // _FEW)))
    means, shares = ([float(values[rows].mean()) for rows in groups] for values in (score, near))
    sizes = [len(rows) for rows in groups]
    return means, shares, float(np.average(np.abs(np.subtract(means, shares)), weights=sizes))


def _mean(values: np.ndarray) -> str:
    return _text(float(values.mean()) if len(values) else None)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def ranked(score: np.ndarray, near: np.ndarray) -> float | None:
    """The area under the ROC curve: how often a near keypoint is scored higher than another, ties half."""
    right, wrong = score[near], np.sort(score[~near])
    if not len(right) or not len(wrong):
        return None
    below = np.searchsorted(wrong, right, "left") + np.searchsorted(wrong, right, "right")
    return float(below.sum() / 2 / len(right) / len(wrong))
