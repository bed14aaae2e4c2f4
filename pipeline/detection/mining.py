"""Hard negatives: confident detections that touch no annotated person (section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_PAIRS = 4_000_000  # of a detection and a person that are compared at once, so that memory stays small


def touches_anyone(
    detection_images: Sequence[str], detections: np.ndarray, person_images: Sequence[str], people: np.ndarray
) -> np.ndarray:
    """[N] bool: does a detection share area, however little, with any person of its image?

    `detections` [N, 4] and `people` [M, 4] are boxes x, y, w, h in image pixels; the image ids say where they are.
    No shared area is the same as IoU 0: boxes that only touch do not count.
    """
    names = np.asarray(person_images, dtype=np.str_)
    order = np.argsort(names, kind="stable")
    names, boxes = names[order], people[order].astype(np.float64)
    wanted = np.asarray(detection_images, dtype=np.str_)
    first, last = np.searchsorted(names, wanted, "left"), np.searchsorted(names, wanted, "right")
    pairs = np.concatenate([[0], (last - first).cumsum()])
    touched = np.zeros(len(wanted), bool)
    start = 0
    while start < len(wanted):
        stop = max(start + 1, int(np.searchsorted(pairs, pairs[start] + _PAIRS, "right")) - 1)
        counts = (last - first)[start:stop]
        which = np.repeat(np.arange(start, stop), counts)
        person = np.arange(len(which)) - np.repeat(counts.cumsum() - counts, counts) + first[which]
        touched[which[_overlap(detections[which].astype(np.float64), boxes[person])]] = True
        start = stop
    return touched


def _overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    return (high > low).all(1)
