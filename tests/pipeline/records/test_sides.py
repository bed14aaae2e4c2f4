"""Left, right and the upper body, read from names as people write them."""

from __future__ import annotations

import pytest

from pipeline.records.keypoints import BUILT_IN, load_keypoint_set
from pipeline.records.sides import mirror_pairs, sided, upper_body


@pytest.mark.parametrize("name", ["coco", "aic", "lspe", "posetrack"])
def test_the_built_in_sets_follow_from_their_names(name: str) -> None:
    keypoints = load_keypoint_set(str(BUILT_IN / f"{name}.yaml"))
    found = {frozenset(pair) for pair in mirror_pairs(keypoints.names)}
    assert found == {frozenset(pair) for pair in keypoints.flip_pairs}
    assert set(upper_body(keypoints.names)) == set(keypoints.upper_body)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left_eye", "right_eye"), ("eye_left", "eye_right"), ("L_eye", "R_eye"), ("eyeL", "eyeR"), ("LEye", "REye"),
        ("leftEye", "rightEye"), ("LEFT EYE", "RIGHT EYE"), ("lefteye", "righteye"), ("eye.l", "eye.r"),
        ("Auge links", "Auge rechts"), ("linkes_auge", "rechtes_auge"), ("oeil_gauche", "oeil_droit"),
        ("oreille_gauche", "oreille_droite"), ("ojo izquierdo", "ojo derecho"), ("mano_izquierda", "mano_derecha"),
        ("左目", "右目"), ("Lwrist", "Rwrist"), ("front_left_paw", "front_right_paw"), ("epaule_g", "epaule_d"),
        ("occhio_sinistro", "occhio_destro"), ("левый глаз", "правый глаз"),
    ],
)  # fmt: skip
def test_a_pair_is_found_however_its_side_is_written(left: str, right: str) -> None:
    assert mirror_pairs(["nose", right, "tail", left]) == [(left, right)]


def test_what_has_no_counterpart_stays_alone() -> None:
    names = ["nose", "left_eye", "right_eye", "left_claw", "lip", "lower_back"]
    assert mirror_pairs(names) == [("left_eye", "right_eye")]
    assert sided(names) == ["left_eye", "right_eye", "left_claw"]


def test_letters_of_an_alphabet_are_no_sides() -> None:
    assert mirror_pairs([f"point_{letter}" for letter in "abcdefghijklmnopqr"]) == []


def test_a_quadruped_has_a_front() -> None:
    names = ["left_eye", "nose", "root_of_tail", "left_front_paw", "left_hip", "left_back_paw", "spot"]
    assert upper_body(names) == ["left_eye", "nose", "left_front_paw"]
    assert upper_body(["nose", "tail"]) == []
