"""What is well-formed and yet looks wrong in a source: boxes as corners, shares for pixels, zeros for absent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.records.keypoints import KeypointSet
from pipeline.sources.odd_sides import side_oddities
from pipeline.sources.records import People, Records

_LEAST_POINTS = 3  # labelled keypoints for a person's extent to mean something
_MANY = 20  # boxes that say something even where none sticks out of its picture
_BETTER = 0.1  # of an overlap, for another reading of boxes to be the likelier
_LEAST_PEOPLE = 5  # for places to say something together


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
    people, at_corner = _without_corner(records.people)
    records = replace(records, people=people)
    found = [at_corner, _crowds(people), *_percents(records), *_boxes(records), *side_oddities(people, keypoints)]
    return [text for text in (*found, _seen(people)) if text]


def _without_corner(people: People) -> tuple[People, str]:
    """The people with their keypoints at 0, 0 unlabelled, and what that says; as they are where there are too few."""
    points = people.keypoints
    there = (points[:, :, 2] > 0) & (points[:, :, :2] == 0).all(2)
    if there.sum() < _LEAST_POINTS:
        return people, ""
    name = people.ids[int(np.flatnonzero(there.any(1))[0])]
    return replace(people, keypoints=np.where(there[:, :, None], 0, points)), (
        f"{int(there.sum())} labelled keypoints lie at 0, 0, such as of annotation {name}: a tool may write absent "
        "ones so; visibility 0 belongs there"
    )


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


def box_oddities(boxes: np.ndarray, sizes: np.ndarray, keypoints: np.ndarray | None = None) -> list[str]:
    """Warnings about boxes [N, 4] in pictures of sizes [N, 2] (0: unknown), and people's keypoints [N, K, 3]."""
    points = np.zeros((len(boxes), 1, 3)) if keypoints is None else keypoints
    count = _look_like_corners(boxes, points, sizes) if len(boxes) else 0
    if not count:
        return []
    return [f"boxes look like x1, y1, x2, y2 ({count} of {len(boxes)}); x, y, width, height belong there"]


def _boxes(records: Records) -> list[str]:
    people = records.people
    use = (people.boxes[:, 2:] > 0).all(1) & np.isfinite(people.boxes).all(1) & ~people.crowds
    boxes, points = people.boxes[use], people.keypoints[use]
    if count := _look_framed(boxes, points):
        return [
            f"keypoints look as if counted from their boxes' corners ({count} of {len(boxes)} people); pixels of the "
            "picture belong there: add the box's x and y"
        ]
    if found := box_oddities(boxes, _sizes(records)[use], points):
        return found
    misfits = _misfits(boxes, points)
    if not len(misfits):
        return []
    name = np.array(people.ids)[use][misfits[0]]
    return [f"{len(misfits)} boxes do not fit their keypoints, such as annotation {name}: most lie outside"]


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


def _look_framed(boxes: np.ndarray, keypoints: np.ndarray) -> int:
    """How many people's keypoints speak for lying in their box's frame; 0 where they do not, or too few do."""
    extent, clear = _extents(keypoints)
    if clear.sum() < _LEAST_PEOPLE:
        return 0
    boxes, extent = boxes[clear], extent[clear]
    far = (boxes[:, :2] > boxes[:, 2:] / 8).any(1)  # from their picture's corner: the others fit either way
    corners = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
    moved = _overlap(boxes, extent + np.pad(boxes[:, :2], [(0, 0), (0, 2)]))
    if not far.any() or moved.mean() < _overlap(corners, extent).mean() + _BETTER / 2:
        return 0
    speaking = (moved > _overlap(boxes, extent) + _BETTER / 2) & far
    return int(speaking.sum()) if speaking.sum() >= 0.8 * far.sum() else 0


def _misfits(boxes: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """Positions of the boxes outside of which, grown by half, most of the visible keypoints lie.

    Boxes may go round what is to be seen of a person; occluded keypoints count only where no keypoint is visible.
    """
    low, high = boxes[:, None, :2] - boxes[:, None, 2:] / 4, boxes[:, None, :2] + 1.25 * boxes[:, None, 2:]
    labelled = keypoints[:, :, 2] == 2
    labelled = labelled if labelled.any() else keypoints[:, :, 2] > 0
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
