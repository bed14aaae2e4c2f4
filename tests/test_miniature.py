"""The whole recipe in miniature, in a throw-away repository: what a user does with DVC, and what it promises."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
TINY_MODEL = {"backbone": "mobilenetv3_small_050", "weights": "none", "input_size": [64, 64], "mixers": [16, 16]}
TINY_TRAINING = {"epochs": 1, "samples_per_epoch": 32, "validate_every": 1}


def miniature() -> dict[str, Any]:
    """The built-in profile, shrunk to seconds a stage."""
    params: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "pipeline/profiles/built-in.yaml").read_text())
    sizes = {"train_images": 24, "val_images": 10, "external_images": 10, "unlabeled_images": 10}
    params["synthesize"]["built-in"] |= sizes | {"image_size": [120, 160]}
    params["models"]["person_rcnn"] |= {"min_size": 64, "max_size": 96}
    params["train_detector"]["models"]["person"] |= {"epochs": 1, "validate_every": 1}
    for name in ("lite0", "lite1"):
        params["models"][name] |= TINY_MODEL
    params["training"] |= {"batch_size": 8}
    params["training"]["optimizer"]["warmup_steps"] = 0
    for section in (params["train_teachers"]["training"], params["train_joint"], params["fine_tune"]):
        section |= TINY_TRAINING
    params["pseudo_label"] |= {"keypoint_threshold": 0.0, "min_keypoints": 1}
    params["evaluate"]["bootstrap"] = 20
    params["benchmark"] = {"people": 2, "repeats": 1}
    params["report"]["pictures"] = 2
    return params


class Workspace:
    """A clone of the project with its own DVC cache, and the commands a user types."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = self._git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
        for name in filter(None, files):
            if (ROOT / name).is_file() and not name.startswith("tests/") and name != "dvc.lock":
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        with (folder / "params.yaml").open("w") as file:
            YAML().dump(miniature(), file)
        self._git("init", "-q", cwd=folder)
        self._git("config", "user.email", "test@example.invalid", cwd=folder)
        self._git("config", "user.name", "test", cwd=folder)
        self.commit("miniature")

    @staticmethod
    def _git(*arguments: str, cwd: Path) -> str:
        return subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout

    def commit(self, message: str) -> None:
        self._git("add", "-A", cwd=self.folder)
        self._git("commit", "-q", "-m", message, cwd=self.folder)

    def run(self, *command: str, fails: bool = False) -> str:
        """Run a command of the environment's; the output of both streams."""
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder),
            "OMP_NUM_THREADS": "1",
            "HOME": str(self.folder / "home"),
        }
        environment.pop("PREFECT_API_URL", None)
        done = subprocess.run(
            command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert (done.returncode != 0) == fails, f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-6000:]}"
        return done.stdout

    def edit(self, old: str, new: str) -> None:
        path = self.folder / "params.yaml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = Workspace(tmp_path_factory.mktemp("miniature"))
    made.run("dvc", "repro")
    made.commit("first run")
    return made


pytestmark = pytest.mark.slow


def test_the_recipe_runs_to_the_report(workspace: Workspace) -> None:
    page = (workspace.folder / "reports/report.html").read_text()
    assert "<html" in page
    assert "ACHU→CH" in page
    for name in ("data/sets/H/train.parquet", "data/sets/U/unlabeled.parquet", "models/final/ACHU-CH/card.json"):
        assert (workspace.folder / name).is_file()


def test_a_second_run_does_nothing(workspace: Workspace) -> None:
    said = workspace.run("dvc", "repro")
    assert "Running stage" not in said
    assert "up to date" in said


def test_an_edit_reruns_what_depends_on_it_and_nothing_else(workspace: Workspace) -> None:
    workspace.edit("score_threshold: 0.5", "score_threshold: 0.99")
    assert "mine_hard_negatives@train" in workspace.run("dvc", "status")
    said = workspace.run("dvc", "repro")
    ran = {line.split("'")[1].split("@")[0] for line in said.splitlines() if line.startswith("Running stage")}
    assert "mine_hard_negatives" in ran
    after_mining = {
        "compose_sets",
        "train_joint",
        "fine_tune",
        "evaluate",
        "compare_strategies",
        "ablate_postprocessing",
        "benchmark",
        "report",
    }
    assert ran <= after_mining | {"mine_hard_negatives"}
    said = workspace.run("dvc", "params", "diff")
    assert "mine_hard_negatives.score_threshold" in said
    workspace.run("dvc", "metrics", "diff")
    assert "index.html" in workspace.run("dvc", "plots", "show")
    workspace.commit("another threshold")


def test_artefacts_travel_through_a_remote(workspace: Workspace, tmp_path: Path) -> None:
    workspace.run("dvc", "remote", "add", "-f", "-d", "store", str(tmp_path / "store"))
    workspace.run("dvc", "push")
    shutil.rmtree(workspace.folder / "models")
    shutil.rmtree(workspace.folder / ".dvc/cache")
    workspace.run("dvc", "pull")
    assert (workspace.folder / "models/final/ACHU-CH/model.safetensors").is_file()
    assert "Running stage" not in workspace.run("dvc", "repro")


def test_an_experiment_runs_beside_the_workspace(workspace: Workspace) -> None:
    said = workspace.run("dvc", "exp", "run", "-S", "report.pictures=1")
    assert "report" in said
    assert "mine_hard_negatives" not in "".join(line for line in said.splitlines() if line.startswith("Running stage"))
    assert "report.pictures" in workspace.run("dvc", "exp", "show", "--no-pager", "--csv")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("nms_threshold: 0.5", "nms_threshold: 2", "detect_people.nms_threshold = 2"),
        ("bootstrap:", "bootstrp:", "evaluate.bootstrp"),
        ("train_images: 24", "train_images: many", "synthesize.built-in.train_images = 'many'"),
    ],
)
def test_a_wrong_param_stops_before_any_stage_works(workspace: Workspace, old: str, new: str, said: str) -> None:
    workspace.edit(old, new)
    try:
        assert said in workspace.run("ccm", "stage", "report", fails=True)
        assert said in workspace.run("ccm", "params", fails=True)
    finally:
        workspace.edit(new, old)


def test_a_missing_data_set_says_which_file_was_expected(workspace: Workspace) -> None:
    workspace.edit("person_keypoints_val2017.json", "person_keypoints_gone.json")
    try:
        said = workspace.run("ccm", "stage", "ingest", "val", fails=True)
        assert "person_keypoints_gone.json" in said
        assert "Traceback" not in said
    finally:
        workspace.edit("person_keypoints_gone.json", "person_keypoints_val2017.json")
