"""Training the detector on the miniature source: it learns, resumes exactly, and stops where it must."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from model.checkpoints import read_card
from model.detector import load_detector
from pipeline.detection import trainer
from pipeline.detection.job import DetectorJob, run_job
from pipeline.learning.training.state import RunState
from pipeline.progress import Progress
from pipeline.settings import Compute, DetectorTraining
from tests.faults import drift
from tests.pipeline.detection.conftest import COMPUTE, TRAINING
from tests.pipeline.killing import killed_until_done

LONGER = TRAINING.model_copy(update={"epochs": 10, "validate_every": 10})


def job(training: DetectorTraining = TRAINING, compute: Compute = COMPUTE) -> DetectorJob:
    return DetectorJob("person", training, compute, ("train",), ("train",))


def weights() -> dict[str, torch.Tensor]:
    return load_file("models/detectors/person/model.safetensors")


def forget() -> None:
    """Take the finished run away, so that the next one trains."""
    finished = next(Path(".state/training/train_detector").glob("*/final"))
    finished.rename(finished.parent.parent / "put-aside")


def test_it_learns_the_drawn_people(workspace: Path) -> None:
    figures = run_job(job(LONGER), Progress())
    curves = pd.read_csv("metrics/curves/train_detector/person.csv")
    assert len(curves) == 10
    assert curves["loss"].iloc[-1] < 0.5 * curves["loss"].iloc[0]
    parts = curves[list(trainer.LOSSES)].sum(axis=1)
    assert parts.tolist() == pytest.approx(curves["loss"].tolist(), rel=1e-5)
    # The rate warms up over two steps and falls tenfold at 0.7 of the run.
    assert curves["learning_rate"].tolist() == pytest.approx([0.002] * 7 + [0.0002] * 3)
    assert {"val_AP", "val_AP50", "val_AR"} <= set(figures)
    assert json.loads(Path("data/figures/train_detector/person.json").read_text()) == figures
    assert load_detector("models/detectors/person").spec.masks
    assert read_card("models/detectors/person")["figures"] == figures


def test_a_finished_run_is_taken_and_changed_settings_train_anew(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job(job(), Progress())
    first = weights()
    monkeypatch.setattr(trainer.DetectorTrainer, "run", lambda self: pytest.fail("trained again"))
    run_job(job(), Progress())
    assert all(torch.equal(a, b) for a, b in zip(first.values(), weights().values(), strict=True))
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        run_job(job(TRAINING.model_copy(update={"seed": 1})), Progress())


def test_stopped_anywhere_it_ends_with_the_weights_of_an_unbroken_run(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_job(job(), Progress())
    unbroken, curves = weights(), Path("metrics/curves/train_detector/person.csv").read_bytes()
    forget()
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    save, saves = RunState.save, iter(range(100))

    def interrupted(self: RunState, state: dict[str, object]) -> None:
        save(self, state)
        if next(saves) % 3 == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunState, "save", interrupted)
    stops = 0
    while True:
        try:
            run_job(job(), Progress())
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops >= 2
    assert all(torch.equal(unbroken[name], value) for name, value in weights().items())
    assert Path("metrics/curves/train_detector/person.csv").read_bytes() == curves


def train_with_many_checkpoints() -> None:
    trainer.CHECKPOINT_SECONDS = 0.0
    run_job(job(TRAINING.model_copy(update={"epochs": 4})), Progress())


@pytest.mark.slow
def test_killed_at_random_moments_the_weights_are_those_of_an_unbroken_run(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    train_with_many_checkpoints()
    unbroken = weights()
    shutil.rmtree(".state")
    shutil.rmtree("models")
    assert killed_until_done(train_with_many_checkpoints) >= 5
    assert all(torch.equal(unbroken[name], value) for name, value in weights().items())


@pytest.mark.slow
def test_two_processes_do_what_one_does_that_takes_the_mean_of_their_gradients(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop in one process, image by image, without batch statistics and with all proposals.

    The curve of one process that takes both images together is another one: `tests.faults.drift` says why. Measured,
    0.5 % in the first epoch and 3 % in the second.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    loop = drift.curve(("batch norm", "draw of proposals"), together=False)
    model = TRAINING.model.model_copy(update={"backbone": "convnext_atto", "sampled_proposals": 512})
    frozen = TRAINING.model_copy(update={"model": model})
    run_job(job(frozen), Progress())
    single = pd.read_csv("metrics/curves/train_detector/person.csv")
    half = frozen.model_copy(update={"batch_size": 1})
    run_job(job(half, COMPUTE.model_copy(update={"processes": 2})), Progress())
    double = pd.read_csv("metrics/curves/train_detector/person.csv")
    assert double["step"].tolist() == single["step"].tolist()
    assert double["loss"].tolist() == pytest.approx(loop[1:3].tolist(), rel=1e-3)
    assert double["loss"].tolist() == pytest.approx(single["loss"].tolist(), rel=0.05)


def test_a_loss_that_is_no_number_stops_and_names_the_images(workspace: Path) -> None:
    optimizer = TRAINING.optimizer.model_copy(update={"name": "sgd", "learning_rate": 1e30, "clip_norm": None})
    with pytest.raises(ValueError, match=r"no number at step .* Lower train_detector"):
        run_job(job(TRAINING.model_copy(update={"optimizer": optimizer})), Progress())
    named = json.loads(next(Path(".state").rglob("diverged.json")).read_text())
    assert set(named["images"]) <= {f"train:{i}" for i in range(10)}
    assert not Path("models/detectors/person").exists()
