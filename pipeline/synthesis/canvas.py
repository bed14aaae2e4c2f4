"""The drawing surface: colours, and for every pixel who owns it.

A scene is drawn at twice the size of the image and reduced at the end, which smooths its edges. Coordinates here are
canvas pixels with integers at pixel centres.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

OVERSAMPLING = 2
BACKGROUND, PARTS = 0, 32
"""Owner codes are `PARTS * person + part`: person 0 is everything that is not annotated, code 0 the bare background."""
_SHIFT = 3
_LIMB_SIZES = np.array([1.0, 0.74, 0.36])[:, None, None]
_BODY_SIZES = np.array([1.0, 0.86, 0.5])[:, None, None]
_HALF_TURN = np.linspace(-np.pi / 2, np.pi / 2, 9)
_ARC = np.stack([np.cos(_HALF_TURN), np.sin(_HALF_TURN)], axis=1)
_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 18)[:-1]), np.sin(np.linspace(0, 2 * np.pi, 18)[:-1])], axis=1)

Points = NDArray[np.float64]
Colour = tuple[float, float, float]
"""Blue, green, red in 0..255."""


def shade(colour: Colour, gain: float) -> Colour:
    """The colour, darker for a `gain` below 1, lighter above."""
    b, g, r = colour
    return min(255.0, b * gain), min(255.0, g * gain), min(255.0, r * gain)


class Canvas:
    """`pixels`: (H, W, 3) uint8 BGR; `owner`: (H, W) int16 codes; `light`: 2D direction the light comes from."""

    def __init__(self, height: int, width: int, light: tuple[float, float] = (-0.6, -0.8)) -> None:
        self.pixels = np.zeros((height, width, 3), np.uint8)
        self.owner = np.zeros((height, width), np.int16)
        self.light = np.array(light)

    @property
    def height(self) -> int:
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        return self.pixels.shape[1]

    def fill(self, outline: Points, colour: Colour, code: int | None = None) -> None:
        """Paint the convex polygon `outline` (N, 2); `code` makes it the new owner of those pixels."""
        self._fill(_fixed_point(outline), colour, code)

    def capsule(self, start: Points, end: Points, radii: tuple[float, float], colour: Colour, code: int) -> None:
        """A shaded, tapered limb: dark rim, body colour, highlight on the light's side."""
        rim = capsule(start, end, *radii)
        axis = np.repeat([end, start], len(rim) // 2, axis=0)
        shift = np.repeat([self.light * radii[1], self.light * radii[0]], len(rim) // 2, axis=0)
        layers = axis + _LIMB_SIZES * (rim - axis) + (1 - _LIMB_SIZES) * 0.42 * shift
        self._layers(layers, colour, (0.62, 1.0, 1.16), code)

    def solid(self, outline: Points, colour: Colour, code: int) -> None:
        """A shaded convex body: the same three layers as a limb's, shrunk towards its centre."""
        centre = outline.sum(axis=0) / len(outline)
        low, high = outline.min(axis=0), outline.max(axis=0)
        shift = self.light * float(min(high - low)) * 0.25
        layers = centre + _BODY_SIZES * (outline - centre) + (1 - _BODY_SIZES) * shift
        self._layers(layers, colour, (0.64, 1.0, 1.12), code)

    def _layers(self, outlines: Points, colour: Colour, gains: tuple[float, ...], code: int) -> None:
        """Paint outlines (L, N, 2) one over the other; the first, which contains the others, takes the pixels."""
        for layer, (vertices, gain) in enumerate(zip(_fixed_point(outlines), gains, strict=True)):
            self._fill(vertices, shade(colour, gain), code if layer == 0 else None)

    def _fill(self, vertices: NDArray[np.int32], colour: Colour, code: int | None) -> None:
        cv2.fillConvexPoly(self.pixels, vertices, colour, cv2.LINE_8, _SHIFT)
        if code is not None:
            cv2.fillConvexPoly(self.owner, vertices, (float(code),), cv2.LINE_8, _SHIFT)


def _fixed_point(outline: Points) -> NDArray[np.int32]:
    """Canvas pixels to eighths of one, which OpenCV draws with."""
    return np.rint(outline * (1 << _SHIFT)).astype(np.int32)


def capsule(start: Points, end: Points, start_radius: float, end_radius: float) -> Points:
    """Outline (18, 2) of two circles and the straight sides between them."""
    along = end - start
    length = math.hypot(along[0], along[1])
    ux, uy = (along[0] / length, along[1] / length) if length > 1e-9 else (1.0, 0.0)
    arc = _ARC @ np.array([[ux, uy], [-uy, ux]])
    outline = np.empty((2 * len(arc), 2))
    outline[: len(arc)] = end + end_radius * arc
    outline[len(arc) :] = start - start_radius * arc
    return outline


def ellipse(centre: Points, across: Points, along: Points) -> Points:
    """Outline (17, 2) of an ellipse with two conjugate half axes."""
    return centre + _CIRCLE[:, :1] * across + _CIRCLE[:, 1:] * along


def hull(circles: list[tuple[Points, float]]) -> Points:
    """Outline of the convex hull of circles given as (centre, radius)."""
    return convex(np.concatenate([centre + radius * _CIRCLE for centre, radius in circles]))


def convex(points: Points) -> Points:
    """Outline of the convex hull of points (N, 2)."""
    return cv2.convexHull(points.astype(np.float32))[:, 0].astype(np.float64)


def polygon(*vertices: tuple[float, float]) -> Points:
    return np.array(vertices, dtype=np.float64)


def box(x: float, y: float, width: float, height: float) -> Points:
    return polygon((x, y), (x + width, y), (x + width, y + height), (x, y + height))


def disc(x: float, y: float, radius: float, flatness: float = 1.0) -> Points:
    """Outline of a circle, or of a lying ellipse where `flatness` (height / width) is below 1."""
    return np.array([x, y]) + _CIRCLE * (radius, radius * flatness)


def line(x1: float, y1: float, x2: float, y2: float, width: float) -> Points:
    """Outline of a straight stroke with round ends."""
    return capsule(np.array([x1, y1]), np.array([x2, y2]), width / 2, width / 2)
