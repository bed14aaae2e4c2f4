"""Statues, dolls and pictures of people: the same bodies with other surfaces, which nobody annotates."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from pipeline.synthesis.background import EVERYDAY_PLACES, draw_place
from pipeline.synthesis.canvas import Canvas, box, shade
from pipeline.synthesis.figure import Figure, lowest_point
from pipeline.synthesis.look import Look, colour_from_hsv, everyday_look, mannequin_look, statue_look
from pipeline.synthesis.objects import OBJECT, draw_pedestal
from pipeline.synthesis.poses import EVERYDAY, sample_build, sample_pose
from pipeline.synthesis.render import draw_figure
from pipeline.synthesis.skeleton import pose_skeleton
from pipeline.synthesis.surfaces import paint

Extent = tuple[float, float, float, float]
_STANDING = {name: kind for name, kind in EVERYDAY.items() if kind.support == "ground"}


@dataclass(frozen=True)
class Lookalike:
    """Canvas pixels. `ground`: the row that decides what it hides; `extent`: x1, y1, x2, y2 around x = 0, pedestal and
    frame included; `draw(canvas, x)` puts it at x."""

    ground: float
    extent: Extent
    draw: Callable[[Canvas, float], None]


def sample_lookalike(rng: np.random.Generator, canvas: Canvas, horizon: float) -> Lookalike:
    """A statue, a mannequin or a poster, of a size that goes with the scene."""
    stature = float(np.exp(rng.uniform(*np.log([0.3, 0.72])))) * min(canvas.height, canvas.width)
    kind = rng.random()
    if kind < 0.36:
        return _statue(rng, horizon + stature * 0.85, stature)
    if kind < 0.7:
        figure = _figure(rng, mannequin_look(rng), horizon + stature * 0.9, stature)
        return Lookalike(
            horizon + stature * 0.9, figure.extent(), lambda canvas, x: draw_figure(canvas, _at(figure, x), 0)
        )
    return _poster(rng, rng.uniform(0.03, 0.4) * canvas.height, stature)


def _at(figure: Figure, x: float) -> Figure:
    return replace(figure, origin=figure.origin + np.array([x, 0.0]))


def _figure(rng: np.random.Generator, look: Look, ground: float, stature: float) -> Figure:
    """A standing body that more or less faces the viewer, at x = 0."""
    skeleton = pose_skeleton(sample_pose(rng, _STANDING).angles, sample_build(rng), float(rng.normal(0, 45)), 3.0)
    return Figure(skeleton, look, np.array([0.0, ground - lowest_point(skeleton) * stature]), stature)


def _mannequin(rng: np.random.Generator, ground: float, stature: float) -> Lookalike:
    figure = _figure(rng, mannequin_look(rng), ground, stature)
    return Lookalike(ground, figure.extent(), lambda canvas, x: draw_figure(canvas, _at(figure, x), 0))


def _statue(rng: np.random.Generator, ground: float, stature: float) -> Lookalike:
    look = statue_look(rng)
    height, width = 0.22 * stature, rng.uniform(0.4, 0.6) * stature
    foot = ground - height
    figure = _figure(rng, look, foot, stature)

    def draw(canvas: Canvas, x: float) -> None:
        draw_pedestal(canvas, np.array([x, foot]), width, height, look.top)
        draw_figure(canvas, _at(figure, x), 0)

    x1, y1, x2, _ = figure.extent()
    return Lookalike(ground, (min(x1, -width / 2), y1, max(x2, width / 2), ground + 2), draw)


def _poster(rng: np.random.Generator, top: float, stature: float) -> Lookalike:
    """A framed picture on the wall or a stand; the frame cuts the person off more often than not."""
    height, width = int(stature * rng.uniform(0.95, 1.15)), int(stature * rng.uniform(0.55, 0.8))
    frame = max(4.0, 0.035 * stature)
    border = paint(rng, (0.0, 1.0), (0.0, 0.5), (0.1, 0.95))
    own = rng.spawn(1)[0]

    def draw(canvas: Canvas, x: float) -> None:
        left = x - width / 2
        for share, gain in ((1.0, 0.7), (0.6, 1.0)):
            size = frame * share
            canvas.fill(box(left - size, top - size, width + 2 * size, height + 2 * size), shade(border, gain), OBJECT)
        picture = _picture(own, height, width, stature)
        target = canvas.pixels[int(top) : int(top) + height, int(left) : int(left) + width]
        target[:] = picture[: target.shape[0], : target.shape[1]]

    extent = (-width / 2 - frame, top - frame, width / 2 + frame, top + height + frame)
    return Lookalike(0.0, extent, draw)


def _picture(rng: np.random.Generator, height: int, width: int, stature: float) -> np.ndarray:
    """The poster's print, (height, width, 3): a place or plain paper, one person, sometimes in black and white."""
    picture = Canvas(height, width)
    if rng.random() < 0.5:
        draw_place(picture, rng, str(rng.choice(EVERYDAY_PLACES)), height * 0.4)
    else:
        picture.pixels[:] = np.rint(colour_from_hsv(rng.random(), rng.uniform(0.1, 0.7), rng.uniform(0.6, 1.0)))
    figure = _figure(rng, everyday_look(rng), height * rng.uniform(0.96, 1.3), stature * rng.uniform(0.9, 1.25))
    draw_figure(picture, _at(figure, width / 2), 0)
    if rng.random() < 0.3:
        return cv2.merge([cv2.cvtColor(picture.pixels, cv2.COLOR_BGR2GRAY)] * 3)
    return picture.pixels
