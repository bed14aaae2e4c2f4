"""What is recommended follows from the data and the machine, and makes params that are valid."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.settings import parse_params
from pipeline.settings.profile import profile_text, profiles
from pipeline.settings.reading import load_yaml
from pipeline.setup.advice import Roles, advice, input_size, strategy
from pipeline.setup.facts import Facts, Machine
from pipeline.setup.keypoints import OwnSet
from pipeline.setup.text import params_text

FACTS = Facts(
    images=1000, people=2500, labelled=2400, most_in_an_image=9, alone=0.3, masks=True, image_sides=(480.0, 640.0),
    box_sides=(200.0, 90.0), long_side=260.0, box_sizes=(30.0, 80.0, 160.0, 300.0),
)  # fmt: skip
CPU, GPU = Machine(2, 0, 0.0), Machine(16, 2, 80.0)
COCO = OwnSet("coco", ("nose", "left_eye", "right_eye", "left_hip", "right_hip"), ("nose",), True, None, ())
ALL = Roles(("train",), ("val",), ("external",), ("unlabeled",))


def test_the_strategy_has_the_letters_that_the_data_allow() -> None:
    assert strategy(FACTS, ALL, "person")[0] == "ACHU-CH"
    assert strategy(FACTS, replace(ALL, external=(), unlabelled=()), "person")[0] == "CH-CH"
    alone = strategy(replace(FACTS, alone=1.0), replace(ALL, external=()), "person")
    assert alone[0] == "CU-C"
    assert "no H: 100% of the pictures have one annotation" in alone[1]
    assert strategy(FACTS, replace(ALL, external=(), unlabelled=()), None)[0] == "C-C"


@pytest.mark.parametrize(
    ("box", "side", "gpu", "size"),
    [
        ((200.0, 90.0), 100.0, False, [128, 96]),
        ((200.0, 90.0), 400.0, False, [160, 128]),
        ((200.0, 90.0), 180.0, True, [256, 192]),
        ((90.0, 200.0), 180.0, True, [192, 256]),
        ((100.0, 100.0), 400.0, True, [384, 384]),
    ],
)
def test_crops_have_the_form_of_the_boxes(box: tuple[float, float], side: float, gpu: bool, size: list[int]) -> None:
    assert input_size(replace(FACTS, box_sides=box, long_side=side), gpu)[0] == size


@pytest.mark.parametrize("base", sorted(profiles()))
@pytest.mark.parametrize("machine", [CPU, GPU])
def test_any_profile_takes_the_advice(base: str, machine: Machine) -> None:
    text = profile_text(base)
    values = load_yaml(text, base)
    letters = "CU" if values["train_teachers"]["models"] else "C"
    found = advice(values, FACTS, machine, COCO, letters)
    params = parse_params(load_yaml(params_text(text, {"profile": ("own", ""), **found}, ["x"]), "own"), "own")
    assert params.profile == "own"
    for path, (value, _) in found.items():
        if path.startswith("compute."):
            assert getattr(params.compute, path.removeprefix("compute.")) == value


def test_a_side_without_counterpart_is_not_mirrored() -> None:
    claw = replace(COCO, names=(*COCO.names, "left_claw"))
    values = load_yaml(profile_text("built-in"), "built-in")
    assert advice(values, FACTS, CPU, claw, "CU")["training.augmentation.flip"][0] == 0.0
    assert "training.augmentation.flip" not in advice(values, FACTS, CPU, COCO, "CU")
