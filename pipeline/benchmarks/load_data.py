"""What the load benchmark works on: a project with generated sources, and found keypoints without a network."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import orjson
import pyarrow as pa
import torch
from ruamel.yaml import YAML

import pipeline
from model import checkpoints
from model.network import PoseNetwork, build
from pipeline import layout
from pipeline.benchmarks.coco_sized import write_annotations
from pipeline.evaluation.postprocess import Decoded, padded_areas
from pipeline.learning.ensemble import FuseShard
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import to_numpy
from pipeline.steps import ablate_postprocessing
from pipeline.steps.evaluate import DecodeShard

TEACHERS = ("lite0", "lite1")
DETECTED = ("train", "val", "unlabeled")
_WIDTH, _HEIGHT = 640, 480
_LINKS = 10_000  # to one file: file systems allow 32,000 and more
_MODEL = {
    "architecture": "ccm",
    "backbone": "mobilenetv3_small_050",
    "backbone_stride": None,
    "weights": "none",
    "input_size": [64, 64],
    "mixers": [16, 16, 16],
    "dilated": False,
    "auxiliary": False,
    "se": True,
    "hdc": True,
    "residual": True,
}


def generate(sizes: Mapping[str, tuple[int, int]], strategies: Sequence[str], ensemble: str) -> None:
    """Fill the current folder: pictures and annotations of each source (images, people), models, `params.yaml`.

    `ensemble` is what the two teachers are evaluated together as.
    """
    for source, (images, people) in sizes.items():
        folder = Path("own") / source
        _pictures(folder, images)
        if source == "external":
            _aic(Path("own/external.json"), images, people)
        elif source != "unlabeled":
            write_annotations(Path(f"own/{source}.json"), 0, images, people, labelled=people * 57 // 100)
    for source in DETECTED:
        _detections(Path(f"own/{source}-detections.json"), *sizes[source], ids=source != "unlabeled")
    names = list(load_keypoint_set("coco").names)
    torch.manual_seed(0)
    for model in (*map(layout.final, strategies), *map(layout.teacher, TEACHERS)):
        checkpoints.save(
            build(_MODEL, len(names)), model, {"keypoint_names": names, "trained_on": "nothing", "padding": 1.25}
        )
    with Path("params.yaml").open("w") as file:
        YAML().dump(_params(strategies, ensemble), file)


def _params(strategies: Sequence[str], ensemble: str) -> dict[str, Any]:
    built_in = Path(pipeline.__path__[0]) / "profiles/built-in.yaml"
    raw: dict[str, Any] = YAML(typ="safe", pure=True).load(built_in.read_text())
    for name, source in raw["data"]["sources"].items():
        images = f"own/{name}"
        source |= {"images": images, "index": images if source["format"] == "folder" else f"own/{name}.json"}
    raw |= {"strategies": list(strategies), "synthesize": {}}
    raw["evaluate_ensemble"] = {ensemble: [f"teachers/{name}" for name in TEACHERS]}
    raw["detect_people"]["sources"] = {name: f"own/{name}-detections.json" for name in DETECTED}
    raw["train_detector"]["models"] = {}
    raw["benchmark"] |= {"people": 4, "repeats": 1}
    raw["ingest"]["check_images"] = False
    raw["models"]["tiny"] = _MODEL
    raw["train_joint"]["model"] = "tiny"
    return raw


def _pictures(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    coarse = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    written, picture = cv2.imencode(".jpg", cv2.resize(coarse, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC))
    assert written
    for number in range(count):
        path = folder / f"{number:012d}.jpg"
        if number % _LINKS == 0:
            path.write_bytes(picture.tobytes())
            first = path
        else:
            os.link(first, path)


def _aic(path: Path, images: int, people: int) -> None:
    """AI Challenger's file: people dealt out to the images in turn."""
    random = np.random.default_rng(1)
    with path.open("wb") as file:
        for image in range(images):
            count = people // images + (image < people % images)
            corner, side = random.integers(0, 300, (count, 2)), random.integers(10, 180, (count, 2))
            points = corner[:, None] + (random.random((count, 14, 2)) * side[:, None]).astype(int)
            triples = np.concatenate([points, random.integers(1, 4, (count, 14, 1))], 2).reshape(count, -1)
            corners = np.concatenate([corner, corner + side], 1)
            record = {
                "image_id": f"{image:012d}",
                "human_annotations": {f"human{i + 1}": corners[i].tolist() for i in range(count)},
                "keypoint_annotations": {f"human{i + 1}": triples[i].tolist() for i in range(count)},
            }
            file.write((b"," if image else b"[") + orjson.dumps(record))
        file.write(b"]")


def _detections(path: Path, images: int, people: int, ids: bool) -> None:
    """A COCO results file; `ids`: of numbered images, otherwise of named files."""
    random = np.random.default_rng(2)
    image = random.integers(0, images, people)
    boxes = np.concatenate([random.uniform(0, 300, (people, 2)), random.uniform(10, 180, (people, 2))], 1).round(2)
    score = random.uniform(0.05, 1, people).round(4)
    with path.open("wb") as file:
        for i in range(people):
            name = int(image[i]) if ids else f"{image[i]:012d}.jpg"
            record = {"image_id": name, "category_id": 1, "bbox": boxes[i].tolist(), "score": float(score[i])}
            file.write((b"," if i else b"[") + orjson.dumps(record))
        file.write(b"]")


@contextmanager
def without_networks() -> Iterator[None]:
    """Shards find random keypoints inside the boxes in place of running a network over the pictures."""

    def fused(self: FuseShard, members: Any, people: pa.Table) -> dict[str, np.ndarray]:
        found = _found(people)
        return {**found, "spread": np.full(found["scores"].shape, 2.0)}

    def decoded(
        network: PoseNetwork, people: pa.Table, decodings: Mapping[str, Any], **given: Any
    ) -> dict[str, Decoded]:
        areas = padded_areas(people, network.spec.input_size, given["padding"])
        return {name: Decoded(**_found(people), area=areas) for name in decodings}

    with (
        patch.object(FuseShard, "_find", fused),
        patch.object(DecodeShard, "_find", lambda _, people: _found(people)),
        patch.object(ablate_postprocessing, "decode_people", decoded),
    ):
        yield


def _found(people: pa.Table) -> dict[str, np.ndarray]:
    random = np.random.default_rng(people.num_rows)
    box = to_numpy(people, "bbox").astype(np.float64)
    points = box[:, None, :2] + random.random((len(box), 17, 2)) * box[:, None, 2:]
    return {"points": points, "scores": random.uniform(0.2, 1, (len(box), 17))}
