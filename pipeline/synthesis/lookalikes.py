"""Statues, dolls and pictures of people: the same bodies with other surfaces, which nobody annotates."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from pipeline.synthesis.background import EVERYDAY_PLACES, draw_place
from pipeline.synthesis.canvas import Canvas, Colour, box, shade
from pipeline.synthesis.figure import Figure, lowest_point
from pipeline.synthesis.look import Look, colour_from_hsv, everyday_look, mannequin_look, statue_look
from pipeline.synthesis.objects import OBJECT, draw_pedestal
from pipeline.synthesis.poses import EVERYDAY, sample_build, sample_pose
from pipeline.synthesis.render import draw_figure
from pipeline.synthesis.skeleton import pose_skeleton


@dataclass(frozen=True)
class Lookalike:
    """`ground`: the row that decides what it hides; `extent`: x1, y1, x2, y2 in canvas pixels, pedestal and frame included."""

    ground: float
    extent: tuple[float, float, float, float]
    draw: Callable[[Canvas], None]


def sample_lookalike(rng: np.random.Generator, canvas: Canvas, horizon: float) -> Lookalike:
    """A statue, a mannequin or a poster somewhere in the scene."""
    stature = float(np.exp(rng.uniform(*np.log([0.3, 0.72])))) * min(canvas.height, canvas.width)
    x = float(rng.uniform(0.1, 0.9)) * canvas.width
    kind = rng.random()
    if kind < 0.36:
        return _statue(rng, x, horizon + stature * 0.85, stature)
    if kind < 0.7:
        figure = _figure(rng, mannequin_look(rng), x, horizon + stature * 0.9, stature)
        return Lookalike(horizon + stature * 0.9, figure.extent(), lambda canvas: draw_figure(canvas, figure, 0))
    return _poster(rng, canvas, x, stature)


def _figure(rng: np.random.Generator, look: Look, x: float, ground: float, stature: float, yaw: float = 50.0) -> Figure:
    pose = sample_pose(rng, {name: kind for name, kind in EVERYDAY.items() if kind.support == "ground"})
    skeleton = pose_skeleton(pose.angles, sample_build(rng), float(rng.normal(0, yaw)), 3.0)
    return Figure(skeleton, look, np.array([x, ground - lowest_point(skeleton) * stature]), stature)


def _statue(rng: np.random.Generator, x: float, ground: float, stature: float) -> Lookalike:
    look = statue_look(rng)
    own = rng.spawn(1)[0]
    foot = np.array([x, ground - 0.22 * stature])
    figure = _figure(rng, look, x, float(foot[1]), stature)
    x1, y1, x2, _ = figure.extent()

    def draw(canvas: Canvas) -> None:
        draw_pedestal(canvas, own, foot, stature, look.top)
        draw_figure(canvas, figure, 0)

    half = 0.31 * stature
    return Lookalike(ground, (min(x1, x - half), y1, max(x2, x + half), ground + 0.04 * stature), draw)


def _poster(rng: np.random.Generator, canvas: Canvas, x: float, stature: float) -> Lookalike:
    """A framed picture on the wall or a stand: a person in another light, cut off by the frame more often than not."""
    own = rng.spawn(1)[0]
    height, width = stature * rng.uniform(0.95, 1.15), stature * rng.uniform(0.55, 0.8)
    top = float(rng.uniform(0.03, 0.4)) * canvas.height
    left, frame = x - width / 2, max(4.0, 0.035 * stature)
    figure = _figure(
        own, everyday_look(own), width / 2, height * own.uniform(0.96, 1.3), stature * own.uniform(0.9, 1.25), 35.0
    )
    border: Colour = colour_from_hsv(rng.random(), rng.uniform(0.0, 0.5), rng.choice([0.15, 0.9]))

    def draw(canvas: Canvas) -> None:
        picture = Canvas(int(height), int(width), (float(canvas.light[0]), float(canvas.light[1])))
        if own.random() < 0.5:
            draw_place(picture, own, str(own.choice(EVERYDAY_PLACES)), height * 0.4)
        else:
            picture.pixels[:] = np.rint(colour_from_hsv(own.random(), own.uniform(0.1, 0.7), own.uniform(0.6, 1.0)))
        draw_figure(picture, figure, 0)
        if own.random() < 0.3:
            picture.pixels = cv2.merge([cv2.cvtColor(picture.pixels, cv2.COLOR_BGR2GRAY)] * 3)
        canvas.fill(box(left - frame, top - frame, width + 2 * frame, height + 2 * frame), shade(border, 0.7), OBJECT)
        canvas.fill(box(left - frame * 0.6, top - frame * 0.6, width + 1.2 * frame, height + 1.2 * frame), border)
        x0, y0 = max(0, int(left)), max(0, int(top))
        target = canvas.pixels[y0 : y0 + picture.height, x0 : x0 + picture.width]
        target[:] = picture.pixels[: target.shape[0], : target.shape[1]]

    extent = (left - frame, top - frame, left + width + frame, top + height + frame)
    return Lookalike(0.0, extent, draw)
