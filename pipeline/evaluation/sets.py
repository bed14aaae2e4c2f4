"""What is evaluated: a strategy's model, and a set's annotated people with the boxes to find them in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from model import checkpoints
from model.network import PoseNetwork
from model.spec import ModelSpec
from pipeline import layout
from pipeline.evaluation.average_precision import box_ap
from pipeline.evaluation.people import Truth, image_index, read_truth
from pipeline.evaluation.postprocess import people_to_find
from pipeline.learning.devices import pick_device
from pipeline.learning.inference import ready
from pipeline.records.artefacts import file_hash
from pipeline.records.keypoints import KeypointSet, load_keypoint_set
from pipeline.records.tables import keypoint_set, read_table, table_info, to_numpy
from pipeline.settings import Params


@dataclass(frozen=True)
class Model:
    """A trained network, the keypoints it predicts, and the padding its crops were cut with."""

    name: str
    network: PoseNetwork
    keypoints: KeypointSet
    padding: float


@dataclass(frozen=True)
class EvaluationSet:
    """A set and the boxes to evaluate on.

    `people` has N rows, taken from the rows `row` [N] of the `instances` table, which is None for detections; `mirror`
    [K] are the truth's mirror keypoints; `boxes` says which boxes these are, `about_source` what made its tables.
    """

    truth: Truth
    mirror: np.ndarray
    people: pa.Table
    box_scores: np.ndarray
    row: np.ndarray | None
    boxes: dict[str, Any]
    about_source: Mapping[str, Any]


def load_model(params: Params, strategy: str) -> Model:
    """A strategy's final model; ValueError when it predicts other keypoints than `data.keypoints` names."""
    folder, keypoints = layout.final(strategy), load_keypoint_set(params.data.keypoints)
    card = checkpoints.read_card(folder, checkpoints.POSE)
    if tuple(card["keypoint_names"]) != keypoints.names:
        raise ValueError(f"{folder}: predicts {card['keypoint_names']}, data.keypoints has {list(keypoints.names)}")
    network = _network(folder, file_hash(folder), str(pick_device(params.compute.device)))
    return Model(strategy, network, keypoints, float(card.get("padding", 1.25)))


@lru_cache(maxsize=8)
def _network(folder: Path, content: str, device: str) -> PoseNetwork:
    """A network, loaded once a process and device, as a worker meets it shard after shard; `content` keys the cache."""
    return ready(checkpoints.load(folder), torch.device(device))


def evaluation_set(params: Params, source: str, boxes: str, predicted: KeypointSet) -> EvaluationSet:
    """The annotated people of a set, and its boxes: `detected` above `evaluate.box_threshold`, or `ground_truth`."""
    instances = read_table(layout.instances(source), "instances")
    images = read_table(layout.images(source), "images")
    truth, made_by = read_truth(images, instances, predicted), table_info(images).made_by
    own = keypoint_set(instances)
    mirror = mirror_of(truth, own)
    if boxes == "ground_truth":
        row = people_to_find(instances)
        people = instances.take(row)
        about: dict[str, Any] = {"kind": boxes, "count": len(row)}
        return EvaluationSet(truth, mirror, people, np.ones(len(row)), row, about, made_by)
    detections = read_table(layout.detections(source), "detections")
    found = to_numpy(detections, "score") >= params.evaluate.box_threshold
    detections = detections.filter(pa.array(found))
    scores = to_numpy(detections, "score").astype(np.float64)
    about = {
        "kind": boxes,
        "count": detections.num_rows,
        "threshold": params.evaluate.box_threshold,
        "detector": ", ".join(sorted(set(detections["detector"].cast(pa.string()).to_pylist()))),
    }
    if len(truth):
        image = image_index(truth.images, detections["image_id"].to_pylist())
        ap = box_ap(truth, image, to_numpy(detections, "bbox"), scores)
        about |= {"person_AP": ap} if ap >= 0 else {}
    return EvaluationSet(truth, mirror, detections, scores, None, about, made_by)


def mirror_of(truth: Truth, keypoints: KeypointSet) -> np.ndarray:
    """[K] the mirror keypoint of each of the truth's keypoints, itself where the truth lacks its partner."""
    partners = [keypoints.names[keypoints.mirror[keypoints.index(name)]] for name in truth.names]
    return np.asarray(
        [truth.names.index(p if p in truth.names else n) for p, n in zip(partners, truth.names, strict=True)]
    )


def network_text(spec: ModelSpec) -> str:
    """A network in words: `ccm resnet50 at 256x192`."""
    return f"{spec.architecture} {spec.backbone} at {spec.input_size[0]}x{spec.input_size[1]}"
