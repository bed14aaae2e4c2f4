"""Things that stand about: they hide parts of people, seat them, and carry statues."""

import numpy as np

from pipeline.synthesis.canvas import Canvas, Colour, Points, box, disc, line, polygon, shade
from pipeline.synthesis.surfaces import paint

OBJECT = 31
"""Owner code of everything that is not a body."""


def draw_object(canvas: Canvas, rng: np.random.Generator, foot: Points, size: float) -> None:
    """A random thing whose lower edge is centred at `foot` and which is about `size` canvas pixels high."""
    kind = _OBJECTS[rng.integers(len(_OBJECTS))]
    kind(canvas, rng, float(foot[0]), float(foot[1]), size)


def _colour(rng: np.random.Generator) -> Colour:
    return paint(rng, (0.0, 1.0), (0.1, 0.8), (0.2, 0.9))


def _leaf(rng: np.random.Generator) -> Colour:
    return paint(rng, (0.22, 0.42), (0.4, 0.9), (0.25, 0.65))


def _crate(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    colour, half, top = _colour(rng), size * rng.uniform(0.35, 0.75), y - size
    lid = polygon(
        (x - half, top), (x + half, top), (x + 0.8 * half, y - 1.15 * size), (x - 1.2 * half, y - 1.15 * size)
    )
    canvas.fill(lid, shade(colour, 1.25), OBJECT)
    canvas.solid(box(x - half, top, 2 * half, size), colour, OBJECT)
    canvas.fill(box(x - half, y - size * 0.55, 2 * half, size * 0.1), shade(colour, 0.6))


def _table(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    colour, width = _colour(rng), size * rng.uniform(1.3, 2.4)
    for leg in (-0.44, 0.36):
        canvas.fill(box(x + leg * width, y - size, width * 0.07, size), shade(colour, 0.6), OBJECT)
    canvas.solid(box(x - width / 2, y - size, width, size * 0.2), colour, OBJECT)


def _plant(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    leaf, root = _leaf(rng), np.array([x, y - size * 0.35])
    for angle in np.deg2rad(rng.uniform(-70, 70, 9)):
        along, across = np.array([np.sin(angle), -np.cos(angle)]), np.array([np.cos(angle), np.sin(angle)])
        tip = root + along * size * rng.uniform(0.45, 0.75)
        middle, half = (root + tip) / 2, across * size * 0.08
        canvas.fill(np.array([root, middle + half, tip, middle - half]), shade(leaf, rng.uniform(0.7, 1.3)), OBJECT)
    pot = np.array([[-0.22, -0.38], [0.22, -0.38], [0.15, 0.0], [-0.15, 0.0]]) * size + (x, y)
    canvas.solid(pot, _colour(rng), OBJECT)


def _pillar(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    width = size * rng.uniform(0.12, 0.25)
    canvas.solid(box(x - width / 2, y - size * 2.2, width, size * 2.2), _colour(rng), OBJECT)


def _hedge(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    leaf = _leaf(rng)
    for dx, dy in rng.uniform([-1.0, -0.7], [1.0, 0.0], (16, 2)) * size:
        bush = disc(x + dx, y + dy, size * rng.uniform(0.15, 0.3))
        canvas.fill(bush, shade(leaf, rng.uniform(0.7, 1.3)), OBJECT)


def _bicycle(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    """Thin rings and tubes, which hide little."""
    colour, radius, tube = _colour(rng), size * 0.36, max(3.0, size * 0.055)
    rear, front, crank = (x - 0.6 * size, y - radius), (x + 0.6 * size, y - radius), (x, y - radius)
    saddle, bar = (x - 0.2 * size, y - size), (x + 0.45 * size, y - 1.05 * size)
    for hub in (rear, front):
        rim = disc(*hub, radius)
        for (x1, y1), (x2, y2) in zip(rim, np.roll(rim, 1, axis=0), strict=True):
            canvas.fill(line(x1, y1, x2, y2, tube), (32, 32, 34), OBJECT)
    for start, end in ((rear, saddle), (saddle, bar), (bar, front), (rear, crank), (crank, bar)):
        canvas.fill(line(*start, *end, tube), colour, OBJECT)


def _ball(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    canvas.solid(disc(x, y - size * 0.35, size * 0.35), _colour(rng), OBJECT)


_OBJECTS = (_crate, _table, _plant, _pillar, _hedge, _bicycle, _ball)


def draw_seat(canvas: Canvas, rng: np.random.Generator, pelvis: Points, ground: float, size: float) -> None:
    """What a sitting person of `size` canvas pixels sits on: from below the pelvis to the row `ground`."""
    x, top = float(pelvis[0]), float(pelvis[1]) + size * 0.05
    colour, width = _colour(rng), size * rng.uniform(0.3, 0.5)
    if rng.random() < 0.5:  # a chair's back
        canvas.solid(box(x - width * 0.45, top - size * 0.3, width * 0.9, size * 0.3), shade(colour, 0.8), OBJECT)
    canvas.solid(box(x - width / 2, top, width, max(4.0, ground - top)), colour, OBJECT)


def draw_pedestal(canvas: Canvas, foot: Points, width: float, height: float, colour: Colour) -> None:
    """The block a statue stands on. `foot`: the middle of its top; sizes in canvas pixels."""
    x, y = float(foot[0]), float(foot[1])
    canvas.solid(box(x - width * 0.42, y, width * 0.84, height), shade(colour, 0.9), OBJECT)
    canvas.solid(box(x - width / 2, y, width, height * 0.2), colour, OBJECT)
    canvas.solid(box(x - width / 2, y + height * 0.78, width, height * 0.22), shade(colour, 0.85), OBJECT)
