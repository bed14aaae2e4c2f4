from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pycocotools.cocoeval import Params as CocoParams

from pipeline.records.keypoints import BUILT_IN, load_keypoint_set

GOOD: dict[str, Any] = {
    "names": ["tail", "left_wing", "right_wing"],
    "flip_pairs": [["left_wing", "right_wing"]],
    "limbs": [["tail", "left_wing"]],
    "sigmas": [0.1, 0.05, 0.05],
    "upper_body": ["left_wing", "right_wing"],
}


def written(folder: Path, content: Any) -> str:
    path = folder / "bird.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


@pytest.mark.parametrize("name", sorted(path.stem for path in BUILT_IN.glob("*.yaml")))
def test_built_in_sets_hold_together(name: str):
    keypoints = load_keypoint_set(name)
    mirror = keypoints.mirror
    np.testing.assert_array_equal(mirror[mirror], np.arange(len(keypoints)))
    for i, other in enumerate(mirror):
        name_of = keypoints.names[i]
        swapped = name_of.replace("left", "?").replace("right", "left").replace("?", "right")
        if swapped != name_of or not name_of.startswith("face"):  # points of the face are numbered, without a side
            assert keypoints.names[other] == swapped  # sides swap, everything else stays
    coco = load_keypoint_set("coco")
    if keypoints.sigmas is not None:  # a joint is as hard to place whoever labels it
        for i, j in keypoints.positions_in(coco).items():
            assert keypoints.sigmas[i] == coco.sigmas[j]


def test_cocos_sigmas_are_pycocotools():
    np.testing.assert_allclose(load_keypoint_set("coco").sigmas, CocoParams(iouType="keypoints").kpt_oks_sigmas)


def test_sets_are_matched_by_name():
    aic, coco = load_keypoint_set("aic"), load_keypoint_set("coco")
    positions = aic.positions_in(coco)
    assert len(positions) == 12
    assert positions[aic.names.index("left_elbow")] == 7  # COCO's order: nose 0, ..., left_elbow 7
    assert all(aic.names[i] == coco.names[j] for i, j in positions.items())


def test_anybodys_own_set(tmp_path: Path):
    bird = load_keypoint_set(written(tmp_path, GOOD))
    assert bird.names == ("tail", "left_wing", "right_wing")
    assert bird.mirror.tolist() == [0, 2, 1]
    assert bird.flip_indices == [(1, 2)]
    assert bird.limb_indices == [(0, 1)]
    assert Path(bird.name) == tmp_path / "bird.yaml"
    with pytest.raises(ValueError, match="has no 'beak'; it has tail"):
        bird.index("beak")


def test_sigmas_are_those_of_the_sets_own_evaluation():
    """HalpeCOCOAPI's halpecocotools/cocoeval.py and COCO-WholeBody's evaluation/myeval_wholebody.py."""
    coco = list(load_keypoint_set("coco").sigmas)
    assert list(load_keypoint_set("halpe").sigmas) == coco + 3 * [0.08] + 6 * [0.089] + (68 + 42) * [0.015]
    whole = list(load_keypoint_set("wholebody").sigmas)
    assert whole[:23] == [*coco, 0.068, 0.066, 0.066, 0.092, 0.094, 0.094]
    assert sum(whole[23:91]) == pytest.approx(1.137)
    left, right = whole[91:112], whole[112:]
    assert left == right
    assert left[:5] == [0.029, 0.022, 0.035, 0.037, 0.047]
    assert sum(left) == pytest.approx(0.553)


def test_without_sigmas(tmp_path: Path):
    assert load_keypoint_set(written(tmp_path, {"names": ["tail"]})).sigmas is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("names: [a, b", "not valid YAML"),
        ("- a", "expected a mapping"),
        (GOOD | {"colour": "red"}, "unknown key 'colour'; allowed: flip_pairs"),
        (GOOD | {"names": []}, "names: expected at least one name"),
        (GOOD | {"names": ["a", "a", "b"]}, "each once"),
        (GOOD | {"names": "tail"}, "names: expected a list of names"),
        (GOOD | {"names": [1, 2, 3]}, "names: expected a list of names"),
        (GOOD | {"flip_pairs": [["left_wing", "beak"]]}, "flip_pairs: 'beak' is not among names"),
        (GOOD | {"flip_pairs": [["left_wing", "left_wing"]]}, "expected a pair of two names"),
        (GOOD | {"flip_pairs": [["left_wing"]]}, "expected a pair of two names"),
        (GOOD | {"flip_pairs": [["left_wing", "right_wing"], ["tail", "left_wing"]]}, "more than one pair"),
        (GOOD | {"limbs": [["tail", "beak"]]}, "limbs: 'beak' is not among names"),
        (GOOD | {"upper_body": ["beak"]}, "upper_body: 'beak' is not among names"),
        (GOOD | {"sigmas": [0.1, 0.05]}, "sigmas: expected 3 numbers"),
        (GOOD | {"sigmas": [0.79, 0.05, 0.05]}, "tail = 0.79: allowed is 0.001 to 0.3"),
        (GOOD | {"sigmas": ["a", 0.05, 0.05]}, "tail = 'a'"),
        (GOOD | {"sigmas": [float("nan"), 0.05, 0.05]}, "tail = nan"),
    ],
)
def test_wrong_sets(tmp_path: Path, content: Any, message: str):
    with pytest.raises(ValueError, match=message):
        load_keypoint_set(written(tmp_path, content))


def test_no_such_set():
    with pytest.raises(ValueError, match=r"neither a built-in set \(aic, ap10k, coco"):
        load_keypoint_set("giraffe")
