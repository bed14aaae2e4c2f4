"""Label Studio's regions: points and rectangles in percent of the picture, here in its pixels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # what Label Studio puts before the name of an uploaded file

_Key = TypeVar("_Key")


def point(region: Mapping[str, Any]) -> np.ndarray:
    """x, y of a region. KeyError where one is missing, TypeError where one is no number."""
    value = region["value"]
    sides = np.array([_number(region, "original_width"), _number(region, "original_height")])
    return np.array([_number(value, "x"), _number(value, "y")]) / 100 * sides


def rectangle(region: Mapping[str, Any]) -> np.ndarray:
    """x, y, w, h of the upright box round a rectangle, which may be turned about its x, y (clockwise, in degrees)."""
    value, start = region["value"], point(region)
    width = _number(value, "width") / 100 * _number(region, "original_width")
    height = _number(value, "height") / 100 * _number(region, "original_height")
    turn = np.deg2rad(_number(value, "rotation") if value.get("rotation") else 0.0)
    if not turn:
        return np.array([*start, width, height])
    along, down = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    corners = start + np.array([np.zeros(2), width * along, height * down, width * along + height * down])
    return np.concatenate([corners.min(0), np.ptp(corners, 0)])


def smallest_around(place: np.ndarray, boxes: Mapping[_Key, np.ndarray]) -> _Key | None:
    """The smallest of the boxes (x, y, w, h) that a place lies in."""
    inside = {key: box for key, box in boxes.items() if ((place >= box[:2]) & (place <= box[:2] + box[2:])).all()}
    return min(inside, key=lambda key: float(np.prod(inside[key][2:]))) if inside else None


def _number(value: Mapping[str, Any], key: str) -> float:
    if not isinstance(value[key], int | float):
        raise TypeError(f"{key} = {value[key]!r} is no number")
    return float(value[key])
