"""A run is known by everything that decides its result, and by nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import save_file

from pipeline.learning.training import state
from pipeline.learning.training.job import TrainingJob, run_job
from pipeline.progress import Progress
from pipeline.records import code
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import read_table, table_from, table_info, write_table
from tests.pipeline.learning.training.conftest import COMPUTE, TRAINING, job

MODULE = "pipeline.learning.training.job"


def identity(of: TrainingJob) -> str:
    return state.fingerprint(of.settings(), of.inputs(), MODULE)


def rewritten(path: Path, **changes: object) -> None:
    """Write a table again with another keypoint set, its rows as they were."""
    table = read_table(path, "instances")
    info = table_info(table)
    keypoints = replace(info.keypoint_set, **changes)
    columns = {name: table[name] for name in table.column_names}
    write_table(path, table_from("instances", columns, replace(info, keypoints=keypoints)))


def test_the_same_is_the_same(workspace: Path) -> None:
    before = identity(job())
    rewritten(Path("people.parquet"))
    assert identity(job()) == before
    assert identity(replace(job(), output=Path("elsewhere"), item="another")) == before


def test_how_fast_it_is_computed_is_no_part_of_it(workspace: Path) -> None:
    faster = COMPUTE.model_copy(update={"workers": 3, "compile": True})
    assert identity(job(compute=faster)) == identity(job())


@pytest.mark.parametrize(
    "changed",
    [
        TRAINING.model_copy(update={"seed": 1}),
        TRAINING.model_copy(update={"sigma": 1.6}),
        TRAINING.model_copy(update={"augmentation": TRAINING.augmentation.model_copy(update={"rotation": 21.0})}),
        TRAINING.model_copy(update={"optimizer": TRAINING.optimizer.model_copy(update={"factor": 0.2})}),
    ],
)
def test_a_changed_param_is_another_run(workspace: Path, changed: object) -> None:
    assert identity(job(changed)) != identity(job())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"sigmas": (0.05,) * 17},
        {"flip_pairs": ()},
        {"upper_body": ("nose",)},
        {"flip_pairs": (("left_eye", "right_ear"), ("left_ear", "right_eye"))},
    ],
)
def test_a_changed_keypoint_set_is_another_run(workspace: Path, change: dict[str, object]) -> None:
    """A mended mirror pair once gave the old, wrong model again: `trained before ...: taking it`."""
    before = identity(job())
    rewritten(Path("people.parquet"), **change)
    assert identity(job()) != before


def test_a_changed_row_is_another_run(workspace: Path) -> None:
    before = identity(job())
    table = read_table("people.parquet", "instances")
    write_table("people.parquet", table.slice(1))
    assert identity(job()) != before


def test_other_weights_are_another_run(workspace: Path) -> None:
    import torch

    def with_weights(value: float) -> TrainingJob:
        save_file({"a": torch.full((1,), value)}, "weights.safetensors")
        return replace(job(), model=job().model.model_copy(update={"weights": "weights.safetensors"}))

    assert identity(with_weights(0.0)) != identity(with_weights(1.0))


@pytest.mark.parametrize(
    ("file", "matters"),
    [
        ("pipeline/learning/training/engine.py", True),
        ("pipeline/learning/data/augmentation.py", True),
        ("pipeline/records/images.py", True),
        ("pipeline/records/alignment.py", True),
        ("model/losses.py", True),
        ("postproc/kernels.py", True),
        ("pipeline/settings/checks.py", False),
        ("pipeline/report/page.py", False),
        ("pipeline/progress.py", False),
    ],
)
def test_the_code_that_decides_belongs_to_it(
    file: str, matters: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edit in a copy of the project, of each kind of file."""
    import shutil

    for room in code.ROOMS:
        shutil.copytree(code.ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "ROOT", tmp_path)
    before = code.code_hash.__wrapped__(MODULE)
    with (tmp_path / file).open("a") as edited:
        edited.write("# an edit\n")
    assert (code.code_hash.__wrapped__(MODULE) != before) == matters


def test_a_mended_keypoint_set_trains_anew(workspace: Path) -> None:
    said: list[str] = []

    class Listening(Progress):
        def say(self, message: str) -> None:
            said.append(message)

    short = TRAINING.model_copy(update={"epochs": 1, "validate_every": 1})
    run_job(job(short), Listening())
    run_job(job(short), Listening())
    assert sum("trained before" in line for line in said) == 1
    rewritten(Path("people.parquet"), flip_pairs=load_keypoint_set("coco").flip_pairs[:-1])
    run_job(job(short), Listening())
    assert sum("trained before" in line for line in said) == 1
