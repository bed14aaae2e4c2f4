"""A card is foreign text: what it lacks or overdoes is refused by name, before anything is built of it."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from model import build, checkpoints
from model.detector import DetectorSpec, build_detector, load_detector, save_detector

SMALL = {"backbone": "resnet10t", "input_size": (64, 64), "mixers": (16, 16), "weights": "none"}
CARD = {"keypoint_names": list("abcde"), "trained_on": "made-up people", "padding": 1.25}


@pytest.fixture(scope="module")
def pose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.save(build(SMALL, 5), tmp_path_factory.mktemp("pose"), CARD)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = DetectorSpec(
        "resnet10t", min_size=64, max_size=96, anchor_sizes=(16, 32, 64), fpn_channels=16, head_channels=32
    )
    return save_detector(build_detector(spec), tmp_path_factory.mktemp("detector"), {})


def with_card(file: Path, card: Any, folder: Path) -> Path:
    """The tensors of a checkpoint under another card."""
    path = folder / "model.safetensors"
    save_file(load_file(file), path, metadata={"card": card if isinstance(card, str) else json.dumps(card)})
    return path


def changed(file: Path, place: str, value: Any = ...) -> dict[str, Any]:
    """The card with one entry changed, or removed where no value is given."""
    card = checkpoints.read_card(file)
    *above, last = place.split(".")
    part: Any = card
    for name in above:
        part = part[name]
    if value is ...:
        del part[last]
    else:
        part[last] = value
    return card


@pytest.mark.parametrize("place", ["format", "kind", "spec", "keypoints", "keypoint_names"])
def test_a_card_that_lacks_an_entry(pose: Path, tmp_path: Path, place: str) -> None:
    path = with_card(pose, changed(pose, place), tmp_path)
    with pytest.raises(ValueError, match=f"{path}: .*") as refused:
        checkpoints.load(path)
    assert "\n" not in str(refused.value)


def test_without_padding_it_is_everybodys(pose: Path, tmp_path: Path) -> None:
    path = with_card(pose, changed(pose, "padding"), tmp_path)
    assert "padding" not in checkpoints.read_card(path)
    checkpoints.load(path)


GIGABYTES = [
    ("keypoints", 10**9),
    ("spec.mixers", [65536, 65536]),
    ("spec.mixers", [4] * 100_000),
    ("spec.input_size", [10**6, 10**6]),
    ("spec.backbone", "vit_giant_patch14_dinov2"),
    ("spec.backbone", "resnet152"),
]


@pytest.mark.parametrize(("place", "value"), GIGABYTES, ids=[place for place, _ in GIGABYTES])
def test_a_card_that_asks_for_gigabytes(pose: Path, tmp_path: Path, place: str, value: Any) -> None:
    refused_without_memory(lambda: checkpoints.load(with_card(pose, changed(pose, place, value), tmp_path)))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("spec.fpn_channels", 262_144),
        ("spec.head_channels", 262_144),
        ("spec.anchor_sizes", list(range(1, 1000))),
        ("spec.max_size", 10**9),
        ("spec.proposals", 10**9),
        ("spec.colour", 1),
    ],
)
def test_a_detectors_card_that_asks_for_gigabytes(detector: Path, tmp_path: Path, place: str, value: Any) -> None:
    assert load_detector(detector).spec.fpn_channels == 16
    refused_without_memory(lambda: load_detector(with_card(detector, changed(detector, place, value), tmp_path)))


def refused_without_memory(load: Callable[[], object]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"model\.safetensors: .*"):
        load()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KiB


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PLACES = ["format", "kind", "spec", "keypoints", "keypoint_names", "padding", "keypoint_set", "keypoint_definition"]
PLACES += [f"spec.{name}" for name in ("architecture", "backbone", "input_size", "mixers", "backbone_stride", "se")]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(PLACES), value=VALUES)
def test_odd_values_are_refused_in_one_line_or_mean_the_same(
    pose: Path, tmp_path: Path, place: str, value: Any
) -> None:
    path = with_card(pose, changed(pose, place, value), tmp_path)
    problem = ""
    try:
        network = checkpoints.load(path)
    except ValueError as error:
        problem = str(error)
    if problem:
        assert str(path) in problem
        assert "\n" not in problem
    else:
        assert network.keypoints == 5


@pytest.mark.parametrize("text", ["", "no JSON", "[1]", "null", "[" * 100_000, '{"format": 1'])
def test_a_card_that_is_no_mapping(pose: Path, tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"model\.safetensors: its card"):
        checkpoints.load(with_card(pose, text, tmp_path))


def test_weights_that_are_no_numbers_are_neither_read_nor_written(pose: Path, tmp_path: Path) -> None:
    tensors = load_file(pose)
    tensors["decoder.head.bias"][2] = float("nan")
    save_file(tensors, tmp_path / "model.safetensors", metadata={"card": json.dumps(checkpoints.read_card(pose))})
    message = r"model\.safetensors: 1 of the 5 weights of decoder\.head\.bias are no numbers"
    with pytest.raises(ValueError, match=message):
        checkpoints.load(tmp_path)
    network = checkpoints.load(pose)
    with torch.no_grad():
        network.decoder.head.bias[2] = float("inf")
    with pytest.raises(ValueError, match=message):
        checkpoints.save(network, tmp_path / "new", CARD)
    assert os.listdir(tmp_path / "new") == []
