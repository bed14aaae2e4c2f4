"""Label Studio's regions in pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.sources.regions import point, rectangle, smallest_around


def region(**value: Any) -> dict[str, Any]:
    return {"original_width": 200, "original_height": 50, "value": value}


def test_percents_are_of_the_pictures_sides() -> None:
    assert point(region(x=10, y=20.0)).tolist() == [20, 10]
    assert rectangle(region(x=10, y=20, width=50, height=40)).tolist() == [20, 10, 100, 20]


@pytest.mark.parametrize(("turn", "box"), [
    (0, [100, 20, 20, 10]), (90, [90, 20, 10, 20]), (180, [80, 10, 20, 10]), (-90, [100, 0, 10, 20]),
    (45, [100 - 50**0.5, 20, 450**0.5, 450**0.5]),
])  # fmt: skip
def test_a_turned_rectangle_is_the_upright_box_round_it(turn: float, box: list[float]) -> None:
    """20 x 10 pixels, turned clockwise about its first corner, which is at (100, 20)."""
    found = rectangle(region(x=50, y=40, width=10, height=20, rotation=turn))
    np.testing.assert_allclose(found, box, rtol=0, atol=1e-9)


def test_what_is_no_number() -> None:
    with pytest.raises(TypeError, match="y = '20' is no number"):
        point(region(x=10, y="20"))
    with pytest.raises(TypeError, match="rotation = 'left' is no number"):
        rectangle(region(x=10, y=20, width=5, height=5, rotation="left"))
    with pytest.raises(KeyError, match="width"):
        rectangle(region(x=10, y=20, height=3))


def test_the_smallest_box_round_a_place() -> None:
    boxes = {"large": np.array([0, 0, 100, 100]), "small": np.array([10, 10, 20, 20]), "far": np.array([90, 90, 5, 5])}
    assert smallest_around(np.array([15, 15]), boxes) == "small"
    assert smallest_around(np.array([5, 15]), boxes) == "large"
    assert smallest_around(np.array([150, 15]), boxes) is None
