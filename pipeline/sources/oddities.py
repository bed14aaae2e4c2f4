"""What is well-formed and yet looks wrong: boxes as corners, shares for pixels, sides exchanged, sigmas far off."""

from __future__ import annotations

import numpy as np

from pipeline.records.keypoints import BUILT_IN, KeypointSet, load_keypoint_set
from pipeline.records.sides import mirror_pairs
from pipeline.sources.records import People, Records

_LEAST_POINTS = 3  # labelled keypoints for a person's extent to mean something
_MANY = 20  # boxes that say something even where none sticks out of its picture
_LEAST_FACING = 3  # people who face the camera, for their sides to mean something
_BETTER = 0.1  # of an overlap, for another reading of boxes to be the likelier
_LEAST_PEOPLE = 5  # for places to say something together
_FACTOR = 5.0  # between a sigma and a published one of that name: nobody's estimates differ so much


def refuse_shares(people: People, index: str) -> None:
    """ValueError where all coordinates lie in 0..1: shares of the picture, which this pipeline takes for pixels."""
    boxes = people.boxes[(people.boxes > 0).any(1) & np.isfinite(people.boxes).all(1)]
    points = people.keypoints[people.keypoints[:, :, 2] > 0][:, :2]
    for what, values in (("boxes", boxes), ("keypoints", points)):
        if len(values) and values.max() <= 1 and (values[:, :2] % 1 != 0).any():
            raise ValueError(
                f"{index}: the {what}' coordinates lie in 0..1, they are shares of the picture; pixels belong there: "
                "multiply x and widths by the picture's width, y and heights by its height"
            )


def oddities(records: Records, keypoints: KeypointSet) -> list[str]:
    """Warnings about a source's people, each a sentence with its remedy."""
    people = records.people
    found = (_crowds(people), *_percents(records), *_boxes(records), _sides(people, keypoints), _seen(people))
    return [text for text in found if text]


def set_oddities(keypoints: KeypointSet) -> list[str]:
    """Warnings about a keypoint set: mirror pairs missing or exchanged, sigmas far from the published ones."""
    found = []
    expected = mirror_pairs(keypoints.names)
    named = {name: pair for pair in expected for name in pair}
    if expected and not keypoints.flip_pairs:
        found.append(
            f"keypoint set '{keypoints.name}' has names of left and right such as {expected[0][0]}, and no flip_pairs: "
            "mirrored pictures would teach the left as the right; name the pairs"
        )
    wrong = [pair for pair in keypoints.flip_pairs if any(n in named and set(named[n]) != set(pair) for n in pair)]
    if wrong:
        name = next(n for n in wrong[0] if n in named and set(named[n]) != set(wrong[0]))
        found.append(
            f"keypoint set '{keypoints.name}': flip_pairs has [{', '.join(wrong[0])}]; by its name {name} belongs to "
            f"[{', '.join(named[name])}]"
        )
    return found + _sigmas(keypoints)


def _sigmas(keypoints: KeypointSet) -> list[str]:
    if keypoints.sigmas is None:
        return []
    published: dict[str, list[float]] = {}
    for name in sorted(path.stem for path in BUILT_IN.glob("*.yaml")):
        built_in = load_keypoint_set(name)
        for keypoint, sigma in zip(built_in.names, built_in.sigmas or (), strict=False):
            published.setdefault(keypoint, []).append(sigma)
    off = [
        (name, sigma, published[name][0])
        for name, sigma in zip(keypoints.names, keypoints.sigmas, strict=True)
        if name in published and all(not 1 / _FACTOR < sigma / known < _FACTOR for known in published[name])
    ]
    if not off:
        typical = np.median(keypoints.sigmas)
        if len(keypoints) < _LEAST_POINTS or 0.01 <= typical <= 0.2:
            return []
        return [f"keypoint set '{keypoints.name}': sigmas are {typical:.3g} in the middle; COCO's are 0.025 to 0.107"]
    name, sigma, known = off[0]
    return [
        f"keypoint set '{keypoints.name}': the sigmas of {len(off)} keypoints are far from the published ones: "
        f"{name} = {sigma:g}, published {known:g}; OKS and AP mean little with them"
    ]


def _crowds(people: People) -> str:
    count = int(((people.keypoints[:, :, 2] > 0).any(1) & people.crowds).sum())
    if not count:
        return ""
    subject = "1 crowd has" if count == 1 else f"{count} crowds have"
    return f"{subject} labelled keypoints, which are not used; a tool may have set iscrowd everywhere"


def _percents(records: Records) -> list[str]:
    """Places from 0 to 100 alone, in pictures of more than twice that: percent of the picture, taken for pixels."""
    people, sizes = records.people, _sizes(records)
    if len(people) < _LEAST_PEOPLE or not (sizes > 200).all():
        return []
    width, height = np.median(sizes, axis=0)
    corners = np.concatenate([people.boxes[:, :2], people.boxes[:, :2] + people.boxes[:, 2:]])
    found = []
    for what, places in (("boxes", corners), ("keypoints", people.keypoints[people.keypoints[:, :, 2] > 0][:, :2])):
        places = places[np.isfinite(places).all(1)]
        if len(places) and places.min() >= 0 and 50 < places.max() <= 100:
            found.append(
                f"the {what}' coordinates lie in 0..100, in pictures of {width:g} x {height:g} pixels: they look like "
                "percent of the picture, and pixels belong there: multiply x and widths by the picture's width / 100, "
                "y and heights by its height / 100"
            )
    return found


def _sizes(records: Records) -> np.ndarray:
    """[N, 2] width and height of each person's picture, 0 where its record does not say them."""
    images = records.images
    size_of = dict(zip(images.ids, zip(images.widths, images.heights, strict=True), strict=True))
    return np.array([size_of.get(image, (0, 0)) for image in records.people.image_ids], np.float64).reshape(-1, 2)


def _boxes(records: Records) -> list[str]:
    people = records.people
    sizes = _sizes(records)
    use = (people.boxes[:, 2:] > 0).all(1) & np.isfinite(people.boxes).all(1) & ~people.crowds
    if not use.any():
        return []
    corners = _look_like_corners(people.boxes[use], people.keypoints[use], sizes[use])
    misfits = _misfits(people.boxes[use], people.keypoints[use])
    found = []
    if corners:
        found.append(
            f"boxes look like x1, y1, x2, y2 ({corners} of {int(use.sum())}); x, y, width, height belong there"
        )
    elif len(misfits):
        names = np.array(people.ids)[use][misfits]
        text = f"{len(misfits)} boxes do not fit their keypoints, such as annotation {names[0]}: most lie outside"
        found.append(text)
    return found


def _look_like_corners(boxes: np.ndarray, keypoints: np.ndarray, sizes: np.ndarray) -> int:
    """How many boxes [N, 4] speak for being two corners; 0 where they are none, or too few speak for it."""
    corners = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
    known = (sizes > 0).all(1)
    inside = ~known | (boxes[:, 2:] <= sizes + 1).all(1)
    possible = (corners[:, 2:] > 0).all(1) & inside
    if possible.mean() < 0.9:
        return 0
    sticking_out = known & (boxes[:, :2] + boxes[:, 2:] > sizes + 2).any(1)
    extent, clear = _extents(keypoints)
    better = clear & (_overlap(corners, extent) > _overlap(boxes, extent) + _BETTER)
    speaking = np.where(clear, better, sticking_out) & possible
    needed = 0.5 if (sticking_out & possible).any() else 0.8 if len(boxes) >= _MANY else 2
    return int(speaking.sum()) if speaking.mean() >= needed else 0


def _misfits(boxes: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """Positions of the boxes outside of which, grown by half, most of the labelled keypoints lie."""
    low, high = boxes[:, None, :2] - boxes[:, None, 2:] / 4, boxes[:, None, :2] + 1.25 * boxes[:, None, 2:]
    labelled = keypoints[:, :, 2] > 0
    outside = labelled & ~((keypoints[:, :, :2] >= low) & (keypoints[:, :, :2] <= high)).all(2)
    return np.flatnonzero(2 * outside.sum(1) > np.maximum(labelled.sum(1), _LEAST_POINTS - 1))


def _extents(keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N, 4] boxes round the labelled keypoints, and [N] whether there are enough of them."""
    labelled = keypoints[:, :, 2] > 0
    low = np.where(labelled[:, :, None], keypoints[:, :, :2], np.inf).min(1)
    high = np.where(labelled[:, :, None], keypoints[:, :, :2], -np.inf).max(1)
    clear = labelled.sum(1) >= _LEAST_POINTS
    extents = np.concatenate([low, high - low], 1)
    extents[~clear] = 0
    return extents, clear


def _overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[N] intersection over union of boxes x, y, w, h."""
    low = np.maximum(one[:, :2], other[:, :2])
    high = np.minimum(one[:, :2] + one[:, 2:], other[:, :2] + other[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    union = np.clip(one[:, 2:], 0, None).prod(1) + other[:, 2:].prod(1) - shared
    return np.divide(shared, union, out=np.zeros(len(one)), where=union > 0)


def _sides(people: People, keypoints: KeypointSet) -> str:
    """Shoulders and hips of one person exchanged against each other; or those of nearly everybody whose face shows."""
    index = {name: i for i, name in enumerate(keypoints.names)}
    joints = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    if not all(name in index for name in joints) or not len(people):
        return ""
    points = people.keypoints.astype(np.float64)
    turned = [_leftward(points, index[f"left_{part}"], index[f"right_{part}"]) for part in ("shoulder", "hip")]
    crossed = np.flatnonzero((turned[0] * turned[1] < 0) & (np.abs(turned[0]) > 0.3) & (np.abs(turned[1]) > 0.3))
    facing = np.zeros(len(people), bool)
    if {"nose", "left_eye", "right_eye"} <= set(index):
        seen = points[:, [index["nose"], index["left_eye"], index["right_eye"]], 2] == 2
        facing = seen.all(1) & (np.abs(turned[0]) > 0.3)  # who shows nose and eyes shows us the front
    mirrored = facing & (turned[0] < 0)
    if mirrored.sum() >= _LEAST_FACING and mirrored.sum() > 0.5 * facing.sum():
        return (
            f"left and right look exchanged: of {int(facing.sum())} people who face the camera {int(mirrored.sum())} "
            "have their left on the left side of the picture; a person's own left is meant"
        )
    if len(crossed) > max(1, 0.05 * len(people)):
        return (
            f"{len(crossed)} people have shoulders and hips on opposite sides, such as annotation "
            f"{people.ids[crossed[0]]}: left and right may be exchanged in some keypoints"
        )
    return ""


def _leftward(points: np.ndarray, left: int, right: int) -> np.ndarray:
    """[N] how far, in quarters of the body's height, the left joint lies right of the right one; 0: unknown.

    Only of upright bodies, so that a head-down one does not count as mirrored.
    """
    labelled = points[:, :, 2] > 0
    heights = np.where(labelled, points[:, :, 1], -np.inf).max(1) - np.where(labelled, points[:, :, 1], np.inf).min(1)
    known = labelled[:, left] & labelled[:, right] & (heights > 0)
    across = np.abs(points[:, left, 0] - points[:, right, 0])
    steep = np.abs(points[:, left, 1] - points[:, right, 1]) > across
    apart = (points[:, left, 0] - points[:, right, 0]) / np.where(known, heights, 1)
    return np.where(known & ~steep, np.clip(apart * 4, -1, 1), 0.0)


def _seen(people: People) -> str:
    """Visibility that is only ever 0 or 1: 1 means occluded here, elsewhere it means labelled."""
    values = people.keypoints[:, :, 2]
    ones, twos = int((values == 1).sum()), int((values == 2).sum())
    if len(people) == 0 or twos or not ones:
        return ""
    return (
        f"all {ones} labelled keypoints have visibility 1, which means occluded; a tool may have written 0 and 1 for "
        "absent and there: 2 is visible"
    )
