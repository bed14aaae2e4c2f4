"""What makes a record of any format bad, once its numbers are read: the one place that decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.sources.image_files import Found
from pipeline.sources.quarantine import Quarantine
from pipeline.sources.records import Images, People


def good_images(
    images: Images, found: Sequence[Found], index: str, quarantine: Quarantine
) -> tuple[np.ndarray, dict[str, int]]:
    """Positions of the images that are of use, and the row among them of every good id; others go to quarantine.

    A file that is listed twice, as when two batches of labels are joined, is one image, whichever id its people name.
    """
    kept: list[int] = []
    rows: dict[str, int] = {}
    row_of_name: dict[str, int] = {}
    for position, (identity, name, file) in enumerate(zip(images.ids, images.file_names, found, strict=True)):
        row = row_of_name.get(name)
        if file.fault:
            quarantine.add(index, f"image {identity}", file.fault, file.value)
        elif rows.get(identity, row) != row:
            quarantine.add(index, f"image {identity}", "duplicate image id", identity)
        elif row is not None:
            rows[identity] = row
        else:
            rows[identity] = row_of_name[name] = len(kept)
            kept.append(position)
    return np.asarray(kept, np.int64), rows


def good_people(
    people: People,
    rows: np.ndarray,
    all_images: set[str],
    sizes: np.ndarray,
    index: str,
    quarantine: Quarantine,
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the people that are of use, and the image row of each; the others go to quarantine.

    `rows` [N] is the image row of each person, -1 where the image is no good one, `sizes` [images, 2] is width and
    height by row, and `all_images` are the ids of all images that the index lists.
    """
    bad = np.zeros(len(people), bool)

    def refuse(where: Any, reason: str, values: Any) -> None:
        for position in np.flatnonzero(where & ~bad):
            value = values[position]
            shown = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
            quarantine.add(index, f"annotation {people.ids[position]}", reason, shown)
        bad[where] = True

    unlisted = rows < 0
    unlisted[unlisted] = [people.image_ids[i] not in all_images for i in np.flatnonzero(unlisted)]
    refuse(unlisted, "unknown image id", people.image_ids)
    refuse(rows < 0, "its image was set aside", people.image_ids)
    refuse(_repeated(people.ids), "duplicate annotation id", people.ids)
    boxes = people.boxes
    refuse(~np.isfinite(boxes).all(1), "the box is not finite", boxes)
    refuse((boxes == 0).all(1), "no box, and neither keypoints nor a mask to derive it from", boxes)
    refuse(~(boxes[:, 2:] > 0).all(1), "the box is empty", boxes)
    if len(sizes):
        with np.errstate(invalid="ignore"):  # infinite ones are refused already
            inside = (boxes[:, :2] < sizes[rows]).all(1) & (boxes[:, :2] + boxes[:, 2:] > 0).all(1)
        refuse(~inside, "the box lies outside the image", boxes)
    refuse(np.isinf(people.areas) | (people.areas <= 0), "the area is not a number above 0", people.areas)
    points = people.keypoints.reshape(len(people), 3 * people.keypoints.shape[1])
    refuse(~np.isfinite(points).all(1), "a keypoint is not finite", points)
    visibility = people.keypoints[:, :, 2]
    refuse(~np.isin(visibility, (0, 1, 2)).all(1), "visibility is not 0, 1 or 2", visibility)
    kept = np.flatnonzero(~bad)
    return kept, rows[kept]


def _repeated(ids: Sequence[str]) -> np.ndarray:
    """[N] true for every id that stood earlier already."""
    repeated = np.zeros(len(ids), bool)
    if len(set(ids)) != len(ids):
        seen: set[str] = set()
        for position, identity in enumerate(ids):
            repeated[position] = identity in seen
            seen.add(identity)
    return repeated
