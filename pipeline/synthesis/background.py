"""The places a scene can be set in, by name."""

import numpy as np

from pipeline.synthesis.athletic_places import draw_court, draw_gym, draw_pitch, draw_stage
from pipeline.synthesis.canvas import Canvas
from pipeline.synthesis.everyday_places import draw_beach, draw_park, draw_room, draw_street
from pipeline.synthesis.surfaces import texture

_EVERYDAY = {"room": draw_room, "street": draw_street, "park": draw_park, "beach": draw_beach}
_ATHLETIC = {"pitch": draw_pitch, "court": draw_court, "gym": draw_gym, "stage": draw_stage}
EVERYDAY_PLACES, ATHLETIC_PLACES = tuple(_EVERYDAY), tuple(_ATHLETIC)


def draw_place(canvas: Canvas, rng: np.random.Generator, kind: str, horizon: float) -> None:
    """Fill the whole canvas. `horizon`: y of the line where the ground begins, canvas pixels."""
    (_EVERYDAY | _ATHLETIC)[kind](canvas, rng, horizon)
    texture(canvas, rng)
