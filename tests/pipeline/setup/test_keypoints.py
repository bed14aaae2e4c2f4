"""The keypoint set that a file's own names and limbs come to."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.records.keypoints import BUILT_IN, load_keypoint_set
from pipeline.setup.keypoints import OwnSet, own_set


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "coco.yaml").write_text((BUILT_IN / "coco.yaml").read_text())
    return tmp_path


def written(made: OwnSet, folder: Path) -> Path:
    assert made.text is not None
    path = folder / f"{made.name}.yaml"
    path.write_text(made.text)
    return path


def test_a_set_that_is_there_is_taken(folder: Path) -> None:
    coco = load_keypoint_set("coco")
    made = own_set("people", coco.names, [], "x.json", folder)
    assert (made.name, made.text) == ("coco", None)


def test_sigmas_of_known_names_are_theirs_and_others_are_guessed_aloud(folder: Path) -> None:
    names = ["nose", "LeftElbow", "RightElbow", "left_wing", "right_wing", "left_claw", "spot"]
    made = own_set("bird", names, [("nose", "spot")], "x.json", folder)
    found = load_keypoint_set(str(written(made, folder)))
    coco = dict(zip(load_keypoint_set("coco").names, load_keypoint_set("coco").sigmas or (), strict=True))
    assert found.sigmas is not None
    assert found.sigmas[:3] == (coco["nose"], coco["left_elbow"], coco["right_elbow"])
    assert found.flip_pairs == (("LeftElbow", "RightElbow"), ("left_wing", "right_wing"))
    assert found.limbs == (("nose", "spot"),)
    notes = " ".join(made.notes)
    assert "left_wing, right_wing, left_claw, spot are guessed" in notes
    assert "warning: left_claw: a side without its counterpart" in notes


def test_a_guess_is_no_source_for_the_next_set(folder: Path) -> None:
    written(own_set("bird", ["beak", "tail"], [], "x.json", folder), folder)
    made = own_set("bird", ["tail", "beak"], [], "x.json", folder)
    assert made.name == "bird-2"
    assert "tail, beak are guessed" in " ".join(made.notes)
