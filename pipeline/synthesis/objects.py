"""Things that stand about: they hide parts of people, carry statues, frame posters."""

from collections.abc import Callable

import numpy as np

from pipeline.synthesis.canvas import Canvas, Colour, Points, box, ellipse, shade
from pipeline.synthesis.look import colour_from_hsv

OBJECT = 31
"""Owner code of everything that is not a body."""


def _colour(rng: np.random.Generator) -> Colour:
    return colour_from_hsv(rng.random(), rng.uniform(0.1, 0.8), rng.uniform(0.2, 0.9))


def draw_object(canvas: Canvas, rng: np.random.Generator, foot: Points, size: float) -> None:
    """A random thing whose lower edge is centred at `foot` and which is about `size` canvas pixels high."""
    kinds = list(_OBJECTS.values())
    kinds[rng.integers(len(kinds))](canvas, rng, float(foot[0]), float(foot[1]), size)


def _crate(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    colour, width = _colour(rng), size * rng.uniform(0.7, 1.5)
    lid = np.array(
        [
            [x - width / 2, y - size],
            [x + width / 2, y - size],
            [x + width * 0.4, y - size * 1.15],
            [x - width * 0.6, y - size * 1.15],
        ]
    )
    canvas.fill(lid, shade(colour, 1.25), OBJECT)
    canvas.solid(box(x - width / 2, y - size, width, size), colour, OBJECT)
    canvas.fill(box(x - width / 2, y - size * 0.55, width, size * 0.1), shade(colour, 0.6))


def _table(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    colour, width = _colour(rng), size * rng.uniform(1.3, 2.4)
    for leg in (-0.44, 0.36):
        canvas.fill(box(x + leg * width, y - size, width * 0.07, size), shade(colour, 0.6), OBJECT)
    canvas.solid(box(x - width / 2, y - size, width, size * 0.2), colour, OBJECT)


def _plant(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    leaf = colour_from_hsv(rng.uniform(0.22, 0.42), rng.uniform(0.4, 0.9), rng.uniform(0.25, 0.7))
    root = np.array([x, y - size * 0.35])
    for angle in np.deg2rad(rng.uniform(-70, 70, 9)):
        tip = root + np.array([np.sin(angle), -np.cos(angle)]) * size * rng.uniform(0.45, 0.75)
        across = np.array([np.cos(angle), np.sin(angle)]) * size * 0.08
        canvas.fill(
            np.array([root, (root + tip) / 2 + across, tip, (root + tip) / 2 - across]),
            shade(leaf, rng.uniform(0.7, 1.3)),
            OBJECT,
        )
    pot = np.array(
        [
            [x - size * 0.22, y - size * 0.38],
            [x + size * 0.22, y - size * 0.38],
            [x + size * 0.15, y],
            [x - size * 0.15, y],
        ]
    )
    canvas.solid(pot, _colour(rng), OBJECT)


def _pillar(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    width = size * rng.uniform(0.12, 0.25)
    canvas.solid(box(x - width / 2, y - size * 2.2, width, size * 2.2), _colour(rng), OBJECT)


def _hedge(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    leaf = colour_from_hsv(rng.uniform(0.22, 0.4), rng.uniform(0.4, 0.8), rng.uniform(0.25, 0.55))
    for dx, dy in rng.uniform([-1.0, -0.7], [1.0, 0.0], (16, 2)) * size:
        radius = size * rng.uniform(0.15, 0.3)
        canvas.fill(
            ellipse(np.array([x + dx, y + dy]), np.array([radius, 0]), np.array([0, radius])),
            shade(leaf, rng.uniform(0.7, 1.3)),
            OBJECT,
        )


def _wheels(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    """A bicycle: thin rings and tubes that hide little."""
    colour, radius = _colour(rng), size * 0.36
    hubs = [np.array([x + side * size * 0.6, y - radius]) for side in (-1, 1)]
    for hub in hubs:
        rim = ellipse(hub, np.array([radius, 0.0]), np.array([0.0, radius]))
        for start, end in zip(rim, np.roll(rim, 1, axis=0), strict=True):
            canvas.stroke(start, end, (32, 32, 34), max(3.0, size * 0.05), OBJECT)
    saddle = np.array([x - size * 0.2, y - size])
    bar = np.array([x + size * 0.45, y - size * 1.05])
    for start, end in (
        (hubs[0], saddle),
        (saddle, bar),
        (bar, hubs[1]),
        (hubs[0], np.array([x, y - radius])),
        (np.array([x, y - radius]), bar),
    ):
        canvas.stroke(start, end, colour, max(3.0, size * 0.055), OBJECT)


def _ball(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    radius = size * 0.35
    canvas.solid(
        ellipse(np.array([x, y - radius]), np.array([radius, 0.0]), np.array([0.0, radius])), _colour(rng), OBJECT
    )


_OBJECTS: dict[str, Callable[[Canvas, np.random.Generator, float, float, float], None]] = {
    "crate": _crate, "table": _table, "plant": _plant, "pillar": _pillar, "hedge": _hedge, "wheels": _wheels, "ball": _ball,
}  # fmt: skip


def draw_seat(canvas: Canvas, rng: np.random.Generator, pelvis: Points, ground: float, size: float) -> None:
    """What a sitting person sits on: from below the pelvis down to the ground, behind the legs."""
    top = float(pelvis[1]) + size * 0.05
    colour, width = _colour(rng), size * rng.uniform(0.3, 0.5)
    x = float(pelvis[0])
    if rng.random() < 0.5:  # a chair's back
        canvas.solid(box(x - width * 0.45, top - size * 0.3, width * 0.9, size * 0.3), shade(colour, 0.8), OBJECT)
    canvas.solid(box(x - width / 2, top, width, max(4.0, ground - top)), colour, OBJECT)


def draw_pedestal(canvas: Canvas, rng: np.random.Generator, foot: Points, size: float, colour: Colour) -> None:
    """The block a statue stands on; `foot`: where its feet are, canvas pixels."""
    x, y = float(foot[0]), float(foot[1])
    width = size * rng.uniform(0.34, 0.5)
    canvas.solid(box(x - width / 2, y, width, size * 0.2), shade(colour, 0.9), OBJECT)
    canvas.solid(box(x - width * 0.6, y - size * 0.01, width * 1.2, size * 0.05), colour, OBJECT)
    canvas.solid(box(x - width * 0.6, y + size * 0.18, width * 1.2, size * 0.06), shade(colour, 0.85), OBJECT)
