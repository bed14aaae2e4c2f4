"""Training whose teacher is the average of its own weights: what it looks at, and that it goes on where it stopped."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from pipeline.learning.training import engine
from pipeline.learning.training.job import run_job
from pipeline.progress import Progress
from pipeline.records.tables import read_table, write_table
from tests.pipeline.learning.training.conftest import TRAINING, job

ONLINE = TRAINING.model_copy(
    update={"epochs": 3, "batch_size": 4, "unlabelled_batch_size": 3, "ema": 0.9, "online_weight": 1.0}
)


def weights(folder: str) -> dict[str, torch.Tensor]:
    return load_file(f"{folder}/model.safetensors")


def same(one: str, other: str) -> bool:
    first, second = weights(one), weights(other)
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def unlabelled(workspace: Path) -> Path:
    """Every other person is a row of U."""
    table = read_table("people.parquet", "instances")
    kinds = pa.array(["pseudo" if i % 2 else "labelled" for i in range(table.num_rows)])
    place = table.schema.get_field_index("kind")
    write_table("people.parquet", table.set_column(place, "kind", kinds.cast(table["kind"].type)))
    return workspace


def test_what_u_is_labelled_with_does_not_matter(unlabelled: Path) -> None:
    run_job(job(ONLINE, output="models/first"), Progress())
    table = read_table("people.parquet", "instances")
    keypoints = np.stack(table["keypoints"].to_pylist()).reshape(table.num_rows, 17, 3).astype(np.float32)
    keypoints[1::2, :, :2] += 7
    place = table.schema.get_field_index("keypoints")
    values = pa.FixedSizeListArray.from_arrays(pa.array(keypoints.reshape(-1)), 51)
    write_table("people.parquet", table.set_column(place, "keypoints", values.cast(table["keypoints"].type)))
    run_job(job(ONLINE, output="models/other"), Progress())
    assert same("models/first", "models/other")
    run_job(job(ONLINE.model_copy(update={"online_weight": 0.5}), output="models/half"), Progress())
    assert not same("models/first", "models/half")


def test_stopped_it_goes_on_with_the_same_teacher(unlabelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_job(job(ONLINE, output="models/whole"), Progress())
    shutil.rmtree(".state")
    step, steps = engine.Trainer._step, list[int]()

    def stopping(self: engine.Trainer, *arguments: object) -> None:
        step(self, *arguments)  # type: ignore[arg-type]
        steps.append(1)
        if len(steps) in (2, 5, 7):
            raise KeyboardInterrupt

    monkeypatch.setattr(engine, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(engine.Trainer, "_step", stopping)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            run_job(job(ONLINE, output="models/stopped"), Progress())
    run_job(job(ONLINE, output="models/stopped"), Progress())
    assert same("models/whole", "models/stopped")


def test_a_teacher_takes_an_average() -> None:
    with pytest.raises(ValidationError, match=r"online_weight = 1\.0: its teacher is the average"):
        type(ONLINE).model_validate(ONLINE.model_dump() | {"ema": 0.0})
