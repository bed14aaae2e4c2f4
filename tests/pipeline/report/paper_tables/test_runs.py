"""Which of an experiment's figures are its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.report.paper_tables.runs import outdated


def entry(deps: list[str], outs: list[str], **used: Any) -> dict[str, Any]:
    params = {path.replace("__", "."): value for path, value in used.items()}
    return {
        "deps": [{"path": path} for path in deps],
        "outs": [{"path": path} for path in outs],
        "params": {"params.yaml": params},
    }


STAGES = {
    "evaluate@AC-C": entry(["models/AC-C"], ["data/figures/evaluate/AC-C.json"], evaluate__sets=["val"]),
    "train_joint@AC-C": entry(["data/sets"], ["models/AC-C"], train_joint={"epochs": 6}, training__sigma=1.0),
    "train_joint@ACH-CH": entry(["data/sets"], ["models/ACH-CH"], train_joint={"epochs": 6, "seed": 1}),
    "compose_sets": entry([], ["data/sets/all.parquet"], strategies=["AC-C", "ACH-CH"], align_labels__left_out=None),
    "evaluate@ACH-CH": entry(["models/ACH-CH"], ["data/figures/evaluate/ACH-CH.json"], evaluate__sets=["val"]),
}
VALUES: dict[str, Any] = {
    "train_joint": {"epochs": 6, "seed": 1},
    "training": {"sigma": 1.0},
    "evaluate": {"sets": ["val"]},
    "strategies": ["AC-C", "ACH-CH"],
    "align_labels": {},
}


def test_what_ran_with_other_params_is_not_the_experiments() -> None:
    """`ccm exp grid evaluate@ACH-CH -S train_joint.seed=1` leaves AC-C's model of seed 0 where it was."""
    assert outdated(VALUES, STAGES) == {Path("models/AC-C"), Path("data/figures/evaluate/AC-C.json")}


def test_all_that_came_of_it_is_old_too() -> None:
    assert len(outdated(VALUES | {"strategies": ["C-C"]}, STAGES)) == 5
    assert outdated(VALUES | {"train_joint": {"epochs": 6}}, STAGES) == {
        Path("models/ACH-CH"),
        Path("data/figures/evaluate/ACH-CH.json"),
    }
    assert not outdated({}, {})
