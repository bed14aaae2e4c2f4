"""COCO's box AP of people, and which detections are people, by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from model.detector import PERSON
from pipeline.records.tables import to_numpy

RIGHT = 0.5  # overlap (IoU) with an annotated person from which a detection is that person, as for AP50
FIGURES = {"AP": 0, "AP50": 1, "AP75": 2, "AP_S": 3, "AP_M": 4, "AP_L": 5, "AR": 8}  # positions in COCOeval's stats


def box_figures(
    images: Sequence[str], people: pa.Table, image_ids: Sequence[str], boxes: np.ndarray, scores: np.ndarray
) -> dict[str, float]:
    """AP and AR of the person category.

    Args:
        images: the ids of all images that were searched.
        people: rows of an `instances` table; crowds are regions where a detection is neither right nor wrong.
        image_ids, boxes, scores: [N] the detections, boxes [N, 4] as x, y, w, h in image pixels.

    Returns:
        By COCO's names. Sizes that nobody has are left out; so is everything where nobody is annotated.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress and a summary
        evaluation = _compared(images, people, image_ids, boxes, scores)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(evaluation.stats[i]) for name, i in FIGURES.items() if evaluation.stats[i] >= 0}


def right_people(
    images: Sequence[str], people: pa.Table, image_ids: Sequence[str], boxes: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    """[N] 1 for a detection of a person, 0 for one of nobody or of a person found before, NaN in a crowd's region.

    Arguments as for `box_figures`. In each image the surest detection comes first, and takes of the people whom none
    has taken the one that it overlaps most, with IoU 0.5 or more.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = _compared(images, people, image_ids, boxes, scores)
        evaluation.params.iouThrs = np.array([RIGHT])
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, np.inf]], ["all"]
        evaluation.params.maxDets = [max(len(scores), 1)]
        evaluation.evaluate()
    right = np.full(len(scores), np.nan)
    for image in filter(None, evaluation.evalImgs):
        rows = np.array(image["dtIds"], int) - 1
        right[rows] = np.where(image["dtIgnore"][0], np.nan, image["dtMatches"][0] > 0)
    return right


def _compared(
    images: Sequence[str], people: pa.Table, image_ids: Sequence[str], boxes: np.ndarray, scores: np.ndarray
) -> COCOeval:
    """Both as pycocotools takes them; detections are numbered from 1, in their order."""
    numbers = {name: number for number, name in enumerate(images, start=1)}
    truth, found = COCO(), COCO()
    header: dict[str, Any] = {
        "info": {},
        "images": [{"id": number} for number in numbers.values()],
        "categories": [{"id": PERSON, "name": "person"}],
    }
    annotated = zip(
        people["image_id"].to_pylist(),
        to_numpy(people, "bbox").tolist(),
        to_numpy(people, "area").tolist(),
        to_numpy(people, "iscrowd").tolist(),
        strict=True,
    )
    truth.dataset = header | {
        "annotations": [
            {
                "id": i,
                "image_id": numbers[image],
                "category_id": PERSON,
                "bbox": box,
                "area": area,
                "iscrowd": int(crowd),
            }
            for i, (image, box, area, crowd) in enumerate(annotated, start=1)
            if image in numbers
        ]
    }
    detected = zip(image_ids, boxes.tolist(), scores.tolist(), strict=True)
    found.dataset = header | {
        "annotations": [
            {"id": i, "image_id": numbers[image], "category_id": PERSON, "bbox": box, "area": box[2] * box[3],
             "iscrowd": 0, "score": score}
            for i, (image, box, score) in enumerate(detected, start=1)
        ]
    }  # fmt: skip
    truth.createIndex()
    found.createIndex()
    return COCOeval(truth, found, "bbox")
