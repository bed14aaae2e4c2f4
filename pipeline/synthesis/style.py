"""How one source's pictures differ from another's."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.synthesis.background import ATHLETIC_PLACES, EVERYDAY_PLACES
from pipeline.synthesis.look import Look, athletic_look, everyday_look
from pipeline.synthesis.poses import ATHLETIC, EVERYDAY, Archetype


@dataclass(frozen=True)
class Style:
    """Probabilities are per image unless they say otherwise.

    `people`: of 1, 2, ... people. `stature`: range in fractions of the image's shorter side, drawn log-uniformly.
    `occluder`: of a thing before a person, per person. `small`: of one more, small person. `camera_pitch`: standard
    deviation of how far the camera looks down, in degrees. `bare_below`: stature, in the same fractions, below which
    people are mostly annotated without keypoints, as COCO's small ones are.
    """

    places: tuple[str, ...]
    poses: dict[str, Archetype]
    dress: Callable[[np.random.Generator], Look]
    people: tuple[float, ...]
    stature: tuple[float, float]
    camera_pitch: float
    occluder: float
    small: float = 0.0
    bare_below: float = 0.0
    crowd: float = 0.0
    lookalike: float = 0.0


COCO_STYLE = Style(
    places=EVERYDAY_PLACES,
    poses=EVERYDAY,
    dress=everyday_look,
    people=(0.34, 0.32, 0.22, 0.12),
    stature=(0.32, 1.05),
    camera_pitch=6.0,
    occluder=0.3,
    small=0.18,
    bare_below=0.18,
    crowd=0.06,
    lookalike=0.55,
)
AIC_STYLE = Style(
    places=ATHLETIC_PLACES,
    poses=ATHLETIC,
    dress=athletic_look,
    people=(0.5, 0.3, 0.2),
    stature=(0.4, 1.0),
    camera_pitch=10.0,
    occluder=0.12,
)
