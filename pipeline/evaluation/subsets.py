"""Parts of an evaluation set that the paper's tables look at by themselves."""

from __future__ import annotations

import numpy as np

from pipeline.evaluation.people import Truth
from pipeline.evaluation.similarity import box_iou, pairs_within_images

OVERLAPS = {"0.5-0.75": (0.5, 0.75), "0.75-1": (0.75, np.inf)}  # Table 3


def max_iou(truth: Truth) -> np.ndarray:
    """[G] how much of each person's box the most overlapping other person shares (OCHuman's MaxIoU); 0 when alone."""
    pairs = pairs_within_images(truth.image, truth.image, len(truth.images))
    others = pairs.pose != pairs.person
    one, two = pairs.pose[others], pairs.person[others]
    result = np.zeros(len(truth))
    np.maximum.at(result, one, box_iou(truth.boxes[one], truth.boxes[two]))
    return result


def outside_overlap(truth: Truth, name: str) -> np.ndarray:
    """[G] people outside one of the `OVERLAPS` ranges; an upper bound belongs to the range above."""
    low, high = OVERLAPS[name]
    overlap = max_iou(truth)
    return (overlap < low) | (overlap >= high)
