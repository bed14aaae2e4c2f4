"""Keypoint sets that are well-formed and wrong, and the built-in ones, which are neither."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.records import keypoints as records
from pipeline.records.keypoints import KeypointSet, load_keypoint_set
from pipeline.sources import odd_sets
from pipeline.sources.odd_sets import set_oddities

COCO = load_keypoint_set("coco")
SIGMAS = COCO.sigmas or ()


def warnings(**changes: Any) -> list[str]:
    parts = COCO.as_dict()
    values = {key: tuple(map(tuple, parts[key])) for key in ("flip_pairs", "limbs")}
    values |= {"names": COCO.names, "sigmas": COCO.sigmas, "upper_body": COCO.upper_body} | changes
    return set_oddities(KeypointSet("own", **values))


@pytest.mark.parametrize("path", sorted(records.BUILT_IN.glob("*.yaml")), ids=lambda path: path.stem)
def test_built_in_sets_are_not_odd(path: Path):
    assert not set_oddities(load_keypoint_set(path.stem))


def test_pairs_missing():
    (none,) = warnings(flip_pairs=())
    assert "flip_pairs lacks [left_eye, right_eye] and 7 more" in none
    (one,) = warnings(flip_pairs=COCO.flip_pairs[:-1])
    assert "flip_pairs lacks [left_ankle, right_ankle]: mirrored pictures would teach the left as the right" in one


def test_pairs_exchanged():
    pairs = (("left_eye", "right_ear"), ("left_ear", "right_eye"), *COCO.flip_pairs[2:])
    (exchanged,) = warnings(flip_pairs=pairs)
    assert "flip_pairs has [left_eye, right_ear]; by its name left_eye belongs to [left_eye, right_eye]" in exchanged


@pytest.mark.parametrize("factor", [0.1, 10])
def test_sigmas_ten_times_off(factor: float):
    (sigmas,) = warnings(sigmas=tuple(factor * sigma for sigma in SIGMAS))
    assert "the sigmas of 17 keypoints are far from the published ones: nose" in sigmas
    (one,) = warnings(sigmas=(*SIGMAS[:-1], factor * SIGMAS[-1]))
    assert "the sigmas of 1 keypoints are far from the published ones: right_ankle" in one


def test_sigmas_of_names_that_nobody_published():
    names = ("tip", "left_wing", "right_wing")
    own = {"names": names, "flip_pairs": (("left_wing", "right_wing"),), "limbs": (), "upper_body": ()}
    assert not warnings(**own, sigmas=(0.03, 0.05, 0.05))
    (pair,) = warnings(**own, sigmas=(0.03, 0.05, 0.005))
    assert "sigmas of a mirror pair are far apart: left_wing = 0.05, right_wing = 0.005" in pair
    (all_of_them,) = warnings(**own, sigmas=(0.003, 0.005, 0.005))
    assert "sigmas are 0.005 in the middle" in all_of_them


@pytest.mark.parametrize("name", ["own", "coco"])
def test_a_set_beside_the_built_in_ones_is_no_witness_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    """Where `ccm data check` tells people to put theirs, and where somebody edits COCO's."""
    folder = tmp_path / "keypoint_sets"
    shutil.copytree(records.BUILT_IN, folder)
    for module in (records, odd_sets):
        monkeypatch.setattr(module, "BUILT_IN", folder)
    content = yaml.safe_load((folder / "coco.yaml").read_text())
    content["sigmas"] = [sigma / 10 for sigma in content["sigmas"]]
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    (found,) = set_oddities(load_keypoint_set(name))
    assert f"keypoint set '{name}': the sigmas of 17 keypoints are far from the published ones: nose = 0.0026" in found
