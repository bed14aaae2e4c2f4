"""Pitches, courts, gyms and stages, where the AI-Challenger-like pictures are taken."""

import cv2
import numpy as np

from pipeline.synthesis.canvas import Canvas, box, line, polygon, shade
from pipeline.synthesis.everyday_places import draw_room
from pipeline.synthesis.surfaces import gradient, paint

_ANY = (0.0, 1.0)


def draw_pitch(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    grass = paint(rng, (0.25, 0.38), (0.6, 0.9), (0.35, 0.65))
    top = horizon * rng.uniform(0.0, 0.4)
    gradient(canvas, 0, max(1.0, top), (150, 130, 110), (200, 180, 160))
    _spectators(canvas, rng, top, horizon)
    gradient(canvas, horizon, canvas.height, shade(grass, 0.85), grass)
    for stripe in range(0, 8, 2):  # mown stripes widen towards the viewer
        y0, y1 = (horizon + (canvas.height - horizon) * ((stripe + d) / 8) ** 1.6 for d in (0, 1))
        canvas.fill(box(0, y0, canvas.width, y1 - y0), shade(grass, 1.15))
    for x in np.arange(0, canvas.width, 110.0):
        canvas.fill(box(x, horizon - 4, 106, 26), paint(rng, _ANY, (0.5, 1.0), (0.3, 1.0)))
    end = canvas.height * rng.uniform(0.6, 0.9)
    canvas.fill(line(0, canvas.height * 0.8, canvas.width, end, 5.0), (235, 240, 235))


def _spectators(canvas: Canvas, rng: np.random.Generator, top: float, bottom: float) -> None:
    """Coloured specks: people too far away to be people to anyone."""
    gradient(canvas, top, bottom, (70, 60, 60), (110, 95, 90))
    count = int((bottom - top) * canvas.width / 260)
    xs, ys = rng.uniform(0, canvas.width, count), rng.uniform(top, bottom, count)
    colours = rng.integers(30, 230, size=(count, 3))
    for x, y, colour in zip(xs.astype(int), ys.astype(int), colours.tolist(), strict=True):
        canvas.pixels[y : y + 6, x : x + 5] = colour


def draw_court(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    floor = paint(rng, _ANY, (0.45, 0.8), (0.4, 0.75))
    wall = paint(rng, _ANY, (0.3, 0.8), (0.15, 0.45))
    gradient(canvas, 0, horizon, shade(wall, 0.7), wall)
    gradient(canvas, horizon, canvas.height, shade(floor, 0.85), floor)
    for x1, y1, x2, y2 in rng.uniform([0, horizon] * 2, [canvas.width, canvas.height] * 2, (5, 4)):
        canvas.fill(line(x1, y1, x2, y2, 4.0), (240, 240, 240))
    if rng.random() < 0.6:  # a net
        y = horizon + 20
        for x in np.arange(0, canvas.width, 16.0):
            canvas.fill(line(x, y, x, y + 46, 1.4), (200, 200, 200))
        canvas.fill(box(0, y - 5, canvas.width, 8), (245, 245, 245))


def draw_gym(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    draw_room(canvas, rng, horizon)
    y, width = canvas.height * rng.uniform(0.6, 0.8), canvas.width
    mat = polygon((40, y), (width - 40, y), (width, y + 90), (0, y + 90))
    canvas.fill(mat, paint(rng, (0.5, 1.0), (0.6, 1.0), (0.4, 0.8)))
    for x in rng.uniform(0, width, 3):  # ropes
        canvas.fill(line(x, 0, x, horizon + 40, 7.0), (70, 110, 150))


def draw_stage(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    curtain = paint(rng, (0.6, 1.1), (0.6, 1.0), (0.2, 0.45))
    floor = paint(rng, (0.0, 0.15), (0.2, 0.5), (0.2, 0.45))
    edge = horizon + canvas.height * 0.2
    gradient(canvas, 0, edge, shade(curtain, 0.6), curtain)
    for x in np.arange(0, canvas.width, 34.0):
        canvas.fill(box(x, 0, 14, edge), shade(curtain, rng.uniform(1.1, 1.5)))
    gradient(canvas, edge, canvas.height, shade(floor, 0.8), shade(floor, 1.2))
    lit = canvas.pixels.copy()
    for top, foot in rng.uniform(0, canvas.width, (3, 2)):
        beam = polygon((top, 0), (top + 12, 0), (foot + 100, canvas.height), (foot - 100, canvas.height))
        cv2.fillConvexPoly(lit, np.rint(beam).astype(np.int32), paint(rng, _ANY, (0.2, 0.6), (0.9, 1.0)))
    canvas.pixels = np.asarray(cv2.addWeighted(canvas.pixels, 0.8, lit, 0.2, 0), np.uint8)
