"""Rooms, streets, parks and beaches, where the COCO-like pictures are taken."""

import numpy as np

from pipeline.synthesis.canvas import Canvas, box, disc, line, polygon, shade
from pipeline.synthesis.surfaces import gradient, paint, scatter

_ANY = (0.0, 1.0)


def draw_room(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    wall = paint(rng, _ANY, (0.05, 0.4), (0.4, 0.9))
    floor = paint(rng, (0.03, 0.13), (0.15, 0.55), (0.3, 0.7))
    corner = horizon + canvas.height * rng.uniform(0.12, 0.25)
    gradient(canvas, 0, corner, shade(wall, 0.8), wall)
    gradient(canvas, corner, canvas.height, shade(floor, 0.75), floor)
    canvas.fill(box(0, corner - 6, canvas.width, 8), shade(wall, 0.6))
    middle = canvas.width / 2
    for share in np.arange(-1.5, 1.6, 0.22):  # floor boards run to a vanishing point
        x = share * canvas.width
        canvas.fill(line(middle + x * 0.5, corner, middle + x * 1.6, canvas.height, 2.5), shade(floor, 0.7))
    for _ in range(rng.integers(2, 7)):
        width, height = rng.uniform(0.06, 0.24, 2) * canvas.width
        x, y = rng.uniform(0, canvas.width), rng.uniform(0, max(1.0, corner - height))
        _panel(canvas, rng, x, y, width, height)


def _panel(canvas: Canvas, rng: np.random.Generator, x: float, y: float, width: float, height: float) -> None:
    """A window, a shelf or a cupboard on the wall."""
    colour = paint(rng, _ANY, (0.1, 0.7), (0.2, 0.95))
    canvas.fill(box(x, y, width, height), shade(colour, 0.55))
    canvas.fill(box(x + 4, y + 4, width - 8, height - 8), colour)
    kind = rng.integers(3)
    if kind == 0:
        canvas.fill(box(x + width / 2 - 2, y, 4, height), shade(colour, 0.5))
        canvas.fill(box(x, y + height / 2 - 2, width, 4), shade(colour, 0.5))
    elif kind == 1:
        for left in np.arange(x + 6, x + width - 10, 11.0):
            tall = height * rng.uniform(0.5, 0.85)
            canvas.fill(box(left, y + height - 5 - tall, 9, tall), paint(rng, _ANY, (0.3, 0.9), (0.2, 0.9)))


def draw_street(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    sky = paint(rng, (0.5, 0.65), (0.1, 0.5), (0.6, 1.0))
    ground = paint(rng, (0.05, 0.65), (0.0, 0.15), (0.3, 0.65))
    base = horizon + canvas.height * 0.06
    gradient(canvas, 0, horizon, sky, shade(sky, 1.15))
    gradient(canvas, horizon, base, shade(ground, 0.7), shade(ground, 0.8))
    x = -30.0
    while x < canvas.width:
        width, height = rng.uniform(60, 190), rng.uniform(0.3, 1.1) * max(60.0, horizon)
        _building(canvas, rng, x, base, width, height)
        x += width + rng.uniform(0, 30)
    gradient(canvas, base, canvas.height, shade(ground, 0.85), shade(ground, 1.1))
    for row in (0.15, 0.4, 0.8):
        y = base + (canvas.height - base) * row
        canvas.fill(box(0, y, canvas.width, 2 + 6 * row), shade(ground, rng.choice([0.75, 1.3])))
    scatter(canvas, rng, (0, 4), (base, base + canvas.height * 0.15), _car)
    scatter(canvas, rng, (0, 4), (base, canvas.height * 0.8), _post)


def _building(canvas: Canvas, rng: np.random.Generator, x: float, base: float, width: float, height: float) -> None:
    wall = paint(rng, (0.0, 0.15), (0.1, 0.6), (0.3, 0.85))
    canvas.fill(box(x, base - height, width, height), wall)
    pane, step = shade(wall, rng.choice([0.45, 1.35])), rng.uniform(20, 34)
    for window_x in np.arange(x + 8, x + width - 14, step):
        for window_y in np.arange(base - height + 10, base - 22, step * 1.2):
            canvas.fill(box(window_x, window_y, step * 0.5, step * 0.7), pane)


def _car(canvas: Canvas, rng: np.random.Generator, x: float, y: float, nearness: float) -> None:
    colour, size = paint(rng, _ANY, (0.2, 0.9), (0.3, 0.9)), 60 * nearness
    roof = np.array([[0.3, -0.75], [1.1, -0.75], [1.45, -0.4], [0.1, -0.4]]) * size + (x, y)
    canvas.fill(roof, shade(colour, 0.7))
    canvas.fill(box(x - 0.1 * size, y - 0.45 * size, 1.8 * size, 0.35 * size), colour)
    for wheel in (0.25, 1.25):
        canvas.fill(disc(x + wheel * size, y - 0.1 * size, 0.17 * size), (30, 30, 30))


def _post(canvas: Canvas, rng: np.random.Generator, x: float, y: float, nearness: float) -> None:
    size = 110 * nearness
    canvas.fill(line(x, y, x, y - size, max(3.0, size * 0.05)), paint(rng, _ANY, (0.0, 0.5), (0.15, 0.6)))
    if rng.random() < 0.5:
        canvas.fill(disc(x, y - size, size * 0.14), paint(rng, _ANY, (0.6, 1.0), (0.5, 0.9)))


def draw_park(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    sky = paint(rng, (0.5, 0.62), (0.1, 0.5), (0.7, 1.0))
    grass = paint(rng, (0.18, 0.36), (0.3, 0.7), (0.35, 0.7))
    gradient(canvas, 0, horizon, sky, shade(sky, 1.1))
    gradient(canvas, horizon, canvas.height, shade(grass, 0.8), shade(grass, 1.1))
    middle, bottom = rng.uniform(0.2, 0.8) * canvas.width, canvas.height
    path = polygon((middle, horizon), (middle + 20, horizon), (middle + 260, bottom), (middle - 160, bottom))
    canvas.fill(path, shade(grass, 1.4))
    scatter(canvas, rng, (3, 10), (horizon, horizon + canvas.height * 0.12), _tree)

    def blade(canvas: Canvas, rng: np.random.Generator, x: float, y: float, nearness: float) -> None:
        canvas.fill(line(x, y, x + 3, y - 9 * nearness, 2.0), shade(grass, 0.7))

    scatter(canvas, rng, (15, 40), (horizon, canvas.height), blade)


def _tree(canvas: Canvas, rng: np.random.Generator, x: float, y: float, nearness: float) -> None:
    trunk = paint(rng, (0.05, 0.1), (0.3, 0.6), (0.2, 0.5))
    leaf = paint(rng, (0.2, 0.42), (0.3, 0.8), (0.2, 0.6))
    size = 90 * nearness
    canvas.fill(line(x, y, x, y - size, size * 0.09), trunk)
    for dx, dy in rng.uniform(-0.32, 0.32, (6, 2)) * size:
        canvas.fill(
            disc(x + dx, y - size + dy, size * rng.uniform(0.2, 0.36), 0.8), shade(leaf, rng.uniform(0.7, 1.25))
        )


def draw_beach(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    sky = paint(rng, (0.5, 0.62), (0.2, 0.6), (0.7, 1.0))
    sea = paint(rng, (0.48, 0.62), (0.4, 0.8), (0.4, 0.8))
    sand = paint(rng, (0.08, 0.13), (0.15, 0.45), (0.65, 0.95))
    shore = horizon + canvas.height * rng.uniform(0.08, 0.2)
    gradient(canvas, 0, horizon, sky, shade(sky, 1.2))
    gradient(canvas, horizon, shore, shade(sea, 0.8), sea)
    gradient(canvas, shore, canvas.height, shade(sand, 0.9), sand)

    def wave(canvas: Canvas, rng: np.random.Generator, x: float, y: float, nearness: float) -> None:
        canvas.fill(line(x, y, x + 60 * nearness, y, 2.5), shade(sea, 1.3))

    scatter(canvas, rng, (8, 18), (horizon, shore), wave)
    scatter(canvas, rng, (1, 5), (shore, canvas.height * 0.8), _umbrella)


def _umbrella(canvas: Canvas, rng: np.random.Generator, x: float, y: float, nearness: float) -> None:
    size = 90 * nearness
    canvas.fill(line(x, y, x, y - size, 4.0), (90, 100, 110))
    roof = polygon((x - size * 0.6, y - size * 0.85), (x, y - size * 1.2), (x + size * 0.6, y - size * 0.85))
    canvas.fill(roof, paint(rng, _ANY, (0.5, 1.0), (0.6, 1.0)))
