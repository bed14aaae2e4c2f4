"""Seeded evaluation sets with everything that makes COCO's protocol odd, and pycocotools' verdict on them."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pipeline.evaluation.people import Poses, Truth
from pipeline.records.keypoints import load_keypoint_set

COCO_SET = load_keypoint_set("coco")


def make_truth(
    seed: int,
    images: int,
    people: int,
    *,
    crowds: float = 0.02,
    unlabelled: float = 0.3,
    whole_numbers: bool = True,
) -> Truth:
    """People of all sizes spread over the images; `unlabelled` of them have a box only."""
    rng = np.random.default_rng(seed)
    image = np.sort(rng.integers(images, size=people))
    size = np.exp(rng.uniform(np.log(12), np.log(400), (people, 1)))
    corner = rng.uniform(0, 200, (people, 2))
    boxes = np.concatenate([corner, size * rng.uniform(0.3, 1, (people, 1)), size], 1)
    points = corner[:, None] + rng.random((people, 17, 2)) * boxes[:, None, 2:]
    if whole_numbers:
        points = np.round(points)
    visibility = rng.choice([0, 1, 2], (people, 17), p=[0.3, 0.2, 0.5])
    visibility[rng.random(people) < unlabelled] = 0
    crowd = rng.random(people) < crowds
    visibility[crowd] = 0
    return Truth(
        images=tuple(f"set:{i}" for i in range(images)),
        image=image,
        keypoints=np.concatenate([points, visibility[:, :, None]], 2) * (visibility[:, :, None] > 0),
        boxes=boxes,
        area=boxes[:, 2] * boxes[:, 3] * rng.uniform(0.3, 0.9, people),
        crowd=crowd,
        ignored=crowd | (visibility == 0).all(1),
        row=np.arange(people),
        names=COCO_SET.names,
        sigmas=np.asarray(COCO_SET.sigmas),
    )


def make_poses(seed: int, truth: Truth, count: int, *, noise: float = 0.05, tied: bool = False) -> Poses:
    """`count` poses: noisy copies of people, several of some, false ones, and keypoints far off, in no order."""
    rng = np.random.default_rng(seed + 1)
    points = rng.uniform(0, 300, (count, 17, 2))
    image = rng.integers(len(truth.images), size=count)
    if len(truth):
        source = rng.integers(len(truth), size=count)
        scale = np.sqrt(truth.area[source])[:, None, None] * rng.exponential(noise, (count, 1, 1))
        box = truth.boxes[source]
        base = truth.keypoints[source, :, :2]
        inside = box[:, None, :2] + rng.random((count, 17, 2)) * box[:, None, 2:]
        base = np.where(truth.keypoints[source, :, 2:] > 0, base, inside)
        copies = base + rng.normal(size=base.shape) * scale
        far = rng.random((count, 17)) < 0.05
        copies[far] += 500
        true = rng.random(count) < 0.7
        points[true], image[true] = copies[true], truth.image[source[true]]
    scores = rng.integers(1, 6, count) / 5 if tied else rng.random(count)
    return Poses(image, points, scores.astype(np.float64))


def coco_of(truth: Truth) -> COCO:
    """The set as pycocotools holds it. Image ids start at 0, annotation ids at 1."""
    reference = COCO()
    reference.dataset = {
        "images": [{"id": i, "width": 640, "height": 480} for i in range(len(truth.images))],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {
                "id": g + 1,
                "image_id": int(truth.image[g]),
                "category_id": 1,
                "bbox": truth.boxes[g].tolist(),
                "area": float(truth.area[g]),
                "iscrowd": int(truth.crowd[g]),
                "keypoints": truth.keypoints[g].reshape(-1).tolist(),
                "num_keypoints": int(truth.labelled[g]),
            }
            for g in range(len(truth))
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        reference.createIndex()
    return reference


def coco_results(poses: Poses) -> list[dict[str, Any]]:
    """The poses as entries of a COCO results file."""
    triples = np.concatenate([poses.points, np.ones_like(poses.points[:, :, :1])], 2).reshape(len(poses), 51)
    return [
        {"image_id": int(i), "category_id": 1, "keypoints": row.tolist(), "score": float(score)}
        for i, row, score in zip(poses.image, triples, poses.scores, strict=True)
    ]


def pycocotools_stats(reference: COCO, results: list[dict[str, Any]], kind: str = "keypoints") -> list[float]:
    """The stats that pycocotools prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        if results:
            found = reference.loadRes(results)
        else:  # loadRes cannot read an empty list
            found = COCO()
            found.dataset = {**reference.dataset, "annotations": []}
            found.createIndex()
        evaluation = COCOeval(reference, found, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]
