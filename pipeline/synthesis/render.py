"""Draws one body: parts from far to near, each painted with its own owner code."""

from functools import partial

from pipeline.synthesis.canvas import PARTS, Canvas, Colour, capsule, hull
from pipeline.synthesis.figure import Figure
from pipeline.synthesis.head import draw_head
from pipeline.synthesis.skeleton import FORWARD
from pipeline.synthesis.torso import draw_pelvis, draw_skirt, draw_torso

HEAD, TORSO, PELVIS, SKIRT = 1, 2, 3, 4
UPPER_ARM = {"left": 5, "right": 6}
FOREARM = {"left": 7, "right": 8}
THIGH = {"left": 9, "right": 10}
SHIN = {"left": 11, "right": 12}


def draw_figure(canvas: Canvas, figure: Figure, person: int) -> None:
    """Paint the body; every pixel it covers gets the owner code `PARTS * person + part`."""
    code = PARTS * person
    depth = figure.depth
    # (depth, draw, code); the small offsets settle who is on top where parts meet at about the same depth.
    parts = [
        (depth("neck", "pelvis"), draw_torso, TORSO),
        (depth("pelvis") + 0.004, draw_pelvis, PELVIS),
        (depth("head") - 0.02, draw_head, HEAD),
    ]
    if figure.look.skirt:
        nearest = min(depth("left_hip", "left_knee"), depth("right_hip", "right_knee"), depth("pelvis"))
        parts.append((nearest - 0.003, draw_skirt, SKIRT))
    for side in ("left", "right"):
        parts += [
            (depth(f"{side}_shoulder", f"{side}_elbow") - 0.03, partial(_upper_arm, side=side), UPPER_ARM[side]),
            (depth(f"{side}_elbow", f"{side}_wrist") - 0.035, partial(_forearm, side=side), FOREARM[side]),
            (depth(f"{side}_hip", f"{side}_knee") + 0.008, partial(_thigh, side=side), THIGH[side]),
            (depth(f"{side}_knee", f"{side}_ankle") + 0.006, partial(_shin, side=side), SHIN[side]),
        ]
    for _, draw, part in sorted(parts, key=lambda item: -item[0]):
        draw(canvas, figure, code=code + part)


def _limb(
    canvas: Canvas,
    figure: Figure,
    names: tuple[str, str],
    sizes: tuple[float, float],
    cover: float,
    cloth: Colour,
    code: int,
) -> None:
    """A limb segment in skin, then cloth over the first `cover` (0..1) of it."""
    start, end = figure.project(names[0]), figure.project(names[1])
    r0, r1 = figure.thickness(sizes[0]), figure.thickness(sizes[1])
    if cover < 1:
        canvas.capsule(start, end, (r0, r1), figure.look.skin, code)
    if cover > 0:
        cover = min(1.0, cover)
        cuff, width = start + (end - start) * cover, r0 + (r1 - r0) * cover
        canvas.capsule(start, cuff, (r0 * 1.1, width * 1.14), cloth, code)


def _upper_arm(canvas: Canvas, figure: Figure, code: int, side: str) -> None:
    look = figure.look
    sleeve = look.second if look.pattern == "blocks" else look.top
    _limb(canvas, figure, (f"{side}_shoulder", f"{side}_elbow"), (0.036, 0.028), look.sleeve, sleeve, code)


def _forearm(canvas: Canvas, figure: Figure, code: int, side: str) -> None:
    look = figure.look
    sleeve = look.second if look.pattern == "blocks" else look.top
    hand = capsule(
        figure.project(f"{side}_wrist"), figure.project(f"{side}_hand"), figure.thickness(0.018), figure.thickness(0.02)
    )
    canvas.solid(hand, look.skin, code)
    _limb(canvas, figure, (f"{side}_elbow", f"{side}_wrist"), (0.028, 0.02), look.sleeve - 1, sleeve, code)


def _thigh(canvas: Canvas, figure: Figure, code: int, side: str) -> None:
    look = figure.look
    _limb(canvas, figure, (f"{side}_hip", f"{side}_knee"), (0.054, 0.038), look.trouser, look.bottom, code)


def _shin(canvas: Canvas, figure: Figure, code: int, side: str) -> None:
    look = figure.look
    ankle, toe = figure.project(f"{side}_ankle"), figure.project(f"{side}_toe")
    shoe = hull([(ankle, figure.thickness(0.022)), (toe, figure.thickness(0.018))])
    seen_from_behind = figure.skeleton.pelvis_frame[2, FORWARD] > 0.3
    if seen_from_behind:  # the heel is nearer than the toes: the leg covers the shoe
        canvas.solid(shoe, look.shoes, code)
    _limb(canvas, figure, (f"{side}_knee", f"{side}_ankle"), (0.038, 0.025), look.trouser - 1, look.bottom, code)
    if not seen_from_behind:
        canvas.solid(shoe, look.shoes, code)
