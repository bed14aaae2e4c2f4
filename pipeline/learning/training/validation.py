"""Validation while training: OKS on ground-truth boxes, the paper's Eq 26-28 (a person each, no matching)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch

from model.network import PoseNetwork
from pipeline.learning.inference import keypoints_of, predict, ready
from pipeline.learning.training.distributed import from_all, share_of
from pipeline.records.keypoints import KeypointSet
from pipeline.records.tables import keypoint_set, to_numpy
from pipeline.settings import Compute, Decoding

THRESHOLDS = np.arange(0.5, 0.96, 0.05)  # Eq 26
PCK_SHARE = 0.2  # of the box's longer side
RANKED_BY = ("val_oks", "val_pck")  # what says which weights are best, the first that there is


def oks_to_truth(points: np.ndarray, truth: np.ndarray, area: np.ndarray, keypoints: KeypointSet) -> np.ndarray:
    """OKS of each pose with its own annotation (Eq 28), [N].

    `points` [N, K, 2] and `truth` [N, K, 3] in image pixels, `area` [N] in square pixels. Person scale and sigmas as
    COCO defines them: a_p^2 is the area, and sigma_i is twice the published constant. ValueError without sigmas.
    """
    if keypoints.sigmas is None:
        raise ValueError(f"keypoint set '{keypoints.name}' has no sigmas, so no OKS; use PCK")
    variance = (2 * np.asarray(keypoints.sigmas)) ** 2
    distance = ((points - truth[:, :, :2]) ** 2).sum(2)
    similarity = np.exp(-distance / (2 * np.maximum(area, 1.0)[:, None] * variance[None]))
    labelled = truth[:, :, 2] > 0
    return (similarity * labelled).sum(1) / np.maximum(labelled.sum(1), 1)


def distances_to_truth(points: np.ndarray, truth: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """[N, K] distance of each keypoint to its own annotation, as a share of the box's longer side.

    NaN where a keypoint is unlabelled. `points` [N, K, 2], `truth` [N, K, 3] and `boxes` [N, 4] (x, y, w, h) in image
    pixels.
    """
    distance = np.hypot(*np.moveaxis(points - truth[:, :, :2], 2, 0)) / np.maximum(boxes[:, 2:].max(1), 1.0)[:, None]
    return np.where(truth[:, :, 2] > 0, distance, np.nan)


def figures_without_oks(distances: np.ndarray) -> dict[str, float]:
    """What validates a model whose keypoint set has no sigmas: PCK (Yang and Ramanan 2013) and the mean distance."""
    known = distances[np.isfinite(distances)]
    if not len(known):
        return {"val_pck": 0.0, "val_distance": 0.0}
    return {"val_pck": float((known <= PCK_SHARE).mean()), "val_distance": float(known.mean())}


def validation_figures(oks: np.ndarray) -> dict[str, float]:
    """Mean OKS, and AP as Eq 26 and 27 define it: the mean share of people above each OKS threshold."""
    if not len(oks):
        return {"val_oks": 0.0, "val_ap": 0.0}
    shares = (oks[:, None] > THRESHOLDS[None]).mean(0)
    return {"val_oks": float(oks.mean()), "val_ap": float(shares.mean())}


def validate(
    network: PoseNetwork,
    people: pa.Table,
    *,
    padding: float,
    batch_size: int,
    compute: Compute,
    device: torch.device,
    settings: Decoding,
) -> dict[str, float]:
    """`val_oks` and `val_ap` of a network on the annotated boxes of `people` (see `labelled_people`).

    Without sigmas there is no OKS: `val_pck` and `val_distance` stand in. Of several processes, which all call this,
    each looks at its part of the people, and all get the figures.
    """
    keypoints = keypoint_set(people)
    first, last = share_of(people.num_rows)
    part = people.slice(first, last - first)
    points = np.zeros((part.num_rows, len(keypoints), 2))
    was_training = network.training
    for prediction in predict(
        ready(network, device),
        part,
        padding=padding,
        batch_size=batch_size,
        flip=settings.flip,
        compute=compute,
        device=device,
    ):
        points[prediction.rows], _ = keypoints_of(prediction, settings, network, keypoints)
    network.train(was_training)
    points = np.concatenate(from_all(points, "the others' part of the validation"))
    truth = to_numpy(people, "keypoints").reshape(people.num_rows, -1, 3)
    if keypoints.sigmas is None:
        return figures_without_oks(distances_to_truth(points, truth, to_numpy(people, "bbox")))
    return validation_figures(oks_to_truth(points, truth, to_numpy(people, "area"), keypoints))
