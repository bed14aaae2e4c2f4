"""The part of a teacher's card that says how its network is asked: complete, and of one mind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.sources.teacher_card import read_card

SIMCC = {
    "input": "image", "input_size": [256, 192], "layout": "NCHW", "channels": "RGB", "mean": [123.675, 116.28, 103.53],
    "std": [58.395, 57.12, 57.375], "padding": 1.25, "fit": "grow", "output": "simcc", "outputs": ["x", "y"],
    "split_ratio": 2.0,
}  # fmt: skip
POINTS = {
    **{key: value for key, value in SIMCC.items() if key != "split_ratio"},
    "output": "coordinates", "outputs": ["points"], "values": ["x", "y", "logit"], "unit": "share",
}  # fmt: skip
ROOT = Path(__file__).resolve().parents[3]


def write(folder: Path, network: Any) -> Path:
    path = folder / "card.yaml"
    path.write_text(yaml.safe_dump({"names": ["nose"], "score": "s", "licence": "l", "network": network}))
    return path


@pytest.mark.parametrize("network", [SIMCC, POINTS])
def test_a_network_says_how_it_is_asked(tmp_path: Path, network: dict[str, Any]):
    read = read_card(write(tmp_path, network)).network
    assert read is not None
    assert read.model_dump(exclude_none=True) == network


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ([], "network: Input should be"),
        ({key: value for key, value in SIMCC.items() if key != "channels"}, "network.channels: missing"),
        (SIMCC | {"size": 3}, "network.size: unknown key; allowed: input, input_size,"),
        (SIMCC | {"layout": "HWC"}, "network.layout = 'HWC': Input should be 'NCHW' or 'NHWC'"),
        (SIMCC | {"std": [0.229, 0.224, 0.225]}, "network.std.0 = 0.229: Input should be greater than or equal to 1"),
        (SIMCC | {"mean": [1.0, 2.0]}, "network.mean = [1.0, 2.0]: List should have at least 3 items"),
        (SIMCC | {"padding": float("nan")}, "network.padding = nan: Input should be"),
        (SIMCC | {"input_size": [256, "192"]}, "network.input_size.1 = '192': Input should be a valid integer"),
        (SIMCC | {"outputs": ["x"]}, "network: outputs: simcc come from 2 different outputs, got ['x']"),
        (SIMCC | {"outputs": ["x", "x"]}, "network: outputs: simcc come from 2 different outputs"),
        (SIMCC | {"split_ratio": None}, "network: split_ratio: missing for output: simcc"),
        (SIMCC | {"unit": "share"}, "network: unit: belongs to output: coordinates"),
        (POINTS | {"values": None}, "network: values: missing for output: coordinates"),
        (POINTS | {"values": ["x", "x", "score"]}, "network: values: one x and one y belong there"),
        (POINTS | {"values": ["x", "y"]}, "network: scores come from `values` (score, logit) or from a second output"),
        (POINTS | {"outputs": ["p", "s"]}, "network: scores come from `values` (score, logit) or from a second output"),
    ],
)
def test_what_is_missing_or_contradictory_is_refused(tmp_path: Path, network: Any, message: str):
    path = write(tmp_path, network)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")) as error:
        read_card(path)
    assert "\n" not in str(error.value)


def test_the_cards_that_the_documentation_shows_are_cards(tmp_path: Path):
    cards = re.findall(r"```yaml\n(# card\n.*?)```", (ROOT / "docs/teachers.md").read_text(), re.DOTALL)
    assert len(cards) == 2
    for text in cards:
        (tmp_path / "card.yaml").write_text(text)
        assert read_card(tmp_path / "card.yaml").network is not None
