"""COCO's ten keypoint stats from a table of matches, equal to pycocotools' to the last digit."""

from __future__ import annotations

import numpy as np
from numba import njit

from pipeline.evaluation.cores import over_cores
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
    areas, thresholds, poses = matches.person.shape
    curves = areas * thresholds
    precision = -np.ones((curves, len(RECALLS)))
    recall = -np.ones(curves)
    person, skipped = matches.person.reshape(curves, poses), matches.skipped.reshape(curves, poses)
    people = np.repeat(np.count_nonzero(matches.counts, axis=1), thresholds)
    order = np.argsort(-matches.score, kind="stable")

    def part(first: int, last: int) -> None:
        span = slice(first, last)
        _curves(person[span], skipped[span], order, people[span], RECALLS, precision[span], recall[span])

    over_cores(part, curves)
    return precision.reshape(areas, thresholds, -1), recall.reshape(areas, thresholds)


@njit(cache=True, nogil=True)
def _curves(person, skipped, order, people, recalls, precision, recall):  # type: ignore[no-untyped-def]
    """Fill the precision [C, 101] and recall [C] of some curves, of those with anybody to be found.

    Precision is best and recall changes where a pose is right, so that these places alone are looked at.
    """
    epsilon = np.spacing(1.0)
    at_hit = np.empty(len(order))
    for c in range(len(person)):
        if people[c] == 0:
            continue
        hits, misses = 0, 0
        for d in order:
            if skipped[c, d]:
                continue
            if person[c, d] < 0:
                misses += 1
            else:
                hits += 1
                at_hit[hits - 1] = hits / (float(misses + hits) + epsilon)
        # From the last right pose backwards: the best precision at this recall or a higher one.
        best, place = 0.0, len(recalls) - 1
        for hit in range(hits, 0, -1):
            while place >= 0 and recalls[place] > hit / people[c]:
                precision[c, place] = 0.0
                place -= 1
            best = max(best, at_hit[hit - 1])
            while place >= 0 and (hit == 1 or recalls[place] > (hit - 1) / people[c]):
                precision[c, place] = best
                place -= 1
        precision[c, : place + 1] = 0.0
        recall[c] = hits / people[c]


def _mean(values: np.ndarray) -> float:
    defined = values[values > -1]
    return float(np.mean(defined)) if len(defined) else -1.0
