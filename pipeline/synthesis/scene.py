"""Puts people, things and lookalikes on a place, renders them from far to near, and labels what can be seen."""

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.synthesis import background, lookalikes
from pipeline.synthesis.camera import photograph
from pipeline.synthesis.canvas import OVERSAMPLING, Canvas
from pipeline.synthesis.figure import Figure, lowest_point
from pipeline.synthesis.labels import Person, label_person, person_mask
from pipeline.synthesis.look import Look, athletic_look, everyday_look
from pipeline.synthesis.objects import draw_object, draw_seat
from pipeline.synthesis.poses import ATHLETIC, EVERYDAY, Archetype, Pose, sample_build, sample_pose
from pipeline.synthesis.render import draw_figure
from pipeline.synthesis.skeleton import pose_skeleton

Extent = tuple[float, float, float, float]
LEAST_PIXELS = 24
"""Image pixels of a person that must be visible for anyone to notice and annotate them."""


@dataclass(frozen=True)
class Style:
    """How one source's pictures differ from another's; probabilities are per image unless they say otherwise."""

    places: tuple[str, ...]
    poses: dict[str, Archetype]
    dress: Callable[[np.random.Generator], Look]
    people: tuple[float, ...]
    """Probability of 1, 2, ... people."""
    stature: tuple[float, float]
    """Range in fractions of the image's height, drawn log-uniformly."""
    lookalike: float
    crowd: float
    occluder: float
    """Per person."""
    small: float
    """Probability of one more, small person."""
    camera_pitch: float


COCO_STYLE = Style(
    background.EVERYDAY_PLACES,
    EVERYDAY,
    everyday_look,
    (0.38, 0.32, 0.2, 0.1),
    (0.32, 1.05),
    0.62,
    0.06,
    0.3,
    0.18,
    6.0,
)
AIC_STYLE = Style(
    background.ATHLETIC_PLACES, ATHLETIC, athletic_look, (0.5, 0.3, 0.2), (0.4, 1.0), 0.0, 0.0, 0.12, 0.0, 10.0
)


@dataclass(frozen=True)
class Scene:
    """`image`: (H, W, 3) uint8 BGR. `lookalikes`: x1, y1, x2, y2 in image pixels of the things that resemble people."""

    image: NDArray[np.uint8]
    people: list[Person]
    lookalikes: list[Extent]


@dataclass
class _Layout:
    """What stands where, before it is drawn; drawing goes by `ground`, the row where a thing meets the ground."""

    people: list[tuple[Figure, Pose]] = field(default_factory=list)
    draws: list[tuple[float, Callable[[Canvas], None]]] = field(default_factory=list)
    taken: list[Extent] = field(default_factory=list)
    lookalikes: list[Extent] = field(default_factory=list)


def render_scene(rng: np.random.Generator, style: Style, image_size: tuple[int, int]) -> Scene:
    """One picture of `image_size` (H, W), turned upright one time in six."""
    height, width = image_size if rng.random() > 1 / 6 else image_size[::-1]
    light = rng.uniform(-0.9, 0.9), -rng.uniform(0.4, 0.9)
    canvas = Canvas(height * OVERSAMPLING, width * OVERSAMPLING, light)
    horizon = canvas.height * rng.uniform(0.28, 0.45)
    background.draw_place(canvas, rng, str(rng.choice(style.places)), horizon)
    layout = _Layout()
    crowds = _place_crowd(layout, rng, style, canvas, horizon)
    _place_people(layout, rng, style, canvas, horizon)
    if rng.random() < style.lookalike:
        _place_lookalike(layout, rng, canvas, horizon)
    for _, draw in sorted(layout.draws, key=lambda item: item[0]):
        draw(canvas)
    owner = canvas.owner[::OVERSAMPLING, ::OVERSAMPLING]
    people = _label(layout, rng, owner, crowds)
    image = cv2.resize(canvas.pixels, (width, height), interpolation=cv2.INTER_AREA)
    seen = [tuple(v / OVERSAMPLING for v in extent) for extent in layout.lookalikes]
    return Scene(photograph(image, rng), people, seen)


def _label(layout: _Layout, rng: np.random.Generator, owner: NDArray[np.int16], crowds: int) -> list[Person]:
    """People who show enough pixels; a small one seldom gets keypoints, as in COCO."""
    people = []
    if crowds:
        mask = person_mask(owner, 1)
        if mask.sum() >= LEAST_PIXELS:
            people.append(Person(mask, {}, crowd=True))
    for index, (figure, _) in enumerate(layout.people):
        person = label_person(figure, owner, index + 1 + crowds, careful=rng.random() < 0.85)
        small = figure.stature < 44 * OVERSAMPLING and rng.random() < 0.75
        if person.mask.sum() >= LEAST_PIXELS:
            people.append(Person(person.mask, {}) if small else person)
    return people


def _stand(
    rng: np.random.Generator, style: Style, canvas: Canvas, horizon: float, stature: float, camera_height: float
) -> tuple[Figure, Pose, float]:
    """A person of `stature` canvas pixels where the ground plane has that scale, and the row of that ground."""
    pose = sample_pose(rng, style.poses)
    yaw = rng.choice([0.0, 90.0, 180.0, -90.0], p=[0.45, 0.16, 0.23, 0.16]) + rng.normal(0, 25)
    skeleton = pose_skeleton(pose.angles, sample_build(rng), float(yaw), abs(rng.normal(0, style.camera_pitch)))
    ground = horizon + stature * camera_height
    lift = rng.uniform(0.05, 0.3) if pose.support == "air" else 0.0
    x = rng.uniform(0.02, 0.98) * canvas.width
    y = ground - (lowest_point(skeleton) + lift) * stature
    return Figure(skeleton, style.dress(rng), np.array([x, y]), stature), pose, ground


def _place_people(layout: _Layout, rng: np.random.Generator, style: Style, canvas: Canvas, horizon: float) -> None:
    count = 1 + int(rng.choice(len(style.people), p=style.people))
    low, high = np.log(np.array(style.stature) * min(canvas.height, canvas.width))
    statures = list(np.exp(rng.uniform(low, high, count)))
    if rng.random() < style.small:
        statures.append(rng.uniform(24, 48) * OVERSAMPLING)
    camera_height = rng.uniform(0.72, 1.0)
    first = 1 + len(layout.people)
    offset = 1 if layout.draws else 0
    for number, stature in enumerate(statures):
        figure, pose, ground = _stand(rng, style, canvas, horizon, stature, camera_height)
        layout.people.append((figure, pose))
        layout.taken.append(figure.extent())
        if pose.support == "seat":
            layout.draws.append((ground - 1e-3, _bind(draw_seat, rng, figure.project("pelvis"), ground, stature)))
        layout.draws.append((ground, _bind_figure(figure, first + number + offset)))
        if rng.random() < style.occluder:
            x = figure.origin[0] + rng.uniform(-0.35, 0.35) * stature
            foot = np.array([x, ground + rng.uniform(0.02, 0.12) * stature])
            layout.draws.append((float(foot[1]), _bind(draw_object, rng, foot, stature * rng.uniform(0.2, 0.5))))


def _bind(draw: Callable[..., None], rng: np.random.Generator, *arguments: object) -> Callable[[Canvas], None]:
    """Postpone a drawing; its random choices come from a generator of its own, so that the order can't change them."""
    own = rng.spawn(1)[0]
    return lambda canvas: draw(canvas, own, *arguments)


def _bind_figure(figure: Figure, person: int) -> Callable[[Canvas], None]:
    return lambda canvas: draw_figure(canvas, figure, person)


def _place_crowd(layout: _Layout, rng: np.random.Generator, style: Style, canvas: Canvas, horizon: float) -> int:
    """A group too dense to tell apart, all of it person 1; returns the number of crowds, 0 or 1."""
    if rng.random() >= style.crowd:
        return 0
    stature = rng.uniform(40, 64) * OVERSAMPLING / 2 + 30
    x, spread = rng.uniform(0.2, 0.8) * canvas.width, stature * rng.uniform(0.8, 1.6)
    for _ in range(int(rng.integers(6, 12))):
        figure, _, ground = _stand(rng, style, canvas, horizon, stature * rng.uniform(0.9, 1.1), 0.75)
        figure = Figure(
            figure.skeleton, figure.look, np.array([x + rng.uniform(-spread, spread), figure.origin[1]]), figure.stature
        )
        layout.draws.append((ground, _bind_figure(figure, 1)))
        layout.taken.append(figure.extent())
    return 1


def _place_lookalike(layout: _Layout, rng: np.random.Generator, canvas: Canvas, horizon: float) -> None:
    """One statue, doll or poster where no annotated person's box can reach it; none if there is no such place."""
    margin = 6.0 * OVERSAMPLING
    for _ in range(24):
        thing = lookalikes.sample_lookalike(rng, canvas, horizon)
        x1, y1, x2, y2 = thing.extent
        inside = x1 > 0 and x2 < canvas.width and y1 > 0 and y2 < canvas.height
        free = all(
            x2 + margin < a1 or a2 + margin < x1 or y2 + margin < b1 or b2 + margin < y1
            for a1, b1, a2, b2 in layout.taken
        )
        if inside and free:
            layout.draws.append((thing.ground, thing.draw))
            layout.lookalikes.append(thing.extent)
            return
