"""What a labelled set is like: how many, how large, how tall; what recommendations rest on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.sources.image_files import FileCheck
from pipeline.sources.records import Records

_HEADERS = 200  # images whose size is read from the file, where the annotations do not tell


@dataclass(frozen=True)
class Facts:
    """Of the people to train on (crowds aside); lengths in image pixels.

    `box_sides` [2] are the median height and width of a person's box, `long_side` what a quarter of them surpass in
    their longer side, `box_sizes` the 5th to 95th percentile of the boxes' size (root of their area) in steps of 30.
    """

    images: int
    people: int
    labelled: int  # people with a keypoint
    most_in_an_image: int
    alone: float  # share of the annotated images with one person
    masks: bool
    image_sides: tuple[float, float]  # median shorter and longer side
    box_sides: tuple[float, float]
    long_side: float
    box_sizes: tuple[float, ...]

    @property
    def tallness(self) -> float:
        """Height of the median box over its width."""
        return self.box_sides[0] / max(self.box_sides[1], 1.0)


def facts_of(sets: Sequence[tuple[Records, Path]]) -> Facts:
    """Look at the records of labelled sources, each with its image root. ValueError when nobody has a keypoint."""
    boxes, labelled, counts, sides, masks = [], 0, [], [], True
    for records, root in sets:
        people = records.people
        real = ~people.crowds & (people.boxes[:, 2:] > 0).all(1)
        boxes.append(people.boxes[real].astype(np.float64))
        labelled += int((people.keypoints[real][:, :, 2] > 0).any(1).sum())
        _, count = np.unique([people.image_ids[i] for i in np.flatnonzero(real)], return_counts=True)
        counts.append(count)
        masks &= people.masks.null_count == 0 and len(people) > 0
        sides.append(_sides(records, root))
    every, per_image, sizes = np.concatenate(boxes), np.concatenate(counts), np.concatenate(sides)
    if not labelled:
        raise ValueError("nobody in the labelled sets has a keypoint: there is nothing to learn from")
    size = np.sqrt(every[:, 2] * every[:, 3])
    return Facts(
        images=sum(len(records.images.ids) for records, _ in sets),
        people=len(every),
        labelled=labelled,
        most_in_an_image=int(per_image.max()),
        alone=float((per_image == 1).mean()),
        masks=masks,
        image_sides=(float(np.median(sizes.min(1))), float(np.median(sizes.max(1)))),
        box_sides=(float(np.median(every[:, 3])), float(np.median(every[:, 2]))),
        long_side=float(np.quantile(every[:, 2:].max(1), 0.75)),
        box_sizes=tuple(float(value) for value in np.quantile(size, [0.05, 0.35, 0.65, 0.95])),
    )


def _sides(records: Records, root: Path) -> np.ndarray:
    """[n, 2] width and height of the images, or of some of them where only the files know."""
    images = records.images
    known = np.stack([images.widths, images.heights], 1).astype(np.float64)
    if len(known) and (known > 0).all():
        return known
    step = max(1, len(images.file_names) // _HEADERS)
    looked = FileCheck(str(root), decode=False)([(name, 0, 0) for name in images.file_names[::step]])
    found = [(file.width, file.height) for file in looked if not file.fault]
    return np.array(found or [(640, 480)], np.float64)


@dataclass(frozen=True)
class Machine:
    """What trains: processor cores, and GPUs with the memory of the smallest in gigabytes."""

    cores: int
    gpus: int
    memory: float

    @staticmethod
    def here() -> Machine:
        """This machine, as far as this process may use it."""
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        memory = min((torch.cuda.get_device_properties(i).total_memory for i in range(count)), default=0) / 1e9
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return Machine(cores, count, memory)

    def __str__(self) -> str:
        cores = f"{self.cores} processor core{'s' * (self.cores > 1)}"
        return f"{self.gpus} GPU{'s' * (self.gpus > 1)} and {cores}" if self.gpus else f"{cores}, no GPU"
