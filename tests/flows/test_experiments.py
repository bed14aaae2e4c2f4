"""Grids of experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.experiments import experiment_runs, grid, override, reach_outside, split_values
from tests.flows.conftest import Workspace


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1,2,3", ["1", "2", "3"]),
        ("[A-C, C-C],[ACHU-CH]", ["[A-C, C-C]", "[ACHU-CH]"]),
        ("'a,b',c", ["'a,b'", "c"]),
        ("{C: 1, H: 2}", ["{C: 1, H: 2}"]),
    ],
)
def test_values_are_split_outside_of_brackets(text: str, values: list[str]) -> None:
    assert split_values(text) == values


def test_a_grid_is_every_combination() -> None:
    assert grid(["a=1,2", "b=x,y"]) == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]


def test_keys_joined_by_commas_go_together() -> None:
    assert grid(["a.seed, b.seed=0,1", "c=x"]) == [
        {"a.seed": 0, "b.seed": 0, "c": "x"},
        {"a.seed": 1, "b.seed": 1, "c": "x"},
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("none", "none"),
        ("ACHU-CH", "'ACHU-CH'"),
        (["ACHU-CH", "C-C"], "['ACHU-CH','C-C']"),
        ({"C": 1.0, "H": 2.5}, "{C:1.0,H:2.5}"),
        (None, "null"),
        (True, "true"),
        (1e-4, "0.0001"),
    ],
)
def test_overrides_in_the_grammar_of_dvc(value: Any, text: str) -> None:
    assert override(value) == text


def test_copies_of_the_workspace_reach_the_data_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = tmp_path / "project"
    (tmp_path / "shared/coco").mkdir(parents=True)
    (tmp_path / "shared/coco/index.json").write_text("{}")
    (workspace / ".dvc/tmp/exps/copy").mkdir(parents=True)
    (workspace / ".dvc/tmp/exps/cache").mkdir()
    monkeypatch.chdir(workspace)
    params = {"data": {"sources": {"train": {"index": "../shared/coco/index.json", "images": "data/coco"}}}}
    for _ in range(2):
        reach_outside(params)
    assert (workspace / ".dvc/tmp/exps/copy/../shared/coco/index.json").read_text() == "{}"
    with pytest.raises(ValueError, match="absolute path"):
        reach_outside({"weights": ["../cache/model.pth"]})


@pytest.mark.slow
def test_a_grid_runs_and_is_compared(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace.track().commit()
    before = Path(workspace.folder / "params.yaml").read_text()
    output = workspace.ccm("exp", "grid", "-S", "train_joint.epochs=0,2", code=2)
    assert "train_joint.epochs = 0" in output

    settings = ["-S", "train_joint.epochs=2,3", "-S", "strategies=[ACHU-CH]"]
    output = workspace.ccm("exp", "grid", *settings, "--jobs", "2")
    assert "train_joint.epochs" in output
    assert Path(workspace.folder / "params.yaml").read_text() == before
    monkeypatch.chdir(workspace.folder)
    found = experiment_runs()
    assert {run.param("train_joint.training.epochs") for run in found} == {2, 3}
    assert {tuple(run.param("strategies")) for run in found} == {("ACHU-CH",)}
    assert not any(run.pending for run in found)
    # What a killed experiment goes on from is the project's, not that of its copy, which is gone.
    assert {path.name for path in workspace.folder.glob(".state/training/fake_quick/*")} == {"2", "3"}
