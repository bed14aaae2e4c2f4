"""From somebody's own files to params that run, with no line written by hand; tests.journeys go on to the report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.settings.profile import profile_text
from pipeline.settings.reading import load_yaml
from tests.test_miniature import Workspace

SHARED = Path(os.environ.get("CCM_SHARED", Path(__file__).resolve().parents[2] / "shared"))
OWN, REAL = SHARED / "cases/own-data", SHARED / "real"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not OWN.is_dir(), reason="people's own sets (../shared/cases/own-data) are not here"),
]


def project(folder: Path, *given: str) -> tuple[dict[str, Any], str, Workspace]:
    """A project that `ccm init` was run in: its params, what was said, and itself."""
    made = Workspace(folder, load_yaml(profile_text("built-in"), "built-in"))
    said = made.run("ccm", "init", *given)
    return load_yaml((folder / "params.yaml").read_text(), "params.yaml"), said, made


@pytest.mark.parametrize(
    ("data", "keypoints", "names", "validated"),
    [
        (REAL / "coco", "coco", 17, "person_keypoints_val2017.json"),
        (REAL / "lspe", "lspe", 14, "keypoints_val.json"),
        (OWN / "animals", "ap10k", 17, "splits/val.txt"),
        (OWN / "cvat", "walker", 5, "splits/val.txt"),
        (OWN / "yolo-pose", "coco", 17, "val"),
        (OWN / "wholebody", "wholebody", 133, "splits/val.txt"),
    ],
)
def test_init_gives_params_that_are_valid(
    tmp_path: Path, data: Path, keypoints: str, names: int, validated: str
) -> None:
    params, said, made = project(tmp_path, "--labelled", str(data))
    assert params["data"]["keypoints"] == keypoints
    keypoint_set = load_yaml((tmp_path / f"pipeline/keypoint_sets/{keypoints}.yaml").read_text(), keypoints)
    assert len(keypoint_set["names"]) == names
    val = params["data"]["sources"][params["data"]["validation"]]
    assert validated in (Path(val["index"]).name, val.get("only"))
    assert f"params.yaml: ok (profile own-{keypoints}" in made.run("ccm", "params")
    assert "0 errors" in made.run("ccm", "data", "check")
    assert "are guessed" not in said  # each name is one of a published set


def test_two_sets_and_unlabelled_pictures(tmp_path: Path) -> None:
    params, _, made = project(
        tmp_path, "--labelled", str(REAL / "coco"), str(OWN / "cvat"), "--unlabelled", str(REAL / "lspe/unlabeled"),
        "--external", str(REAL / "lspe/annotations/keypoints_train.json"),
    )  # fmt: skip
    assert params["data"]["labelled"] == ["person-keypoints-train2017", "person-keypoints-default"]
    assert params["data"]["sources"]["person-keypoints-default"]["keypoints"] == "walker"
    assert params["strategies"] == ["ACHU-CH"]
    assert "profile own-coco" in made.run("ccm", "params")


def test_edits_that_stand_nowhere_else_are_kept(tmp_path: Path) -> None:
    made = Workspace(tmp_path, load_yaml(profile_text("built-in"), "built-in"))
    made.edit("seed: 0", "seed: 7")
    edited = (tmp_path / "params.yaml").read_text()
    said = made.run("ccm", "init", "--labelled", str(OWN / "cvat"))
    assert "kept as params.yaml.before-init-1" in said
    assert (tmp_path / "params.yaml.before-init-1").read_text() == edited
    made.commit("own data")
    assert "kept as" not in made.run("ccm", "init", "--labelled", str(OWN / "cvat"))


def test_nothing_is_asked_where_nobody_is_there_to_answer(tmp_path: Path) -> None:
    made = Workspace(tmp_path)
    before = (tmp_path / "params.yaml").read_text()
    assert "--labelled: name at least one annotation file" in made.run("ccm", "init", fails=True)
    said = made.run("ccm", "init", "--labelled", "gone.json", fails=True)
    assert "gone.json: no such file or folder" in said
    assert "Traceback" not in said
    assert (tmp_path / "params.yaml").read_text() == before
