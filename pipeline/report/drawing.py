"""People drawn on their pictures, as JPEG data URIs small enough for one page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from pipeline.records.images import ImageReader
from pipeline.records.keypoints import KeypointSet
from pipeline.report.blocks import Picture

LEFT, RIGHT, MIDDLE = (235, 87, 87), (66, 133, 244), (250, 204, 21)  # as the paper's figures: red, blue, yellow
TRUTH, OUTSIDE = (255, 255, 255), (52, 58, 66)
GREEN, RED, YELLOW = (34, 197, 94), (239, 68, 68), (250, 204, 21)  # boxes, as the paper's Figure 5
WIDEST = 8  # times the height, of a picture that is shown
FURTHEST = 32_000  # pixels: OpenCV has 16 bits for them, beside those for parts of one
REGION = 0.8  # width by height of the regions that `around` gives, so that they line up in a gallery


@dataclass(frozen=True)
class Skeleton:
    """A pose to draw: `points` [K, 2] image pixels, `shown` [K]; a `plain` one is thin and white, as the truth.

    Keypoints that are `hollow` [K] are drawn as rings, and their limbs thin: there, but not sure.
    """

    points: np.ndarray
    shown: np.ndarray
    plain: bool = False
    hollow: np.ndarray | None = None


@dataclass(frozen=True)
class Scene:
    """Part of an image to show: which file, which region (x, y, w, h; None: all), and what to draw on it.

    `boxes` are x, y, w, h with a colour, `dots` image pixels [N, 2] with a colour.
    """

    path: Path
    region: np.ndarray | None = None
    boxes: Sequence[tuple[np.ndarray, tuple[int, int, int]]] = ()
    skeletons: Sequence[Skeleton] = ()
    dots: Sequence[tuple[np.ndarray, tuple[int, int, int]]] = ()


def picture(scene: Scene, keypoints: KeypointSet, caption: str, height: int = 240) -> Picture:
    """A scene `height` pixels high, for the page. ValueError names an image that cannot be read."""
    image = drawn(scene, keypoints, height)
    return Picture(data_uri(image), caption, image.shape[1], image.shape[0])


def drawn(scene: Scene, keypoints: KeypointSet, height: int) -> np.ndarray:
    """A scene as an RGB image [height, W, 3], lower where it would be more than `WIDEST` times as wide.

    ValueError names an image that cannot be read.
    """
    image = ImageReader().read(scene.path).copy()
    region = np.array([0, 0, image.shape[1], image.shape[0]]) if scene.region is None else scene.region
    extent = np.array([image.shape[1], image.shape[0]])
    x, y = np.round(np.clip(region[:2], -extent, extent)).astype(int).tolist()
    w, h = np.round(np.clip(region[2:], 1, 3 * extent)).astype(int).tolist()
    part = _with_surroundings(image, x, y, w, h)
    scale = min(height / part.shape[0], WIDEST * height / part.shape[1])
    size = (max(round(part.shape[1] * scale), 1), max(round(part.shape[0] * scale), 1))
    resized = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    canvas = np.ascontiguousarray(resized)
    for box, colour in scene.boxes:
        corners = pixels((np.array([box[:2], box[:2] + box[2:]]) - (x, y)) * scale)
        cv2.rectangle(canvas, corners[0].tolist(), corners[1].tolist(), colour, 2, cv2.LINE_AA)
    for skeleton in scene.skeletons:
        draw_skeleton(canvas, skeleton, keypoints, np.array([x, y]), scale)
    for points, colour in scene.dots:
        for place in pixels((points - (x, y)) * scale):
            _dot(canvas, place, colour)
    return canvas


def pixels(places: np.ndarray) -> np.ndarray:
    """Places as whole pixels, no further away than OpenCV draws."""
    return np.round(np.clip(places, -FURTHEST, FURTHEST)).astype(int)


def data_uri(image: np.ndarray, quality: int = 82) -> str:
    """An RGB image [H, W, 3] uint8 as a JPEG data URI."""
    encoded = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=quality, colorspace="RGB")
    return "data:image/jpeg;base64," + base64.b64encode(encoded).decode()


def around(boxes: Sequence[np.ndarray], margin: float = 0.25) -> np.ndarray:
    """A region (x, y, w, h) of the shape `REGION` with all boxes and `margin` of their longer side around them."""
    corners = np.array([[*box[:2], *(box[:2] + box[2:])] for box in boxes], float)
    low, high = corners[:, :2].min(0), corners[:, 2:].max(0)
    size = high - low + 2 * margin * (high - low).max()
    size = np.maximum(size, [size[1] * REGION, size[0] / REGION])
    return np.concatenate([(low + high) / 2 - size / 2, size])


def colour_of(name: str) -> tuple[int, int, int]:
    """A keypoint's colour by the side that its name says."""
    return LEFT if name.startswith("left") else RIGHT if name.startswith("right") else MIDDLE


def draw_skeleton(
    image: np.ndarray, skeleton: Skeleton, keypoints: KeypointSet, origin: np.ndarray, scale: float
) -> None:
    """Draw limbs and keypoints on an RGB image in place: `(point - origin) * scale` is where a point goes."""
    finite = np.isfinite(skeleton.points).all(1) & skeleton.shown
    places = pixels((np.nan_to_num(skeleton.points) - origin) * scale)
    hollow = np.zeros(len(finite), bool) if skeleton.hollow is None else skeleton.hollow
    for a, b in keypoints.limb_indices:
        if finite[a] and finite[b]:
            sides = colour_of(keypoints.names[a]), colour_of(keypoints.names[b])
            colour = TRUTH if skeleton.plain else sides[0] if sides[0] == sides[1] else MIDDLE
            width = 1 if skeleton.plain or hollow[a] or hollow[b] else 2
            cv2.line(image, places[a].tolist(), places[b].tolist(), colour, width, cv2.LINE_AA)
    for k in np.flatnonzero(finite):
        if skeleton.plain:
            cv2.circle(image, places[k].tolist(), 2, TRUTH, -1, cv2.LINE_AA)
        elif hollow[k]:
            cv2.circle(image, places[k].tolist(), 3, colour_of(keypoints.names[k]), 1, cv2.LINE_AA)
        else:
            _dot(image, places[k], colour_of(keypoints.names[k]))


def _dot(image: np.ndarray, place: np.ndarray, colour: tuple[int, int, int]) -> None:
    cv2.circle(image, place.tolist(), 4, (20, 20, 20), -1, cv2.LINE_AA)
    cv2.circle(image, place.tolist(), 3, colour, -1, cv2.LINE_AA)


def _with_surroundings(image: np.ndarray, x: int, y: int, w: int, h: int) -> np.ndarray:
    """The region of an image; what lies outside the image is grey."""
    part = np.full((h, w, 3), OUTSIDE, np.uint8)
    height, width = image.shape[:2]
    top, left, bottom, right = max(y, 0), max(x, 0), min(y + h, height), min(x + w, width)
    if bottom > top and right > left:
        part[top - y : bottom - y, left - x : right - x] = image[top:bottom, left:right]
    return part
