"""COCO's ten keypoint stats from a table of matches, equal to pycocotools' to the last digit."""

from __future__ import annotations

import numpy as np

from pipeline.evaluation.matching import Matches, match_boxes, match_poses
from pipeline.evaluation.people import Poses, Truth

STATS = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")
RECALLS = np.linspace(0.0, 1.0, 101)


def ten_stats(truth: Truth, poses: Poses) -> dict[str, float]:
    """AP and AR by COCO's keypoint protocol; -1 where nobody of that size is annotated."""
    return summarise(match_poses(truth, poses))


def summarise(matches: Matches) -> dict[str, float]:
    """The ten stats, in pycocotools' order."""
    precision, recall = precision_recall(matches)
    half, three_quarters = (int(np.flatnonzero(matches.thresholds == t)[0]) for t in (0.5, 0.75))
    figures = []
    for table in (precision, recall):
        figures += [_mean(table[0]), _mean(table[0, half]), _mean(table[0, three_quarters])]
        figures += [_mean(table[matches.areas.index(area)]) for area in ("medium", "large")]
    return dict(zip(STATS, figures, strict=True))


def box_ap(truth: Truth, image: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> float:
    """AP of people's boxes [N, 4] by COCO's box protocol, crowds ignored; -1 where nobody is annotated."""
    precision, _ = precision_recall(match_boxes(truth, image, boxes, scores))
    return _mean(precision[0])


def precision_recall(matches: Matches) -> tuple[np.ndarray, np.ndarray]:
    """Interpolated precision at 101 recalls [A, T, 101], largest recall [A, T]; -1 where nobody is to be found."""
    areas, thresholds = matches.person.shape[:2]
    precision = -np.ones((areas, thresholds, len(RECALLS)))
    recall = -np.ones((areas, thresholds))
    order = np.argsort(-matches.score, kind="mergesort")
    for a in range(areas):
        people = int(np.count_nonzero(matches.counts[a]))
        if people == 0:
            continue
        right = ((matches.person[a] >= 0) & ~matches.skipped[a])[:, order]
        wrong = ((matches.person[a] < 0) & ~matches.skipped[a])[:, order]
        hits, misses = np.cumsum(right, 1, dtype=float), np.cumsum(wrong, 1, dtype=float)
        for t in range(thresholds):
            precision[a, t], recall[a, t] = _curve(hits[t], misses[t], people)
    return precision, recall


def _curve(hits: np.ndarray, misses: np.ndarray, people: int) -> tuple[np.ndarray, float]:
    sampled = np.zeros(len(RECALLS))
    if not len(hits):
        return sampled, 0.0
    recall = hits / people
    precision = hits / (misses + hits + np.spacing(1))
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, RECALLS, side="left")
    reached = places < len(recall)
    sampled[reached] = envelope[places[reached]]
    return sampled, float(recall[-1])


def _mean(values: np.ndarray) -> float:
    defined = values[values > -1]
    return float(np.mean(defined)) if len(defined) else -1.0
