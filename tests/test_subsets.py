"""Any subset of the recipe in miniature: what the strategies name runs to the report, and no more than that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.test_miniature import Workspace, miniature

pytestmark = pytest.mark.slow


def without(params: dict[str, Any], letters: str) -> dict[str, Any]:
    """Params that make none of these letters."""
    emptied = {"A": "align_labels", "H": "mine_hard_negatives", "U": "pseudo_label"}
    for letter in letters:
        params[emptied[letter]]["sources"] = []
    if "U" in letters:
        params["train_teachers"]["models"] = {}
        del params["data"]["sources"]["unlabeled"], params["detect_people"]["sources"]["unlabeled"]
    if "H" in letters:
        del params["detect_people"]["sources"]["train"]
    if "A" in letters:
        del params["data"]["sources"]["external"]
    return params


def ran(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def test_labelled_data_alone(tmp_path: Path) -> None:
    """No detector, no teachers, no external set: the fewest stages there are."""
    made = Workspace(tmp_path, miniature("labelled-only"))
    stages = [
        "synthesize@built-in",
        "ingest@train",
        "ingest@val",
        "gather",
        "compose_sets@C-C",
        "train_joint@C-C",
        "fine_tune@C-C",
        "evaluate@C-C",
        "ablate_postprocessing@C-C",
        "benchmark",
        "compare_strategies",
        "report",
    ]
    output = made.run("dvc", "repro")
    assert sorted(ran(output)) == sorted(stages)
    assert "for nothing" not in output
    assert "C→C" in (tmp_path / "reports/report.html").read_text()
    assert "up to date" in made.run("dvc", "status")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("subsets"))


@pytest.mark.parametrize(
    ("strategy", "letters"), [("A-C", "HU"), ("AC-C", "HU"), ("ACH-CH", "U"), ("CU-C", "AH"), ("CH-C", "AU")]
)
def test_each_strategy_alone(workspace: Workspace, strategy: str, letters: str) -> None:
    params = without(miniature(), letters)
    params["strategies"] = [strategy]
    with (workspace.folder / "params.yaml").open("w") as file:
        YAML().dump(params, file)
    output = workspace.run("dvc", "repro")
    stages = {stage.split("@")[0] for stage in ran(output)}
    wanted = {"A": "align_labels", "H": "mine_hard_negatives", "U": "pseudo_label"}
    assert not stages & {wanted[letter] for letter in letters}
    assert ("train_teachers" in stages) == ("U" in strategy)
    assert "for nothing" not in output
    assert (workspace.folder / f"models/final/{strategy}/card.json").is_file()
    assert strategy.replace("-", "→") in (workspace.folder / "reports/report.html").read_text()
    assert "up to date" in workspace.run("dvc", "status")
