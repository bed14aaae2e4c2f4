"""Part of a source: the images that a list names, and their people."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.sources.records import Images, Records


def image_list(path: Path) -> list[str]:
    """The file names of a list, one a line. ValueError when there is no such file, or nothing in it."""
    if not path.is_file():
        raise ValueError(f"{path}: no such list of images")
    names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if not names:
        raise ValueError(f"{path}: names no image")
    return names


def chosen(records: Records, path: Path) -> Records:
    """The images that a list names and their people; people of no image at all stay, to be set aside later.

    ValueError when the list names an image that the source does not have.
    """
    wanted, images, people = set(image_list(path)), records.images, records.people
    if missing := sorted(wanted - set(images.file_names)):
        raise ValueError(f"{path}: names {len(missing)} images that the source does not have, such as {missing[0]!r}")
    kept = [i for i, name in enumerate(images.file_names) if name in wanted]
    dropped = set(images.ids) - {images.ids[i] for i in kept}
    rows = np.array([i for i, image in enumerate(people.image_ids) if image not in dropped], np.int64)
    columns = ("ids", "file_names", "widths", "heights")
    return replace(
        records,
        images=Images(**{name: [getattr(images, name)[i] for i in kept] for name in columns}),
        people=replace(
            people,
            ids=[people.ids[i] for i in rows],
            image_ids=[people.image_ids[i] for i in rows],
            boxes=people.boxes[rows],
            areas=people.areas[rows],
            crowds=people.crowds[rows],
            keypoints=people.keypoints[rows],
            masks=people.masks.take(pa.array(rows)),
        ),
    )
