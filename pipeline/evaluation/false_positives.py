"""What a model says of boxes that hold nobody: the mistakes that hard negatives are to quieten (section 4.1)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipeline.detection.mining import touches_anyone
from pipeline.evaluation.people import Truth
from pipeline.records.tables import to_numpy

CONFIDENT = 0.5  # box score; the lowest at which the paper mines hard negatives (section 6.2.2)


def false_positive_figures(
    truth: Truth, detections: pa.Table, box_scores: np.ndarray, scores: np.ndarray
) -> dict[str, float]:
    """Mean keypoint score on detections that touch no annotated person, as H is mined; and on those that touch one.

    `scores` [N, K] are the keypoints' of the N detected boxes, before suppression. Keys: `false_positive_boxes` and
    `false_positive_score`, the same with `confident_` for boxes scored at or above 0.5, and `touching_box_score`. A
    mean over no box is left out.
    """
    images = [truth.images[i] for i in truth.image]
    touching = touches_anyone(
        detections["image_id"].to_pylist(),
        to_numpy(detections, "bbox"),
        images,
        truth.boxes,
    )
    confident = ~touching & (box_scores >= CONFIDENT)
    figures = {
        "false_positive_boxes": int((~touching).sum()),
        "confident_false_positive_boxes": int(confident.sum()),
    }
    means = {
        "false_positive_score": ~touching,
        "confident_false_positive_score": confident,
        "touching_box_score": touching,
    }
    return figures | {name: float(scores[rows].mean()) for name, rows in means.items() if rows.any()}
