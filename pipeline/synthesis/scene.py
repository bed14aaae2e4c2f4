"""Puts people, things and lookalikes on a place, renders them from far to near, and labels what can be seen."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.synthesis.background import draw_place
from pipeline.synthesis.camera import photograph
from pipeline.synthesis.canvas import OVERSAMPLING, Canvas
from pipeline.synthesis.figure import Figure, lowest_point
from pipeline.synthesis.labels import Person, label_person, person_mask
from pipeline.synthesis.lookalikes import Extent, Lookalike, sample_lookalike
from pipeline.synthesis.objects import draw_object, draw_seat
from pipeline.synthesis.poses import Pose, sample_build, sample_pose
from pipeline.synthesis.render import draw_figure
from pipeline.synthesis.skeleton import pose_skeleton
from pipeline.synthesis.style import Style

LEAST_PIXELS = 24
"""Image pixels of a person that must be visible for anyone to notice and annotate them."""
_CROWD = 1
"""The crowd's number among the scene's people: it is laid out first."""


@dataclass(frozen=True)
class Scene:
    """`image`: (H, W, 3) uint8 BGR. `owner`: (H, W) int16 codes of who is seen where. `figures`: the bodies by person
    number. `lookalikes`: x1, y1, x2, y2 in image pixels of the things that resemble people."""

    image: NDArray[np.uint8]
    people: list[Person]
    owner: NDArray[np.int16]
    figures: dict[int, Figure]
    lookalikes: list[Extent]


@dataclass
class _Layout:
    """What stands where, before it is drawn. `draws` go by the row where a thing meets the ground."""

    figures: dict[int, Figure] = field(default_factory=dict)
    crowd: bool = False
    draws: list[tuple[float, Callable[[Canvas], None]]] = field(default_factory=list)
    taken: list[Extent] = field(default_factory=list)
    lookalikes: list[Extent] = field(default_factory=list)

    def add(self, figure: Figure, ground: float, person: int) -> None:
        self.draws.append((ground, partial(draw_figure, figure=figure, person=person)))
        self.taken.append(figure.extent())


@dataclass(frozen=True)
class _Ground:
    """The ground plane: someone of stature s (canvas pixels) stands at row `horizon + s * camera_height`."""

    width: int
    height: int
    horizon: float
    camera_height: float

    def row(self, stature: float) -> float:
        return self.horizon + stature * self.camera_height


def render_scene(rng: np.random.Generator, style: Style, image_size: tuple[int, int]) -> Scene:
    """One picture of `image_size` (H, W), turned upright one time in six."""
    height, width = image_size if rng.random() > 1 / 6 else image_size[::-1]
    light = float(rng.uniform(-0.9, 0.9)), -float(rng.uniform(0.4, 0.9))
    canvas = Canvas(height * OVERSAMPLING, width * OVERSAMPLING, light)
    ground = _Ground(canvas.width, canvas.height, canvas.height * rng.uniform(0.28, 0.45), rng.uniform(0.72, 1.0))
    draw_place(canvas, rng, str(rng.choice(style.places)), ground.horizon)
    layout = _Layout()
    if rng.random() < style.crowd:
        _place_crowd(layout, rng, style, ground)
    _place_people(layout, rng, style, ground)
    if rng.random() < style.lookalike:
        _place_lookalike(layout, rng, canvas, ground.horizon)
    for _, draw in sorted(layout.draws, key=lambda item: item[0]):
        draw(canvas)
    owner = np.ascontiguousarray(canvas.owner[::OVERSAMPLING, ::OVERSAMPLING])
    people = _label(layout, rng, owner, bare_below=style.bare_below * min(canvas.height, canvas.width))
    image = np.asarray(cv2.resize(canvas.pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    x1, y1, x2, y2 = np.array(layout.lookalikes).reshape(-1, 4).T / OVERSAMPLING
    extents = list(zip(x1.tolist(), y1.tolist(), x2.tolist(), y2.tolist(), strict=True))
    return Scene(photograph(image, rng), people, owner, layout.figures, extents)


def _label(layout: _Layout, rng: np.random.Generator, owner: NDArray[np.int16], bare_below: float) -> list[Person]:
    """People who show enough pixels; those of a stature below `bare_below` canvas pixels mostly lack keypoints."""
    people = [Person(_CROWD, person_mask(owner, _CROWD), {}, crowd=True)] if layout.crowd else []
    for number, figure in layout.figures.items():
        person = label_person(figure, owner, number, careful=rng.random() < 0.85)
        bare = figure.stature < bare_below and rng.random() < 0.75
        people.append(replace(person, keypoints={}) if bare else person)
    return [person for person in people if person.mask.sum() >= LEAST_PIXELS]


def _stand(rng: np.random.Generator, style: Style, ground: _Ground, stature: float) -> tuple[Figure, Pose]:
    """A person of `stature` canvas pixels where the ground has that scale."""
    pose = sample_pose(rng, style.poses)
    yaw = rng.choice([0.0, 90.0, 180.0, -90.0], p=[0.45, 0.16, 0.23, 0.16]) + rng.normal(0, 25)
    skeleton = pose_skeleton(pose.angles, sample_build(rng), float(yaw), abs(rng.normal(0, style.camera_pitch)))
    lift = rng.uniform(0.05, 0.3) if pose.support == "air" else 0.0
    x = rng.uniform(0.04, 0.96) * ground.width
    y = ground.row(stature) - (lowest_point(skeleton) + lift) * stature
    return Figure(skeleton, style.dress(rng), np.array([x, y]), stature), pose


def _place_people(layout: _Layout, rng: np.random.Generator, style: Style, ground: _Ground) -> None:
    """One person or more, each perhaps on a seat, perhaps behind a thing."""
    count = 1 + int(rng.choice(len(style.people), p=style.people))
    low, high = np.log(np.array(style.stature) * min(ground.height, ground.width))
    statures = np.exp(rng.uniform(low, high, count)).tolist()
    if rng.random() < style.small:
        statures.append(float(rng.uniform(0.1, 0.2)) * min(ground.height, ground.width))
    for number, stature in enumerate(statures, start=_CROWD + 1):
        figure, pose = _stand(rng, style, ground, stature)
        row = ground.row(stature)
        layout.figures[number] = figure
        layout.add(figure, row, number)
        if pose.support == "seat":
            seat = partial(draw_seat, rng=rng.spawn(1)[0], pelvis=figure.project("pelvis"), ground=row, size=stature)
            layout.draws.append((row - 1e-3, seat))
        if rng.random() < style.occluder:
            offset = rng.uniform([-0.35, 0.02], [0.35, 0.12]) * stature
            foot = np.array([figure.origin[0], row]) + offset
            thing = partial(draw_object, rng=rng.spawn(1)[0], foot=foot, size=stature * rng.uniform(0.2, 0.5))
            layout.draws.append((float(foot[1]), thing))


def _place_crowd(layout: _Layout, rng: np.random.Generator, style: Style, ground: _Ground) -> None:
    """A group too dense to tell apart."""
    layout.crowd = True
    stature = rng.uniform(0.15, 0.2) * min(ground.height, ground.width)
    x, spread = rng.uniform(0.2, 0.8) * ground.width, stature * rng.uniform(0.8, 1.6)
    for _ in range(int(rng.integers(6, 12))):
        member = stature * rng.uniform(0.9, 1.1)
        figure, _ = _stand(rng, style, ground, member)
        figure = replace(figure, origin=np.array([x + rng.uniform(-spread, spread), figure.origin[1]]))
        layout.add(figure, ground.row(member), _CROWD)


def _place_lookalike(layout: _Layout, rng: np.random.Generator, canvas: Canvas, horizon: float) -> None:
    """One statue, doll or poster where no person's box can reach it; none if there is no such place."""
    margin = 6.0 * OVERSAMPLING
    for _ in range(4):
        thing = sample_lookalike(rng, canvas, horizon)
        for x in rng.uniform(0.08, 0.92, 8) * canvas.width:
            x1, y1, x2, y2 = thing.extent[0] + x, thing.extent[1], thing.extent[2] + x, thing.extent[3]
            inside = x1 > 0 and x2 < canvas.width and y1 > 0 and y2 < canvas.height
            free = all(
                x2 + margin < a1 or a2 + margin < x1 or y2 + margin < b1 or b2 + margin < y1
                for a1, b1, a2, b2 in layout.taken
            )
            if inside and free:
                layout.draws.append((thing.ground, _standing_at(thing, float(x))))
                layout.lookalikes.append((x1, y1, x2, y2))
                return


def _standing_at(thing: Lookalike, x: float) -> Callable[[Canvas], None]:
    return lambda canvas: thing.draw(canvas, x)
