"""A miniature training set: white dots on noise, each keypoint a dot; and settings for runs of seconds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pipeline.learning.training.job import TrainingJob
from pipeline.records.tables import TableInfo, table_from, write_table
from pipeline.settings import Augmentation, Compute, KeypointModel, Optimizer, Training

PEOPLE, HARD, PARTLY = 24, range(20, 24), range(12, 20)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the miniature training set, which is the current one."""
    monkeypatch.chdir(tmp_path)
    write_people(tmp_path)
    return tmp_path


def write_people(folder: Path) -> None:
    """Write `people.parquet`: 24 people of 17 keypoints in 24 images of 64x48.

    As in Phi, some rows are hard negatives (no keypoint, all supervised) and some supervise a part of the keypoints.
    """
    random = np.random.default_rng(0)
    keypoints = np.zeros((PEOPLE, 17, 3), np.float32)
    (folder / "images").mkdir()
    for i in range(PEOPLE):
        picture = random.integers(0, 60, (64, 48, 3), dtype=np.uint8)
        keypoints[i, :, 0], keypoints[i, :, 1] = random.uniform(1, 47, 17), random.uniform(1, 63, 17)
        keypoints[i, :, 2] = 2
        for k, (x, y, _) in enumerate(keypoints[i]):
            colour = [int(v) for v in np.random.default_rng(k).integers(80, 255, 3)]
            cv2.circle(picture, (round(float(x)), round(float(y))), 2, colour, -1)
        cv2.imwrite(str(folder / "images" / f"{i}.png"), picture)
    supervised = np.ones((PEOPLE, 17), bool)
    keypoints[HARD] = 0
    for k in (0, 5, 9, 12, 13):  # more on one side than on the other
        keypoints[PARTLY, k], supervised[PARTLY, k] = 0, False
    columns = {
        "instance_id": [f"train:{i}" for i in range(PEOPLE)],
        "image_id": [f"train:{i}" for i in range(PEOPLE)],
        "source": ["train"] * PEOPLE,
        "file_name": [f"{i}.png" for i in range(PEOPLE)],
        "kind": ["hard_negative" if i in HARD else "labelled" for i in range(PEOPLE)],
        "width": [48] * PEOPLE,
        "height": [64] * PEOPLE,
        "bbox": np.tile(np.float32([0, 0, 48, 64]), (PEOPLE, 1)),
        "area": np.full(PEOPLE, 48 * 64.0),
        "iscrowd": np.zeros(PEOPLE, bool),
        "keypoints": keypoints.reshape(PEOPLE, -1),
        "supervised": supervised,
    }
    write_table(folder / "people.parquet", table_from("instances", columns, TableInfo("coco", {"train": "images"})))


MODEL = KeypointModel(
    architecture="ccm",
    backbone="mobilenetv3_small_050",
    backbone_stride=16,
    weights="none",
    input_size=[64, 64],
    mixers=[16, 16],
    dilated=False,
    auxiliary=True,
    se=True,
    hdc=True,
    residual=True,
)
TRAINING = Training(
    seed=0,
    epochs=3,
    samples_per_epoch=None,
    batch_size=8,
    accumulate=1,
    optimizer=Optimizer(
        name="adam",
        learning_rate=0.005,
        weight_decay=0.0,
        schedule="step",
        milestones=[0.7],
        factor=0.1,
        warmup_steps=2,
        clip_norm=None,
    ),
    augmentation=Augmentation(rotation=20.0, scale=0.2, flip=0.5, half_body=0.0, half_body_keypoints=8),
    sigma=1.5,
    padding=1.0,
    auxiliary_weight=0.5,
    ema=0.0,
    freeze_batch_norm=False,
    sync_batch_norm=False,
    validate_every=3,
    patience=0,
)
COMPUTE = Compute(device="cpu", precision="float32", processes=1, workers=0, crop_store=False, compile=False)


def job(training: Training = TRAINING, compute: Compute = COMPUTE, output: str = "models/out") -> TrainingJob:
    """The miniature job."""
    people = Path("people.parquet")
    return TrainingJob(
        stage="train_joint",
        item="C-C",
        model=MODEL,
        training=training,
        compute=compute,
        tables=(people,),
        validation=(people,),
        start=None,
        sampling=(),
        external=(),
        keep_auxiliary=True,
        output=Path(output),
    )
