"""A tiny model and detector, and pictures to look at."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from model import checkpoints
from model.detector import DetectorSpec, build_detector, save_detector
from model.network import build
from pipeline.predict import Predictor
from pipeline.records.keypoints import load_keypoint_set
from tests.pipeline.workspace import MODEL

DETECTOR = DetectorSpec(
    backbone="mobilenetv3_small_050", weights="none", trainable_layers=5, masks=False, min_size=64, max_size=96,
    anchor_sizes=(16, 32), max_detections=5, fpn_channels=16, fpn_norm=True, head_channels=16, proposals=20,
    sampled_proposals=16,
)  # fmt: skip


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `pose` and `person`, untrained."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    names = list(load_keypoint_set("coco").names)
    card = {"keypoint_names": names, "keypoint_set": "coco", "trained_on": "nothing", "padding": 1.25}
    checkpoints.save(build(MODEL, len(names)), folder / "pose", card)
    save_detector(build_detector(DETECTOR), folder / "person", {})
    return folder


@pytest.fixture(scope="session")
def predictor(models: Path) -> Predictor:
    """Each picture is one person, whole."""
    torch.set_num_threads(1)
    return Predictor(models / "pose")


@pytest.fixture(scope="session")
def photograph() -> np.ndarray:
    """A smooth picture without any symmetry, 90 by 120, RGB."""
    noise = np.random.default_rng(1).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return cv2.resize(noise, (120, 90), interpolation=cv2.INTER_CUBIC)
