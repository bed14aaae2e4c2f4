"""Draws chest, pelvis and skirt, with the patterns that tell front from back."""

import numpy as np

from pipeline.synthesis.canvas import Canvas, Points, hull, shade
from pipeline.synthesis.figure import Figure
from pipeline.synthesis.skeleton import FORWARD

_WAIST = 0.88
"""How far from shoulder to hip the top reaches."""


def _edges(figure: Figure, inset: float = 1.0) -> tuple[Points, Points]:
    """The torso's two sides, each (2, 2): shoulder and waist, pulled towards the middle by `inset`."""
    shoulders = np.array([figure.project("left_shoulder"), figure.project("right_shoulder")])
    hips = np.array([figure.project("left_hip"), figure.project("right_hip")])
    waist = shoulders + (hips - shoulders) * _WAIST
    shoulders = shoulders.mean(0) + (shoulders - shoulders.mean(0)) * inset
    waist = waist.mean(0) + (waist - waist.mean(0)) * inset
    return np.array([shoulders[0], waist[0]]), np.array([shoulders[1], waist[1]])


def draw_torso(canvas: Canvas, figure: Figure, code: int) -> None:
    """Neck, then the top from shoulders to waist, then its pattern."""
    look = figure.look
    neck, head, t = figure.project("neck"), figure.project("head"), figure.thickness
    canvas.capsule(neck, neck * 0.4 + head * 0.6, (t(0.026), t(0.03)), shade(look.skin, 0.9), code)
    (left_shoulder, left_waist), (right_shoulder, right_waist) = _edges(figure, 0.86)
    shoulders = [(left_shoulder, t(0.034)), (right_shoulder, t(0.034)), (neck, t(0.022))]
    waist = [(left_waist, t(0.05)), (right_waist, t(0.05)), (figure.project("chest"), t(0.048))]
    outline = hull(shoulders + waist)
    canvas.solid(outline, look.top, code)
    _pattern(canvas, figure)


def _pattern(canvas: Canvas, figure: Figure) -> None:
    look = figure.look
    facing = -figure.skeleton.chest_frame[2, FORWARD]  # 1 towards the viewer, -1 away
    if look.pattern == "stripes":
        _bands(canvas, figure, ((0.18, 0.3), (0.46, 0.58), (0.74, 0.86)))
    elif look.pattern == "blocks":
        _bands(canvas, figure, ((0.08, 0.42),))
    elif look.pattern == "sash":
        _patch(canvas, figure, ((0.15, 0.0), (0.4, 0.0), (0.9, 1.0), (0.65, 1.0)))
    if look.pattern == "number" and abs(facing) > 0.35:
        _patch(canvas, figure, ((0.3, 0.34), (0.72, 0.34), (0.72, 0.46), (0.3, 0.46)))
        _patch(canvas, figure, ((0.3, 0.56), (0.72, 0.56), (0.72, 0.68), (0.3, 0.68)))
    if facing < 0.25:
        return
    # What only the front has: an open jacket, a logo, buttons, a neckline.
    if look.pattern == "jacket":
        _patch(canvas, figure, ((0.03, 0.36), (0.97, 0.4), (0.97, 0.6), (0.03, 0.64)))
    elif look.pattern == "logo":
        _patch(canvas, figure, ((0.28, 0.36), (0.5, 0.36), (0.5, 0.64), (0.28, 0.64)))
    elif look.pattern == "buttons":
        for t in (0.2, 0.45, 0.7, 0.92):
            _patch(canvas, figure, ((t, 0.46), (t + 0.07, 0.46), (t + 0.07, 0.54), (t, 0.54)))
    left, right = _edges(figure, 0.86)
    shift = figure.skeleton.chest_frame[:2, FORWARD] * 0.03 * figure.stature
    neckline = np.array([left[0] * 0.66 + right[0] * 0.34, left[0] * 0.34 + right[0] * 0.66])
    tip = left.mean(0) * 0.5 + right.mean(0) * 0.5
    canvas.fill(np.vstack([neckline, neckline.mean(0) * 0.72 + tip * 0.28 + shift]), shade(look.skin, 0.92))


def _patch(canvas: Canvas, figure: Figure, corners: tuple[tuple[float, float], ...]) -> None:
    """Fill a patch given as (down, across) fractions of the torso; it bulges with the chest as the body turns."""
    left, right = _edges(figure)
    bulge = figure.skeleton.chest_frame[:2, FORWARD] * 0.045 * figure.stature
    points = []
    for down, across in corners:
        side = left[0] + (left[1] - left[0]) * down
        other = right[0] + (right[1] - right[0]) * down
        points.append(side + (other - side) * across + bulge * 4 * across * (1 - across))
    canvas.fill(np.array(points), figure.look.second)


def _bands(canvas: Canvas, figure: Figure, bands: tuple[tuple[float, float], ...]) -> None:
    for start, end in bands:
        _patch(canvas, figure, ((start, 0.0), (end, 0.0), (end, 1.0), (start, 1.0)))


def draw_pelvis(canvas: Canvas, figure: Figure, code: int) -> None:
    left, right = _edges(figure, 0.86)
    size = figure.thickness(0.052)
    outline = hull(
        [(figure.project("left_hip"), size), (figure.project("right_hip"), size), (left[1], size), (right[1], size)]
    )
    canvas.solid(outline, figure.look.top if figure.look.skirt else figure.look.bottom, code)


def draw_skirt(canvas: Canvas, figure: Figure, code: int) -> None:
    """From the waist to half-way down both thighs."""
    left, right = _edges(figure, 0.86)
    hems = [figure.project(f"{side}_hip") * 0.42 + figure.project(f"{side}_knee") * 0.58 for side in ("left", "right")]
    circles = [(hem, figure.thickness(0.062)) for hem in hems]
    circles += [(left[1], figure.thickness(0.05)), (right[1], figure.thickness(0.05))]
    canvas.solid(hull(circles), figure.look.bottom, code)
