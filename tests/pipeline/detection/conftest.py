"""A miniature source: bright upright rectangles with one eye on noise, in images of two shapes, with masks."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pipeline import layout
from pipeline.records.tables import TableInfo, table_from, write_table
from pipeline.settings import Compute, DetectorModel, DetectorTraining, Optimizer

IMAGES = 10
MODEL = DetectorModel(
    architecture="mask_rcnn",
    backbone="mobilenetv3_small_050",
    weights="none",
    trainable_layers=5,
    masks=True,
    min_size=64,
    max_size=96,
    anchor_sizes=[12, 24, 48, 96],
    max_detections=10,
    fpn_channels=16,
    fpn_norm=True,
    head_channels=16,
    proposals=40,
    sampled_proposals=16,
)
TRAINING = DetectorTraining(
    model=MODEL,
    seed=0,
    epochs=2,
    batch_size=2,
    optimizer=Optimizer(
        name="adamw",
        learning_rate=0.002,
        weight_decay=0.0,
        schedule="step",
        milestones=[0.7],
        factor=0.1,
        warmup_steps=2,
        clip_norm=10.0,
    ),
    flip=0.5,
    validate_every=2,
)
COMPUTE = Compute(device="cpu", precision="float32", processes=1, workers=0, crop_store=False, compile=False)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the tables of the source `train`: image i has i % 3 people, image 4 also a crowd."""
    monkeypatch.chdir(tmp_path)
    write_source("train")
    return tmp_path


def write_source(source: str) -> None:
    """Draw the images and write the source's tables into the current folder."""
    random = np.random.default_rng(0)
    folder = Path("pictures")
    folder.mkdir(exist_ok=True)
    info = TableInfo("coco", {source: str(folder)})
    images: dict[str, list[object]] = {key: [] for key in ("image_id", "source", "file_name", "width", "height")}
    people: dict[str, list[object]] = {}
    masks: dict[str, list[str]] = {"instance_id": [], "segmentation": []}
    for i in range(IMAGES):
        height, width = (64, 80) if i % 4 else (80, 64)
        picture = random.integers(0, 60, (height, width, 3), dtype=np.uint8)
        image = {
            "image_id": f"{source}:{i}",
            "source": source,
            "file_name": f"{i}.png",
            "width": width,
            "height": height,
        }
        for n in range(i % 3 + (i == 4)):
            crowd = i == 4 and n == i % 3
            x, y, w, h = 4 + 30 * n, int(random.integers(2, 20)), 14, 38
            cv2.rectangle(picture, (x, y), (x + w - 1, y + h - 1), (200, 180, 160), -1)
            cv2.circle(picture, (x + 4, y + 6), 2, (0, 0, 0), -1)
            name = f"{source}:{10 * i + n}"
            box = [float(v) for v in (x, y, w, h)]
            row = image | {"instance_id": name, "kind": "labelled", "bbox": box, "area": w * h, "iscrowd": crowd}
            row |= {"keypoints": [0.0] * 51, "supervised": [False] * 17}
            for key, value in row.items():
                people.setdefault(key, []).append(value)
            masks["instance_id"].append(name)
            masks["segmentation"].append(json.dumps([[x, y, x + w, y, x + w, y + h, x, y + h]]))
        cv2.imwrite(str(folder / f"{i}.png"), picture)
        for key, value in image.items():
            images[key].append(value)
    write_table(layout.images(source), table_from("images", images, info))
    write_table(layout.instances(source), table_from("instances", people, info))
    write_table(layout.masks(source), table_from("masks", masks, info))
