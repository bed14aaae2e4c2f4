"""People drawn on the picture they were found in."""

from __future__ import annotations

import cv2
import numpy as np

from pipeline.predict.people import People
from pipeline.records.keypoints import KeypointSet
from pipeline.report.drawing import GREEN, Skeleton, draw_skeleton, pixels

SURE = 0.3  # keypoints scored lower are rings
SHOWN = 0.05  # poses scored lower are not drawn; the other outputs have them
_COLOURS = (GREEN, (168, 85, 247), (14, 165, 233), (249, 115, 22), (236, 72, 153), (132, 204, 22))


def draw(picture: np.ndarray, people: People, keypoints: KeypointSet, sure: float = SURE) -> np.ndarray:
    """A copy of a picture [H, W, 3] RGB with the people on it: skeletons by side, boxes, scores, and ids in a video."""
    canvas = np.ascontiguousarray(picture).copy()
    origin = np.zeros(2)
    for n in np.flatnonzero(people.scores >= SHOWN)[::-1]:  # the surest on top
        identity = None if people.ids is None else int(people.ids[n])
        colour = GREEN if identity is None else _COLOURS[identity % len(_COLOURS)]
        x, y, w, h = people.boxes[n].astype(float)
        corners = pixels(np.array([x, y, x + w, y + h])).tolist()
        cv2.rectangle(canvas, corners[:2], corners[2:], colour, 1, cv2.LINE_AA)
        label = f"{people.scores[n]:.2f}" if identity is None else f"#{identity} {people.scores[n]:.2f}"
        place = (corners[0] + 2, max(corners[1] - 3, 10))
        cv2.putText(canvas, label, place, cv2.FONT_HERSHEY_SIMPLEX, 0.38, (20, 20, 20), 3, cv2.LINE_AA)
        cv2.putText(canvas, label, place, cv2.FONT_HERSHEY_SIMPLEX, 0.38, colour, 1, cv2.LINE_AA)
        everything = np.ones(len(people.names), bool)
        hollow = people.keypoint_scores[n] < sure
        draw_skeleton(canvas, Skeleton(people.keypoints[n], everything, hollow=hollow), keypoints, origin, 1.0)
    return canvas
