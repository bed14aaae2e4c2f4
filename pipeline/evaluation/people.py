"""Annotated people and predicted poses of an evaluation set, as flat arrays that the evaluator works on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from pipeline.records.keypoints import KeypointSet
from pipeline.records.tables import keypoint_set, to_numpy


@dataclass(frozen=True)
class Truth:
    """The annotated people, sorted by image.

    `images` are the set's image ids; `image` [G] points into it and never falls. `keypoints` [G, K, 3] are x, y, v in
    image pixels, `boxes` [G, 4] x, y, w, h, `area` [G] square pixels. An `ignored` person neither counts as one to be
    found nor makes the pose that finds it wrong; a `crowd` may be found many times. `row` [G] is a person's row of the
    table. `sigmas` [K] are COCO's constants, None where the set has none.
    """

    images: tuple[str, ...]
    image: np.ndarray
    keypoints: np.ndarray
    boxes: np.ndarray
    area: np.ndarray
    crowd: np.ndarray
    ignored: np.ndarray
    row: np.ndarray
    names: tuple[str, ...]
    sigmas: np.ndarray | None

    def __len__(self) -> int:
        return len(self.image)

    @property
    def labelled(self) -> np.ndarray:
        """[G] number of labelled keypoints."""
        return (self.keypoints[:, :, 2] > 0).sum(1)

    def ignoring(self, people: np.ndarray) -> Truth:
        """The same set with `people` [G] bool ignored as well."""
        return replace(self, ignored=self.ignored | people)

    def only(self, visibility: int) -> Truth:
        """The same set with the annotations of every other visibility removed (Table 13): 2 visible, 1 occluded."""
        keypoints = self.keypoints.copy()
        keypoints[keypoints[:, :, 2] != visibility] = 0
        reduced = replace(self, keypoints=keypoints)
        return reduced.ignoring(reduced.labelled == 0)


@dataclass(frozen=True)
class Poses:
    """Predicted poses: `image` [D] into the same list of images, `points` [D, K, 2] image pixels, `scores` [D]."""

    image: np.ndarray
    points: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.image)

    def select(self, chosen: np.ndarray) -> Poses:
        """Some of the poses, by index or mask."""
        return Poses(self.image[chosen], self.points[chosen], self.scores[chosen])


def natural_order(ids: Sequence[str]) -> list[str]:
    """Ids with their numbers compared as numbers, so that images come as COCO's tools take them."""
    return sorted(ids, key=lambda text: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)])


def read_truth(images: pa.Table, instances: pa.Table, predicted: KeypointSet) -> Truth:
    """The people of an `instances` table, with the keypoints that both its set and `predicted` have, by name.

    `images` is the set's `images` table: images without people count too. ValueError where the two sets share no
    keypoint, or a person's image is not among the images.
    """
    own = keypoint_set(instances)
    shared = [i for i, name in enumerate(own.names) if name in predicted.names]
    if not shared:
        raise ValueError(f"keypoint sets '{own.name}' and '{predicted.name}' share no keypoint name")
    order = tuple(natural_order(images["image_id"].to_pylist()))
    index = image_index(order, instances["image_id"].to_pylist())
    sort = np.argsort(index, kind="stable")
    keypoints = to_numpy(instances, "keypoints").reshape(-1, len(own), 3).astype(np.float64)[sort][:, shared]
    crowd = np.asarray(to_numpy(instances, "iscrowd"), bool)[sort]
    return Truth(
        images=order,
        image=index[sort],
        keypoints=keypoints,
        boxes=to_numpy(instances, "bbox").astype(np.float64)[sort],
        area=np.asarray(to_numpy(instances, "area"), np.float64)[sort],
        crowd=crowd,
        ignored=crowd | ~(keypoints[:, :, 2] > 0).any(1),
        row=sort,
        names=tuple(own.names[i] for i in shared),
        sigmas=None if own.sigmas is None else np.asarray(own.sigmas)[shared],
    )


def read_poses(poses: pa.Table, truth: Truth) -> Poses:
    """The poses of a `poses` table, their keypoints in the order of `truth`."""
    own = keypoint_set(poses)
    places = [own.index(name) for name in truth.names]
    points = to_numpy(poses, "keypoints").reshape(-1, len(own), 3).astype(np.float64)[:, places, :2]
    index = image_index(truth.images, poses["image_id"].to_pylist())
    return Poses(index, points, np.asarray(to_numpy(poses, "score"), np.float64))


def image_index(images: Sequence[str], ids: Sequence[str]) -> np.ndarray:
    """[N] place of each id among the images; ValueError names an id that is not there."""
    place = {image: i for i, image in enumerate(images)}
    if missing := next((i for i in ids if i not in place), None):
        raise ValueError(f"image '{missing}' is not in the set's `images` table")
    return np.fromiter((place[i] for i in ids), np.int64, len(ids))
