"""People drawn on their pictures, as JPEG data URIs small enough for one page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from pipeline.images import ImageReader
from pipeline.keypoints import KeypointSet
from pipeline.report.blocks import Picture

LEFT, RIGHT, MIDDLE = (235, 87, 87), (66, 133, 244), (250, 204, 21)  # as the paper's figures: red, blue, yellow
TRUTH, BOX, OFF = (255, 255, 255), (34, 197, 94), (249, 115, 22)


@dataclass(frozen=True)
class Skeleton:
    """A pose to draw: `points` [K, 2] image pixels, `shown` [K]; a `plain` one is thin and white, as the truth."""

    points: np.ndarray
    shown: np.ndarray
    plain: bool = False


@dataclass(frozen=True)
class Scene:
    """Part of an image to show: which file, which region (x, y, w, h; None: all), and what to draw on it."""

    path: Path
    region: np.ndarray | None = None
    boxes: Sequence[np.ndarray] = ()
    skeletons: Sequence[Skeleton] = ()


def picture(scene: Scene, keypoints: KeypointSet, caption: str, height: int = 240) -> Picture:
    """Draw a scene `height` pixels high. ValueError names an image that cannot be read."""
    image = ImageReader().read(scene.path).copy()
    x, y, w, h = _inside(scene.region, image)
    part = image[y : y + h, x : x + w]
    scale = height / h
    if w * scale > 2.2 * height:  # very wide regions get as wide as two pictures
        scale = 2.2 * height / w
    size = (max(round(w * scale), 1), max(round(h * scale), 1))
    drawn = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    drawn = np.ascontiguousarray(drawn)
    for box in scene.boxes:
        corners = np.round((np.array([box[:2], box[:2] + box[2:]]) - (x, y)) * scale).astype(int)
        cv2.rectangle(drawn, corners[0].tolist(), corners[1].tolist(), BOX, 2, cv2.LINE_AA)
    for skeleton in scene.skeletons:
        draw_skeleton(drawn, skeleton, keypoints, np.array([x, y]), scale)
    return Picture(data_uri(drawn), caption, *size)


def data_uri(image: np.ndarray, quality: int = 82) -> str:
    """An RGB image [H, W, 3] uint8 as a JPEG data URI."""
    encoded = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=quality, colorspace="RGB")
    return "data:image/jpeg;base64," + base64.b64encode(encoded).decode()


def around(boxes: Sequence[np.ndarray], margin: float = 0.25) -> np.ndarray:
    """A region (x, y, w, h) that holds all boxes and `margin` of their longer side around them."""
    corners = np.array([[*box[:2], *(box[:2] + box[2:])] for box in boxes], float)
    low, high = corners[:, :2].min(0), corners[:, 2:].max(0)
    space = margin * (high - low).max()
    return np.concatenate([low - space, high - low + 2 * space])


def colour_of(name: str) -> tuple[int, int, int]:
    """A keypoint's colour by the side that its name says."""
    return LEFT if name.startswith("left") else RIGHT if name.startswith("right") else MIDDLE


def draw_skeleton(
    image: np.ndarray, skeleton: Skeleton, keypoints: KeypointSet, origin: np.ndarray, scale: float
) -> None:
    """Draw limbs and keypoints on an RGB image in place: `(point - origin) * scale` is where a point goes."""
    finite = np.isfinite(skeleton.points).all(1) & skeleton.shown
    places = np.round((np.nan_to_num(skeleton.points) - origin) * scale).astype(int).clip(-4000, 4000)
    for a, b in keypoints.limb_indices:
        if finite[a] and finite[b]:
            sides = colour_of(keypoints.names[a]), colour_of(keypoints.names[b])
            colour = TRUTH if skeleton.plain else sides[0] if sides[0] == sides[1] else MIDDLE
            cv2.line(image, places[a].tolist(), places[b].tolist(), colour, 1 if skeleton.plain else 2, cv2.LINE_AA)
    for k in np.flatnonzero(finite):
        if skeleton.plain:
            cv2.circle(image, places[k].tolist(), 2, TRUTH, -1, cv2.LINE_AA)
            continue
        cv2.circle(image, places[k].tolist(), 4, (20, 20, 20), -1, cv2.LINE_AA)
        cv2.circle(image, places[k].tolist(), 3, colour_of(keypoints.names[k]), -1, cv2.LINE_AA)


def _inside(region: np.ndarray | None, image: np.ndarray) -> tuple[int, int, int, int]:
    height, width = image.shape[:2]
    if region is None:
        return 0, 0, width, height
    low = np.clip(np.floor(region[:2]), 0, [width - 1, height - 1])
    high = np.clip(np.ceil(region[:2] + region[2:]), low + 1, [width, height])
    x, y, right, bottom = (int(value) for value in (*low, *high))
    return x, y, right - x, bottom - y
