"""Left and right exchanged in a source: in some keypoints, in everybody, or in some people."""

from __future__ import annotations

import numpy as np

from pipeline.records.keypoints import KeypointSet
from pipeline.sources.records import People

_LEAST_CLEAR = 5  # people in whom a limb tells its side, for it to mean something
_CLEARLY = 0.9  # of the longer way's length at most, for the shorter one to tell
_AGAINST = 0.8  # of those people who must speak against a limb; in honest sets one in twenty does
_LEAST_FACING = 3  # people whose faces show
_LEAST_BODIES = 50  # people whose shoulders and hips show, where no face does
_FACE_US = 0.4  # of photographed people two thirds and more face the camera, on the street as in sports
_SOME = 0.05  # of the people


def side_oddities(people: People, keypoints: KeypointSet) -> list[str]:
    """Warnings about a source's left and right, each a sentence with its remedy."""
    points = people.keypoints.astype(np.float64)
    if not len(people):
        return []
    if found := _limbs(points, keypoints):
        return [found]
    index = {name: i for i, name in enumerate(keypoints.names)}
    if not {f"{side}_{part}" for side in ("left", "right") for part in ("shoulder", "hip")} <= set(index):
        return []
    shoulders, hips = (_leftward(points, index[f"left_{part}"], index[f"right_{part}"]) for part in ("shoulder", "hip"))
    found = _everybody(points, index, shoulders, hips) or _some(people.ids, shoulders, hips)
    return [found] if found else []


def _limbs(points: np.ndarray, keypoints: KeypointSet) -> str:
    """Limbs that are shorter across the body than along its sides in nearly everybody, of people [N, K, 3].

    From left to left and right to right is compared with left to right and right to left: whoever faces us.
    """
    side_of = {k: side for pair in keypoints.flip_indices for side, k in enumerate(pair)}
    mirror, odd, done = keypoints.mirror.tolist(), [], set()
    for a, b in keypoints.limb_indices:
        couple = frozenset({a, b, mirror[a], mirror[b]})
        if len(couple) < 4 or couple in done or side_of[a] != side_of[b]:
            continue
        done.add(couple)
        people = points[(points[:, list(couple), 2] > 0).all(1)]
        along = _way(people, a, b) + _way(people, mirror[a], mirror[b])
        across = _way(people, a, mirror[b]) + _way(people, mirror[a], b)
        clear = int((np.minimum(along, across) < _CLEARLY * np.maximum(along, across)).sum())
        against = int((across < _CLEARLY * along).sum())
        if clear >= _LEAST_CLEAR and against > _AGAINST * clear:
            odd.append(f"{keypoints.names[a]} and {keypoints.names[b]} (in {against} of {clear} people)")
    if not odd:
        return ""
    return (
        f"left and right look exchanged in some keypoints: on opposite sides of the body are {', '.join(odd[:3])}"
        f"{' ...' if len(odd) > 3 else ''}; exchange them in the annotations, or in the order of their names"
    )


def _way(points: np.ndarray, one: int, other: int) -> np.ndarray:
    """[N] pixels between two keypoints."""
    return np.linalg.norm(points[:, one, :2] - points[:, other, :2], axis=1)


def _everybody(points: np.ndarray, index: dict[str, int], shoulders: np.ndarray, hips: np.ndarray) -> str:
    """Most people mirrored: those whose faces show, or, where no face is labelled, far too many seen from behind."""
    if {"nose", "left_eye", "right_eye"} <= set(index):
        seen = points[:, [index["nose"], index["left_eye"], index["right_eye"]], 2] == 2
        facing = seen.all(1) & (shoulders != 0)  # who shows nose and eyes shows us the front
        mirrored = facing & (shoulders < 0)
        if facing.sum() >= _LEAST_FACING:
            if mirrored.sum() < _LEAST_FACING or mirrored.sum() <= 0.5 * facing.sum():
                return ""
            return (
                f"left and right look exchanged: of {int(facing.sum())} people who face the camera "
                f"{int(mirrored.sum())} have their left on the left side of the picture; a person's own left is meant"
            )
    bodies = shoulders * hips > 0
    front = int((shoulders[bodies] > 0).sum())
    if bodies.sum() < _LEAST_BODIES or front >= _FACE_US * bodies.sum():
        return ""
    return (
        f"left and right look exchanged, or most people are seen from behind: {int(bodies.sum()) - front} of "
        f"{int(bodies.sum())} have their left on the left side of the picture; a person's own left is meant"
    )


def _some(ids: list[str], shoulders: np.ndarray, hips: np.ndarray) -> str:
    """People whose shoulders and hips are on opposite sides."""
    crossed = np.flatnonzero(shoulders * hips < 0)
    if len(crossed) <= max(1, _SOME * len(ids)):
        return ""
    return (
        f"{len(crossed)} people have shoulders and hips on opposite sides, such as annotation {ids[crossed[0]]}: left "
        "and right may be exchanged in some keypoints"
    )


def _leftward(points: np.ndarray, left: int, right: int) -> np.ndarray:
    """[N] how far, in quarters of the body's height, the left joint lies right of the right one; 0: too near to tell.

    Only of upright bodies, so that a head-down one does not count as mirrored.
    """
    labelled = points[:, :, 2] > 0
    heights = np.where(labelled, points[:, :, 1], -np.inf).max(1) - np.where(labelled, points[:, :, 1], np.inf).min(1)
    known = labelled[:, left] & labelled[:, right] & (heights > 0)
    across = np.abs(points[:, left, 0] - points[:, right, 0])
    steep = np.abs(points[:, left, 1] - points[:, right, 1]) > across
    apart = 4 * (points[:, left, 0] - points[:, right, 0]) / np.where(known, heights, 1)
    return np.where(known & ~steep & (np.abs(apart) > 0.3), np.clip(apart, -1, 1), 0.0)
