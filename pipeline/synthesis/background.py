"""Places: a ground plane with a horizon, walls or sky, textures and clutter."""

from collections.abc import Callable

import cv2
import numpy as np

from pipeline.synthesis.canvas import Canvas, Colour, box, ellipse, shade
from pipeline.synthesis.look import colour_from_hsv

EVERYDAY_PLACES = ("room", "street", "park", "beach")
ATHLETIC_PLACES = ("pitch", "court", "gym", "stage")


def _hsv(
    rng: np.random.Generator, hue: tuple[float, float], saturation: tuple[float, float], value: tuple[float, float]
) -> Colour:
    return colour_from_hsv(rng.uniform(*hue), rng.uniform(*saturation), rng.uniform(*value))


def draw_place(canvas: Canvas, rng: np.random.Generator, kind: str, horizon: float) -> None:
    """Fill the whole canvas. `horizon`: y of the line where the ground begins, canvas pixels."""
    _PLACES[kind](canvas, rng, horizon)
    _texture(canvas, rng)


def _gradient(canvas: Canvas, top: float, bottom: float, first: Colour, last: Colour) -> None:
    y0, y1 = int(max(0, top)), int(min(canvas.height, bottom))
    if y1 > y0:
        t = np.linspace(0, 1, y1 - y0)[:, None, None]
        rows = np.array(first) * (1 - t) + np.array(last) * t
        canvas.pixels[y0:y1] = np.rint(np.clip(rows, 0, 255)).astype(np.uint8)


def _texture(canvas: Canvas, rng: np.random.Generator) -> None:
    """Blotches of three sizes, so that no surface is flat."""
    total = np.zeros((canvas.height, canvas.width), np.int16)
    for cells, strength in ((6, 26), (24, 18), (90, 16)):
        rows = max(2, cells * canvas.height // canvas.width)
        blotches = rng.integers(-strength, strength + 1, size=(rows, cells)).astype(np.int16)
        total += cv2.resize(blotches, (canvas.width, canvas.height), interpolation=cv2.INTER_LINEAR)
    canvas.pixels = cv2.add(canvas.pixels, cv2.merge([total] * 3), dtype=cv2.CV_8U)


def _scatter(
    canvas: Canvas,
    rng: np.random.Generator,
    count: int,
    draw: Callable[[float, float, float], None],
    low: float,
    high: float,
) -> None:
    """Call draw(x, y, size) `count` times between rows `low` and `high`; lower ones are nearer and larger."""
    for y in np.sort(rng.uniform(low, high, count)):
        nearness = (y - low) / max(1.0, high - low)
        draw(float(rng.uniform(0, canvas.width)), float(y), float((0.5 + nearness) * rng.uniform(0.6, 1.4)))


def _room(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    wall = _hsv(rng, (0, 1), (0.05, 0.4), (0.4, 0.9))
    floor = _hsv(rng, (0.03, 0.13), (0.15, 0.55), (0.3, 0.7))
    corner = horizon + canvas.height * rng.uniform(0.12, 0.25)
    _gradient(canvas, 0, corner, shade(wall, 0.8), wall)
    _gradient(canvas, corner, canvas.height, shade(floor, 0.75), floor)
    canvas.fill(box(0, corner - 6, canvas.width, 8), shade(wall, 0.6))
    for x in np.arange(-1.0, 2.2, 0.22) * canvas.width:  # floor boards run to the vanishing point
        centre = np.array([canvas.width / 2, corner])
        end = np.array([canvas.width / 2 + (x - canvas.width / 2) * 2.5, canvas.height * 1.4])
        canvas.stroke(centre * 0.8 + end * 0.2 + [0, 0], end, shade(floor, 0.7), 2.5)
    for _ in range(rng.integers(2, 7)):
        width, height = rng.uniform(0.06, 0.24, 2) * canvas.width
        x, y = rng.uniform(0, canvas.width), rng.uniform(0, max(1.0, corner - height))
        _panel(canvas, rng, x, y, width, height)


def _panel(canvas: Canvas, rng: np.random.Generator, x: float, y: float, width: float, height: float) -> None:
    """A window, a shelf or a cupboard on the wall."""
    colour = _hsv(rng, (0, 1), (0.1, 0.7), (0.2, 0.95))
    canvas.fill(box(x, y, width, height), shade(colour, 0.55))
    canvas.fill(box(x + 4, y + 4, width - 8, height - 8), colour)
    kind = rng.integers(3)
    if kind == 0:
        canvas.fill(box(x + width / 2 - 2, y, 4, height), shade(colour, 0.5))
        canvas.fill(box(x, y + height / 2 - 2, width, 4), shade(colour, 0.5))
    elif kind == 1:
        for left in np.arange(x + 6, x + width - 10, 11.0):
            book = _hsv(rng, (0, 1), (0.3, 0.9), (0.2, 0.9))
            tall = height * rng.uniform(0.5, 0.85)
            canvas.fill(box(left, y + height - 5 - tall, 9, tall), book)


def _street(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    sky = _hsv(rng, (0.5, 0.65), (0.1, 0.5), (0.6, 1.0))
    ground = _hsv(rng, (0.05, 0.65), (0.0, 0.15), (0.3, 0.65))
    _gradient(canvas, 0, horizon, sky, shade(sky, 1.15))
    base = horizon + canvas.height * 0.06
    _gradient(canvas, horizon, base, shade(ground, 0.7), shade(ground, 0.8))
    x = -30.0
    while x < canvas.width:
        width, height = rng.uniform(60, 190), rng.uniform(0.3, 1.1) * max(60.0, horizon)
        wall = _hsv(rng, (0.0, 0.15), (0.1, 0.6), (0.3, 0.85))
        canvas.fill(box(x, base - height, width, height), wall)
        pane = shade(wall, rng.choice([0.45, 1.35]))
        step = rng.uniform(20, 34)
        for wx in np.arange(x + 8, x + width - 14, step):
            for wy in np.arange(base - height + 10, base - 22, step * 1.2):
                canvas.fill(box(float(wx), float(wy), step * 0.5, step * 0.7), pane)
        x += width + rng.uniform(0, 30)
    _gradient(canvas, base, canvas.height, shade(ground, 0.85), shade(ground, 1.1))
    for row in (0.15, 0.4, 0.8):
        y = base + (canvas.height - base) * row
        canvas.fill(box(0, y, canvas.width, 2 + 6 * row), shade(ground, rng.choice([0.75, 1.3])))
    _scatter(
        canvas,
        rng,
        int(rng.integers(0, 4)),
        lambda x, y, s: _car(canvas, rng, x, y, 60 * s),
        base,
        base + canvas.height * 0.15,
    )
    _scatter(
        canvas,
        rng,
        int(rng.integers(0, 4)),
        lambda x, y, s: _post(canvas, rng, x, y, 110 * s),
        base,
        canvas.height * 0.8,
    )


def _car(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    colour = _hsv(rng, (0, 1), (0.2, 0.9), (0.3, 0.9))
    roof = np.array(
        [
            [x + 0.3 * size, y - 0.75 * size],
            [x + 1.1 * size, y - 0.75 * size],
            [x + 1.45 * size, y - 0.4 * size],
            [x + 0.1 * size, y - 0.4 * size],
        ]
    )
    canvas.fill(roof, shade(colour, 0.7))
    canvas.fill(box(x - 0.1 * size, y - 0.45 * size, 1.8 * size, 0.35 * size), colour)
    for wheel in (0.25, 1.25):
        canvas.fill(
            ellipse(
                np.array([x + wheel * size, y - 0.1 * size]), np.array([0.17 * size, 0]), np.array([0, 0.17 * size])
            ),
            (30, 30, 30),
        )


def _post(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    colour = _hsv(rng, (0, 1), (0.0, 0.5), (0.15, 0.6))
    canvas.stroke(np.array([x, y]), np.array([x, y - size]), colour, max(3.0, size * 0.05))
    if rng.random() < 0.5:
        sign = _hsv(rng, (0, 1), (0.6, 1.0), (0.5, 0.9))
        canvas.fill(ellipse(np.array([x, y - size]), np.array([size * 0.14, 0]), np.array([0, size * 0.14])), sign)


def _tree(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    trunk = _hsv(rng, (0.05, 0.1), (0.3, 0.6), (0.2, 0.5))
    leaf = _hsv(rng, (0.2, 0.42), (0.3, 0.8), (0.2, 0.6))
    canvas.stroke(np.array([x, y]), np.array([x, y - size]), trunk, size * 0.09)
    for _ in range(6):
        centre = np.array([x, y - size]) + rng.uniform(-0.32, 0.32, 2) * size
        radius = size * rng.uniform(0.2, 0.36)
        canvas.fill(
            ellipse(centre, np.array([radius, 0]), np.array([0, radius * 0.8])), shade(leaf, rng.uniform(0.7, 1.25))
        )


def _park(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    sky = _hsv(rng, (0.5, 0.62), (0.1, 0.5), (0.7, 1.0))
    grass = _hsv(rng, (0.18, 0.36), (0.3, 0.7), (0.35, 0.7))
    _gradient(canvas, 0, horizon, sky, shade(sky, 1.1))
    _gradient(canvas, horizon, canvas.height, shade(grass, 0.8), shade(grass, 1.1))
    path = shade(grass, 1.4)
    mid = rng.uniform(0.2, 0.8) * canvas.width
    canvas.fill(
        np.array([[mid, horizon], [mid + 20, horizon], [mid + 260, canvas.height], [mid - 160, canvas.height]]), path
    )
    _scatter(
        canvas,
        rng,
        int(rng.integers(3, 10)),
        lambda x, y, s: _tree(canvas, rng, x, y, 90 * s),
        horizon,
        horizon + canvas.height * 0.12,
    )
    _scatter(
        canvas,
        rng,
        30,
        lambda x, y, s: canvas.stroke(np.array([x, y]), np.array([x + 3, y - 9 * s]), shade(grass, 0.7), 2.0),
        horizon,
        canvas.height,
    )


def _beach(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    sky = _hsv(rng, (0.5, 0.62), (0.2, 0.6), (0.7, 1.0))
    sea = _hsv(rng, (0.48, 0.62), (0.4, 0.8), (0.4, 0.8))
    sand = _hsv(rng, (0.08, 0.13), (0.15, 0.45), (0.65, 0.95))
    shore = horizon + canvas.height * rng.uniform(0.08, 0.2)
    _gradient(canvas, 0, horizon, sky, shade(sky, 1.2))
    _gradient(canvas, horizon, shore, shade(sea, 0.8), sea)
    _gradient(canvas, shore, canvas.height, shade(sand, 0.9), sand)
    _scatter(
        canvas,
        rng,
        14,
        lambda x, y, s: canvas.stroke(np.array([x, y]), np.array([x + 60 * s, y]), shade(sea, 1.3), 2.5),
        horizon,
        shore,
    )
    _scatter(
        canvas,
        rng,
        int(rng.integers(1, 5)),
        lambda x, y, s: _umbrella(canvas, rng, x, y, 90 * s),
        shore,
        canvas.height * 0.8,
    )


def _umbrella(canvas: Canvas, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    colour = _hsv(rng, (0, 1), (0.5, 1.0), (0.6, 1.0))
    canvas.stroke(np.array([x, y]), np.array([x, y - size]), (90, 100, 110), 4.0)
    canvas.fill(
        np.array([[x - size * 0.6, y - size * 0.85], [x, y - size * 1.2], [x + size * 0.6, y - size * 0.85]]), colour
    )


def _crowd_stand(canvas: Canvas, rng: np.random.Generator, top: float, bottom: float) -> None:
    """Rows of coloured specks: spectators too far away to be people to anyone."""
    _gradient(canvas, top, bottom, (70, 60, 60), (110, 95, 90))
    count = int((bottom - top) * canvas.width / 260)
    xs, ys = rng.uniform(0, canvas.width, count), rng.uniform(top, bottom, count)
    colours = rng.integers(30, 230, size=(count, 3))
    for x, y, colour in zip(xs.astype(int), ys.astype(int), colours.tolist(), strict=True):
        canvas.pixels[y : y + 6, x : x + 5] = colour


def _pitch(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    grass = _hsv(rng, (0.25, 0.38), (0.6, 0.9), (0.35, 0.65))
    top = horizon * rng.uniform(0.0, 0.4)
    _gradient(canvas, 0, max(1.0, top), (150, 130, 110), (200, 180, 160))
    _crowd_stand(canvas, rng, top, horizon)
    _gradient(canvas, horizon, canvas.height, shade(grass, 0.85), grass)
    for k in range(0, 8, 2):
        y0, y1 = (horizon + (canvas.height - horizon) * (k + d) ** 1.6 / 8**1.6 for d in (0, 1))
        canvas.fill(box(0, y0, canvas.width, y1 - y0), shade(grass, 1.15))
    board = horizon - 4
    for x in np.arange(0, canvas.width, 110.0):
        canvas.fill(box(x, board, 106, 26), _hsv(rng, (0, 1), (0.5, 1.0), (0.3, 1.0)))
    canvas.stroke(
        np.array([0, canvas.height * 0.8]),
        np.array([canvas.width, canvas.height * rng.uniform(0.6, 0.9)]),
        (235, 240, 235),
        5.0,
    )


def _court(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    floor = _hsv(rng, (0.0, 1.0), (0.45, 0.8), (0.4, 0.75))
    wall = _hsv(rng, (0.0, 1.0), (0.3, 0.8), (0.15, 0.45))
    _gradient(canvas, 0, horizon, shade(wall, 0.7), wall)
    _gradient(canvas, horizon, canvas.height, shade(floor, 0.85), floor)
    for _ in range(5):
        ends = rng.uniform([0, horizon], [canvas.width, canvas.height], (2, 2))
        canvas.stroke(ends[0], ends[1], (240, 240, 240), 4.0)
    if rng.random() < 0.6:  # a net
        y = horizon + 20
        for x in np.arange(0, canvas.width, 16.0):
            canvas.stroke(np.array([x, y]), np.array([x, y + 46]), (200, 200, 200), 1.4)
        canvas.fill(box(0, y - 5, canvas.width, 8), (245, 245, 245))


def _gym(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    _room(canvas, rng, horizon)
    mat = _hsv(rng, (0.5, 1.0), (0.6, 1.0), (0.4, 0.8))
    y = canvas.height * rng.uniform(0.6, 0.8)
    canvas.fill(np.array([[40, y], [canvas.width - 40, y], [canvas.width, y + 90], [0, y + 90]], dtype=float), mat)
    for x in rng.uniform(0, canvas.width, 3):
        canvas.stroke(np.array([x, 0]), np.array([x, horizon + 40]), (70, 110, 150), 7.0)


def _stage(canvas: Canvas, rng: np.random.Generator, horizon: float) -> None:
    curtain = _hsv(rng, (0.6, 1.1), (0.6, 1.0), (0.2, 0.45))
    floor = _hsv(rng, (0.0, 0.15), (0.2, 0.5), (0.2, 0.45))
    _gradient(canvas, 0, canvas.height, shade(curtain, 0.6), curtain)
    for x in np.arange(0, canvas.width, 34.0):
        canvas.fill(box(x, 0, 14, horizon + canvas.height * 0.2), shade(curtain, rng.uniform(1.1, 1.5)))
    _gradient(canvas, horizon + canvas.height * 0.2, canvas.height, shade(floor, 0.8), shade(floor, 1.2))
    beams = canvas.pixels.copy()
    for _ in range(3):
        top, foot = rng.uniform(0, canvas.width, 2)
        spot = np.array([[top, 0], [top + 12, 0], [foot + 100, canvas.height], [foot - 100, canvas.height]])
        cv2.fillConvexPoly(beams, np.rint(spot).astype(np.int32), _hsv(rng, (0, 1), (0.2, 0.6), (0.9, 1.0)))
    canvas.pixels = cv2.addWeighted(canvas.pixels, 0.8, beams, 0.2, 0)


_PLACES: dict[str, Callable[[Canvas, np.random.Generator, float], None]] = {
    "room": _room, "street": _street, "park": _park, "beach": _beach,
    "pitch": _pitch, "court": _court, "gym": _gym, "stage": _stage,
}  # fmt: skip
