"""The engine on a miniature set: a committed curve, resume after kills, several processes, divergence."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file
from torch._dynamo.testing import CompileCounter
from torch.optim.swa_utils import AveragedModel

from model.network import build
from pipeline.learning.data import Batch
from pipeline.learning.training import engine
from pipeline.learning.training.job import row_weights, run_job
from pipeline.progress import Progress
from pipeline.records.tables import read_table, table_from, table_info, write_table
from tests.pipeline.killing import killed_until_done
from tests.pipeline.learning.training.conftest import COMPUTE, MODEL, TRAINING, job

# Losses of the miniature run, epoch by epoch. A change meant to keep training as it is keeps them; made by
# `python -m tests.pipeline.learning.training.golden` on torch 2.14.1. On one thread, the instructions of other
# processors (SSE4, AVX2, oneDNN off) move it by less than 1e-5 of its value; a target half a crop pixel off moves
# it by 1e-2.
GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())
TOLERANCE = 1e-3


def curves(name: str = "C-C") -> pd.DataFrame:
    return pd.read_csv(f"metrics/curves/train_joint/{name}.csv")


def weights(folder: str = "models/out") -> dict[str, torch.Tensor]:
    return load_file(f"{folder}/model.safetensors")


def test_the_loss_follows_the_committed_curve(workspace: Path) -> None:
    run_job(job(), Progress())
    assert curves()["loss"].tolist() == pytest.approx(GOLDEN["loss"], rel=TOLERANCE)
    assert curves()["main_loss"].tolist() == pytest.approx(GOLDEN["main_loss"], rel=TOLERANCE)
    assert curves()["learning_rate"].tolist() == pytest.approx(GOLDEN["learning_rate"])


@pytest.mark.parametrize(
    "change",
    [{"sigma": 1.7}, {"auxiliary_weight": 0.6}, {"seed": 1}, {"padding": 1.1}],
    ids=lambda change: next(iter(change)),
)
def test_the_committed_curve_would_notice(workspace: Path, change: dict[str, float]) -> None:
    run_job(job(TRAINING.model_copy(update=change)), Progress())
    assert curves()["loss"].tolist() != pytest.approx(GOLDEN["loss"], rel=TOLERANCE)


def test_two_runs_are_identical_and_the_second_is_free(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_job(job(), Progress())
    first = Path("models/out/model.safetensors").read_bytes()
    monkeypatch.setattr(engine.Trainer, "run", lambda self: pytest.fail("trained again"))
    run_job(job(output="models/again"), Progress())
    assert Path("models/again/model.safetensors").read_bytes() == first


class Told(Progress):
    """Hands on what is said."""

    def __init__(self, lines: Connection) -> None:
        self.lines = lines

    def say(self, message: str) -> None:
        self.lines.send(message)


def train_in_a_copy(folder: Path, shared: Path, lines: Connection) -> None:
    os.chdir(folder)
    os.environ["CCM_STATE"] = str(shared)
    run_job(job(), Told(lines))
    lines.close()


@pytest.mark.slow
def test_copies_of_a_workspace_that_want_the_same_run_train_it_once(workspace: Path) -> None:
    context = multiprocessing.get_context("spawn")
    copies, told = [workspace / "a", workspace / "b"], []
    for copy in copies:
        copy.mkdir()
        shutil.copy("people.parquet", copy)
        (copy / "images").symlink_to(workspace / "images")
        listen, lines = context.Pipe(duplex=False)
        context.Process(target=train_in_a_copy, args=(copy, workspace / "shared", lines)).start()
        lines.close()
        told.append(listen)
    said = ["\n".join(heard(listen)) for listen in told]
    assert sorted("epoch 1:" in text for text in said) == [False, True]
    assert sorted("trained before" in text for text in said) == [False, True]
    first, second = (weights(f"{copy}/models/out") for copy in copies)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any((copy / ".state").exists() for copy in copies)


def heard(listen: Connection) -> Iterator[str]:
    with contextlib.suppress(EOFError):
        while True:
            yield listen.recv()


def test_another_setting_starts_fresh(workspace: Path) -> None:
    run_job(job(), Progress())
    run_job(job(TRAINING.model_copy(update={"seed": 1}), output="models/other"), Progress())
    assert any((weights()[name] != weights("models/other")[name]).any() for name in weights())


def test_a_crop_store_feeds_the_same_training(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = COMPUTE.model_copy(update={"crop_store": True})
    monkeypatch.setattr(
        "pipeline.learning.data.training.cut", lambda *_: pytest.fail("decoded an image while training")
    )
    run_job(job(compute=stored), Progress())
    (store,) = (path for path in Path(".state/crops").iterdir() if path.is_dir())
    assert (store / "crops.bin").is_file()
    # The JPEGs of the store blur dots of two pixels on noise; what is learnt is the same.
    assert curves()["loss"].tolist() == pytest.approx(GOLDEN["loss"], rel=0.05)
    first = Path("models/out/model.safetensors").read_bytes()
    shutil.rmtree(".state")
    run_job(job(compute=stored, output="models/again"), Progress())
    assert Path("models/again/model.safetensors").read_bytes() == first


def train_with_many_checkpoints(output: str) -> None:
    """A run whose state is saved after every batch, in the middle of accumulated ones too."""
    engine.CHECKPOINT_SECONDS = 0.0
    settings = TRAINING.model_copy(update={"epochs": 6, "ema": 0.9, "accumulate": 2})
    run_job(job(settings, output=output), Progress())


@pytest.mark.slow
def test_killed_at_random_moments_the_weights_are_those_of_an_uninterrupted_run(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "CHECKPOINT_SECONDS", 0.0)
    train_with_many_checkpoints("models/whole")
    whole, curve = weights("models/whole"), curves()
    shutil.rmtree(".state")
    assert killed_until_done(partial(train_with_many_checkpoints, "models/killed")) >= 5
    killed = weights("models/killed")
    assert set(killed) == set(whole)
    assert all(torch.equal(killed[name], whole[name]) for name in whole)
    pd.testing.assert_frame_equal(curves(), curve)


def test_a_number_that_is_none_stops_and_names_the_batch(workspace: Path) -> None:
    optimizer = TRAINING.optimizer.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(ValueError, match="no number at step"):
        run_job(job(TRAINING.model_copy(update={"optimizer": optimizer})), Progress())
    named = json.loads(next(Path(".state").rglob("diverged.json")).read_text())["batches"]
    assert named
    assert set(np.concatenate(named)) <= {f"train:{i}" for i in range(24)}
    assert not Path("models/out").exists()


def test_a_loss_that_grows_without_bound_stops_at_the_batch(workspace: Path) -> None:
    """Twelve batches of two: the loss leaves all bounds long before it is no number, and the first such is named."""
    optimizer = TRAINING.optimizer.model_copy(update={"name": "sgd", "learning_rate": 3000.0, "warmup_steps": 0})
    settings = TRAINING.model_copy(update={"optimizer": optimizer, "batch_size": 2, "freeze_batch_norm": True})
    with pytest.raises(ValueError, match=r"the loss has grown to \S+ at step"):
        run_job(job(settings), Progress())
    named = json.loads(next(Path(".state").rglob("diverged.json")).read_text())["batches"]
    assert 1 <= len(named) < 12
    assert not Path("models/out").exists()


def test_patience_keeps_the_best_weights(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.1, 0.5, 0.4, 0.3, 0.9])
    monkeypatch.setattr(
        "pipeline.learning.training.job.validate", lambda *a, **k: {"val_oks": next(scores), "val_ap": 0.0}
    )
    run_job(job(TRAINING.model_copy(update={"epochs": 9, "validate_every": 1, "patience": 2})), Progress())
    assert curves()["val_oks"].tolist() == [0.1, 0.5, 0.4, 0.3]


def test_stopped_between_validations_it_ends_as_early_and_with_the_same_weights(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {1: 0.1, 2: 0.5, 3: 0.4, 4: 0.3, 5: 0.9}
    settings = TRAINING.model_copy(update={"epochs": 9, "validate_every": 1, "patience": 2})

    def scored(*_: object, **__: object) -> dict[str, float]:
        return {"val_oks": scores[len(trained)], "val_ap": 0.0}

    monkeypatch.setattr("pipeline.learning.training.job.validate", scored)
    finish, trained = engine.Trainer._finish_epoch, list[int]()

    def counted(self: engine.Trainer, *arguments: Any) -> None:
        trained.append(1)
        finish(self, *arguments)
        if stops:
            raise KeyboardInterrupt

    monkeypatch.setattr(engine.Trainer, "_finish_epoch", counted)
    stops = False
    run_job(job(settings), Progress())
    assert len(trained) == 4
    stops = True
    shutil.rmtree(".state")
    trained.clear()
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            run_job(job(settings, output="models/stopped"), Progress())
    run_job(job(settings, output="models/stopped"), Progress())
    assert len(trained) == 4
    whole, stopped = weights(), weights("models/stopped")
    assert all(torch.equal(stopped[name], whole[name]) for name in whole)


def test_clipping_bounds_a_step(workspace: Path) -> None:
    """One plain step of a gradient cut to length c is c times the rate long."""
    optimizer = TRAINING.optimizer.model_copy(
        update={"name": "sgd", "learning_rate": 10.0, "clip_norm": 0.001, "warmup_steps": 0, "milestones": []}
    )
    settings = TRAINING.model_copy(update={"epochs": 1, "batch_size": 24, "optimizer": optimizer, "validate_every": 1})
    run_job(job(settings), Progress())
    torch.manual_seed(settings.seed)
    start = dict(build(MODEL.model_dump(), 17).named_parameters())
    moved = torch.cat([(weights()[name] - start[name].detach()).flatten() for name in start])
    assert moved.norm().item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_step_never_waits_for_the_gpu(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, precision: Literal["float32", "bfloat16", "float16"]
) -> None:
    step, steps = engine.Trainer._step, list[int]()

    def watched(self: engine.Trainer, batch: Batch, *arguments: Any) -> None:
        if len(steps) >= 2:  # libraries set themselves up in the first
            torch.cuda.set_sync_debug_mode("error")
        try:
            step(self, batch.pin_memory(), *arguments)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        steps.append(1)

    monkeypatch.setattr(engine.Trainer, "_step", watched)
    compute = COMPUTE.model_copy(update={"device": "cuda", "precision": precision})
    run_job(job(TRAINING.model_copy(update={"ema": 0.9, "accumulate": 2}), compute), Progress())
    assert len(steps) == 9


def test_a_compiled_step_is_compiled_once(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three epochs of four batches of seven, of 24 people: the last batch is as full as the others."""
    compile_, compiled = torch.compile, CompileCounter()
    monkeypatch.setattr(torch, "compile", lambda module: compile_(module, backend=compiled))
    compute = COMPUTE.model_copy(update={"compile": True})
    run_job(job(TRAINING.model_copy(update={"batch_size": 7, "validate_every": 1}), compute), Progress())
    assert compiled.frame_count == 1


def test_the_average_decays_as_it_says(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights after step n count (1 - d) d^(N - n), those after the first step d^(N - 1)."""
    steps = []
    update = engine.update_average

    def seen(average: AveragedModel, network: torch.nn.Module) -> None:
        steps.append({name: p.detach().clone() for name, p in network.named_parameters()})
        update(average, network)

    monkeypatch.setattr(engine, "update_average", seen)
    run_job(job(TRAINING.model_copy(update={"epochs": 1, "ema": 0.8, "validate_every": 1})), Progress())
    assert len(steps) == 3
    for name, first in steps[0].items():
        expected = 0.64 * first + 0.2 * 0.8 * steps[1][name] + 0.2 * steps[2][name]
        assert torch.allclose(weights()[name], expected, atol=1e-6)


def test_bfloat16_follows_the_curve_and_keeps_the_weights_whole(workspace: Path) -> None:
    """Its eight bits of mantissa are worth 0.4 % each time; the weights stay float32."""
    run_job(job(compute=COMPUTE.model_copy(update={"precision": "bfloat16"})), Progress())
    assert curves()["loss"].tolist() == pytest.approx(GOLDEN["loss"], rel=0.05)
    assert curves()["loss"].tolist() != GOLDEN["loss"]
    assert {value.dtype for value in weights().values()} <= {torch.float32, torch.int64}


def test_letters_are_weighed_by_kind_and_source() -> None:
    columns = {"kind": ["labelled", "labelled", "hard_negative", "pseudo"], "source": ["coco", "aic", "coco", "aic"]}
    table = pa.table({name: pa.array(values).dictionary_encode() for name, values in columns.items()})
    found = row_weights(table, {"A": 0.5, "C": 2.0, "H": 0.25}, ["aic"])
    assert found.tolist() == [2.0, 0.5, 0.25, 1.0]  # U is not named: as every row
    found = row_weights(table, {"C": 2.0, "coco": 3.0}, ["aic"])
    assert found.tolist() == [6.0, 1.0, 3.0, 1.0]


def test_accumulating_two_batches_is_one_of_twice_the_size(workspace: Path) -> None:
    plain = TRAINING.model_copy(update={"epochs": 1, "freeze_batch_norm": True, "batch_size": 12, "validate_every": 1})
    run_job(job(plain), Progress())
    halves = plain.model_copy(update={"batch_size": 6, "accumulate": 2})
    run_job(job(halves, output="models/halves"), Progress())
    one, other = weights(), weights("models/halves")
    assert all(torch.allclose(one[name].float(), other[name].float(), atol=2e-5) for name in one)


@pytest.mark.slow
def test_two_processes_follow_the_curve_of_one_with_twice_the_batch(workspace: Path) -> None:
    frozen = TRAINING.model_copy(update={"freeze_batch_norm": True})
    run_job(job(frozen), Progress())
    single = curves()
    half = frozen.model_copy(update={"batch_size": 4})
    run_job(job(half, COMPUTE.model_copy(update={"processes": 2}), output="models/two"), Progress())
    assert curves()["loss"].tolist() == pytest.approx(single["loss"].tolist(), rel=1e-4)


_ON_A_MACHINE = """
from pipeline.progress import Progress
from pipeline.learning.training.job import row_weights, run_job
from tests.pipeline.learning.training.conftest import COMPUTE, MODEL, TRAINING, job
frozen = TRAINING.model_copy(update={"freeze_batch_norm": True, "batch_size": 4})
run_job(job(frozen, COMPUTE.model_copy(update={"processes": 2}), output="models/two"), Progress())
"""


@pytest.mark.slow
def test_two_machines_follow_the_curve_of_one_with_twice_the_batch(workspace: Path) -> None:
    """Two torchrun agents, one process each, that find each other as on a cluster."""
    run_job(job(TRAINING.model_copy(update={"freeze_batch_norm": True})), Progress())
    single = curves()
    Path("train.py").write_text(_ON_A_MACHINE)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    command += [
        "--local-addr",
        "localhost",
        "--rdzv-backend",
        "c10d",
        "--rdzv-endpoint",
        f"localhost:{port}",
        "train.py",
    ]
    surroundings = os.environ | {"PYTHONPATH": str(Path(__file__).parents[4]), "OMP_NUM_THREADS": "1"}
    machines = [subprocess.Popen(command, env=surroundings) for _ in range(2)]
    assert [machine.wait() for machine in machines] == [0, 0]
    assert curves()["loss"].tolist() == pytest.approx(single["loss"].tolist(), rel=1e-4)


def test_torchrun_must_start_as_many_processes_as_params_say(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "16")
    with pytest.raises(ValueError, match=r"compute\.processes = 1, but torchrun has started 16 processes"):
        run_job(job(), Progress())


def test_one_sample_a_batch_is_named_with_its_remedy(workspace: Path) -> None:
    """A channel's only value has no variance; frozen statistics need none."""
    with pytest.raises(ValueError, match=r"batch_size = 1: .*allowed: 2 or more, or freeze_batch_norm: true"):
        run_job(job(TRAINING.model_copy(update={"batch_size": 1})), Progress())
    frozen = {"batch_size": 1, "freeze_batch_norm": True, "epochs": 1, "validate_every": 1}
    run_job(job(TRAINING.model_copy(update=frozen)), Progress())


def test_a_validation_set_without_keypoints_stops_before_training(workspace: Path) -> None:
    table = read_table("people.parquet", "instances")
    nobody = {name: table[name] for name in table.column_names}
    nobody["keypoints"] = np.zeros((table.num_rows, 51), np.float32)
    write_table("nobody.parquet", table_from("instances", nobody, table_info(table)))
    with pytest.raises(ValueError, match=r"^nobody\.parquet: none of 24 people has a labelled keypoint of coco"):
        run_job(replace(job(), validation=(Path("nobody.parquet"),)), Progress())


@pytest.mark.slow
def test_what_one_of_two_processes_refuses_is_said_as_one_does(workspace: Path) -> None:
    """The launcher's own report is a traceback of each process."""
    reckless = TRAINING.model_copy(
        update={"optimizer": TRAINING.optimizer.model_copy(update={"learning_rate": 1e9, "warmup_steps": 0})}
    )
    with pytest.raises(ValueError, match=r"^the loss (is no number|has grown)"):
        run_job(job(reckless, COMPUTE.model_copy(update={"processes": 2})), Progress())
