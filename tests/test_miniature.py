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

from pipeline.settings.profile import profile_text
from pipeline.settings.reading import load_yaml

ROOT = Path(__file__).parent.parent
TINY_MODEL = {
    "backbone": "mobilenetv3_small_050",
    "weights": "none",
    "trainable_layers": None,
    "input_size": [64, 64],
    "mixers": [16, 16],
}
TINY_TRAINING = {"epochs": 1, "samples_per_epoch": 32, "validate_every": 1}


def miniature(profile: str = "built-in") -> dict[str, Any]:
    """A profile, shrunk to seconds a stage."""
    params: dict[str, Any] = load_yaml(profile_text(profile), profile)
    sizes = {"train_images": 24, "val_images": 10, "external_images": 10, "unlabeled_images": 10}
    params["synthesize"]["built-in"] |= sizes | {"image_size": [120, 160]}
    return shrunk(params)


def shrunk(params: dict[str, Any]) -> dict[str, Any]:
    """Params with networks and trainings of seconds; the data stay."""
    for network in params["models"].values():
        detector = network["architecture"] == "mask_rcnn"
        network |= {"min_size": 64, "max_size": 96} if detector else TINY_MODEL
    for detector in params["train_detector"]["models"].values():
        detector |= {"epochs": 1, "validate_every": 1}
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

    def __init__(self, folder: Path, params: dict[str, Any] | None = None) -> None:
        self.folder = folder
        files = self._git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
        for name in filter(None, files):
            if (ROOT / name).is_file() and not name.startswith("tests/") and name != "dvc.lock":
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        for kernel in [*ROOT.glob("postproc/**/*.nb[ci]"), *ROOT.glob("pipeline/**/*.nb[ci]")]:
            (folder / kernel.relative_to(ROOT)).parent.mkdir(exist_ok=True)  # as compiled here before
            shutil.copy2(kernel, folder / kernel.relative_to(ROOT))
        with (folder / "params.yaml").open("w") as file:
            YAML().dump(miniature() if params is None else params, file)
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
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # each stage would compile the whole clone
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


@pytest.mark.slow
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
    shown = workspace.run("dvc", "metrics", "show").splitlines()
    assert max(map(len, shown)) <= 220
    assert len(shown) <= 20
    assert "val.detected.AP" in shown[0]
    said = workspace.run("dvc", "params", "diff")
    assert "mine_hard_negatives.score_threshold" in said
    workspace.run("dvc", "metrics", "diff")
    assert "index.html" in workspace.run("dvc", "plots", "show")
    workspace.commit("another threshold")


def stale(workspace: Workspace) -> dict[str, set[str]]:
    """Which stages `dvc status` calls changed by themselves, by the key of the params that has."""
    found: dict[str, set[str]] = {}
    stage = file = ""
    for line in workspace.run("dvc", "status").splitlines():
        if line and not line[0].isspace():
            stage = line.rstrip(":")
        elif line.endswith(":"):
            file = line.strip()
        elif file == "params.yaml:":
            found.setdefault(line.split()[-1], set()).add(stage)
    return found


def test_an_edit_makes_stale_what_it_decides(workspace: Workspace) -> None:
    before = (workspace.folder / "params.yaml").read_text()
    workspace.edit("rotation: 30.0", "rotation: 31.0")
    workspace.edit("  model: lite0\n  epochs: 1", "  model: lite0\n  epochs: 2")
    workspace.edit(
        "    person:\n      model: person_rcnn\n      seed: 0", "    person:\n      model: person_rcnn\n      seed: 1"
    )
    try:
        assert stale(workspace) == {
            "training": {"train_teachers@lite0", "train_teachers@lite1", "train_joint@ACHU-CH", "fine_tune@ACHU-CH"},
            "train_joint": {"train_joint@ACHU-CH"},
            "train_detector.models.person": {"train_detector@person"},
        }
    finally:
        (workspace.folder / "params.yaml").write_text(before)


def test_a_new_keypoint_set_makes_nothing_stale(workspace: Workspace) -> None:
    path = workspace.folder / "pipeline/keypoint_sets/bird.yaml"
    path.write_text("names: [beak, tail]\n")
    try:
        assert "up to date" in workspace.run("dvc", "status")
    finally:
        path.unlink()


@pytest.mark.slow
def test_leftovers_make_nothing_stale(workspace: Workspace) -> None:
    """A source and a strategy come and go: what they made is named, removed by a command, and never counted."""
    before = (workspace.folder / "params.yaml").read_text()
    lock = (workspace.folder / "dvc.lock").read_text()
    params = load_yaml(before, "params.yaml")
    params["data"]["sources"]["extra"] = dict(params["data"]["sources"]["external"])
    params["align_labels"]["sources"].append("extra")
    params["strategies"].append("C-C")
    with (workspace.folder / "params.yaml").open("w") as file:
        YAML().dump(params, file)
    workspace.run("dvc", "repro")
    (workspace.folder / "params.yaml").write_text(before)
    said = workspace.run("dvc", "repro")
    assert not any(f"Running stage '{stage}" in said for stage in ("train_joint", "fine_tune", "evaluate@"))
    assert (workspace.folder / "models/final/C-C").is_dir()
    assert "up to date" in workspace.run("dvc", "status")
    locks = [load_yaml(text, "dvc.lock")["stages"] for text in (lock, (workspace.folder / "dvc.lock").read_text())]
    for name, entry in locks[0].items():  # DVC keeps the entries of stages that are no more; the others know nothing
        assert locks[1][name] == entry, f"{name}: the lock speaks of what is no more"
    workspace.run("git", "checkout", "params.yaml", "dvc.lock")
    workspace.run("dvc", "checkout")
    assert not (workspace.folder / "models/final/C-C").exists()
    assert "up to date" in workspace.run("dvc", "status")


@pytest.mark.slow
def test_artefacts_travel_through_a_remote(workspace: Workspace, tmp_path: Path) -> None:
    workspace.run("dvc", "remote", "add", "-f", "-d", "store", str(tmp_path / "store"))
    workspace.run("dvc", "push")
    shutil.rmtree(workspace.folder / "models")
    shutil.rmtree(workspace.folder / ".dvc/cache")
    workspace.run("dvc", "pull")
    assert (workspace.folder / "models/final/ACHU-CH/model.safetensors").is_file()
    assert "Running stage" not in workspace.run("dvc", "repro")


@pytest.mark.slow
def test_an_experiment_runs_beside_the_workspace(workspace: Workspace) -> None:
    said = workspace.run("dvc", "exp", "run", "-S", "report.pictures=1")
    assert "report" in said
    assert "mine_hard_negatives" not in "".join(line for line in said.splitlines() if line.startswith("Running stage"))
    assert "report.pictures" in workspace.run("dvc", "exp", "show", "--no-pager", "--csv")
