"""What an annotator would write about a rendered scene: masks and keypoints, from who owns which pixel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.synthesis.canvas import BACKGROUND, OVERSAMPLING, PARTS
from pipeline.synthesis.figure import Figure
from pipeline.synthesis.masks import Mask
from pipeline.synthesis.render import FOREARM, HEAD, PELVIS, SHIN, SKIRT, THIGH, TORSO, UPPER_ARM
from pipeline.synthesis.skeleton import BODY_KEYPOINTS, FACE_KEYPOINTS

NOT_LABELLED, OCCLUDED, VISIBLE = 0, 1, 2
KEYPOINTS = (
    *FACE_KEYPOINTS,
    *(f"{side}_{joint}" for joint in BODY_KEYPOINTS for side in ("left", "right")),
    "top_of_head",
    "neck",
)
"""Every landmark the renderer knows: COCO's seventeen in COCO's order, then AI Challenger's two that COCO lacks."""


@dataclass(frozen=True)
class Person:
    """An annotated person.

    `number`: theirs in the owner map. `mask`: (H, W) visible pixels. `keypoints`: name to (x, y, v), image pixels with
    integers at pixel centres, v as COCO means it; empty if nobody annotated them, as for a crowd, which is several
    people under one mask.
    """

    number: int
    mask: Mask
    keypoints: dict[str, tuple[float, float, int]]
    crowd: bool = False


def person_mask(owner: NDArray[np.int16], person: int) -> Mask:
    return owner // PARTS == person


def label_person(figure: Figure, owner: NDArray[np.int16], person: int, careful: bool) -> Person:
    """Judge every landmark by the owner of its pixel in `owner` (H, W), the scene's final owner codes in image pixels.

    A landmark is visible where its own part of the body is what one sees there. Otherwise it is occluded, or not
    labelled: always outside the image and on the far side of the head, and wherever it is hidden if the annotator is
    not `careful`.
    """
    mask = person_mask(owner, person)
    keypoints = {name: _label(figure, owner, person, name) for name in KEYPOINTS}
    if not careful:
        keypoints = {name: k if k[2] == VISIBLE else (0.0, 0.0, NOT_LABELLED) for name, k in keypoints.items()}
    return Person(person, mask, keypoints)


def image_position(point: NDArray[np.float64]) -> tuple[float, float]:
    """Canvas pixels to image pixels, integers at pixel centres in both, rounded to hundredths."""
    x, y = (point + 0.5) / OVERSAMPLING - 0.5
    return round(float(x), 2), round(float(y), 2)


def _label(figure: Figure, owner: NDArray[np.int16], person: int, name: str) -> tuple[float, float, int]:
    x, y = image_position(figure.project(name))
    height, width = owner.shape
    if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
        return 0.0, 0.0, NOT_LABELLED
    turned_away = 0.0
    if name in FACE_KEYPOINTS:
        turned_away = float(figure.skeleton.face_normal(name)[2])
        if turned_away > 0.35:
            return 0.0, 0.0, NOT_LABELLED
    code = int(owner[round(y), round(x)])
    if code == BACKGROUND:  # past the rim of the head: nothing covers it, yet it is not to be seen
        return 0.0, 0.0, NOT_LABELLED
    shown = code // PARTS == person and code % PARTS in _own_parts(figure, name) and turned_away < 0.15
    return x, y, VISIBLE if shown else OCCLUDED


def _own_parts(figure: Figure, name: str) -> set[int]:
    """Parts at whose surface the landmark lies, given how the body is turned."""
    if name in FACE_KEYPOINTS or name == "top_of_head":
        return {HEAD}
    if name == "neck":
        return {TORSO, HEAD}
    side, joint = name.split("_")
    if joint in ("elbow", "wrist"):
        return {UPPER_ARM[side], FOREARM[side]}
    if joint in ("knee", "ankle"):
        return {THIGH[side], SHIN[side]}
    # The trunk shows the shoulders and hips of its near side, not those that it hides.
    trunk, limb, depth = (
        ({TORSO}, UPPER_ARM[side], figure.depth("neck")) if joint == "shoulder"
        else ({TORSO, PELVIS, SKIRT}, THIGH[side], figure.depth("pelvis"))
    )  # fmt: skip
    return {limb} if figure.depth(name) > depth + 0.045 else {limb, *trunk}
