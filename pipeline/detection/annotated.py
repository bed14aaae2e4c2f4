"""What the detector learns from: images, and the boxes and masks of their people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

from model.detector import PERSON
from pipeline import layout
from pipeline.learning.data.feed import Feed
from pipeline.learning.data.order import epoch_rows
from pipeline.records.images import ImageReader
from pipeline.records.tables import read_table, table_info, to_numpy
from pipeline.records.text import one_line

Target = dict[str, Tensor]


@dataclass(frozen=True)
class AnnotatedImages:
    """Images with at least one person; crowds are left out, as in torchvision's reference.

    `boxes` [N, 4] are x1, y1, x2, y2 in image pixels, those of image i from `edges[i]` to `edges[i + 1]`; `outlines`
    are the people's segmentations as COCO's JSON, None without masks.
    """

    ids: list[str]
    paths: list[str]
    portrait: np.ndarray  # [images] bool: higher than wide
    edges: np.ndarray  # [images + 1]
    boxes: np.ndarray
    outlines: list[str] | None

    def __len__(self) -> int:
        return len(self.ids)


def read_annotated(source: str, masks: bool) -> AnnotatedImages:
    """The annotated images of a source's tables.

    ValueError when there are none, or when masks are asked for and people have none.
    """
    people = read_table(layout.instances(source), "instances", ["instance_id", "image_id", "bbox", "iscrowd"])
    images = read_table(layout.images(source), "images")
    sizes = np.stack([to_numpy(images, "width"), to_numpy(images, "height")], 1)
    ids = images["image_id"].to_pylist()
    position = {name: i for i, name in enumerate(ids)}
    where = np.asarray([position[name] for name in people["image_id"].to_pylist()], np.int64)
    boxes = to_numpy(people, "bbox").astype(np.float64)
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    corners = np.clip(corners, 0, np.tile(sizes[where], 2))
    kept = ~to_numpy(people, "iscrowd") & (corners[:, 2:] > corners[:, :2]).all(1)
    rows = np.flatnonzero(kept)[np.argsort(where[kept], kind="stable")]
    if not len(rows):
        raise ValueError(f"{layout.instances(source)}: nobody is annotated (beside crowds); a detector needs people")
    used, counts = np.unique(where[rows], return_counts=True)
    root = Path(table_info(images).image_roots[source])
    names = images["file_name"].to_pylist()
    return AnnotatedImages(
        [ids[i] for i in used],
        [str(root / names[i]) for i in used],
        sizes[used, 1] > sizes[used, 0],
        np.concatenate([[0], counts.cumsum()]),
        corners[rows].astype(np.float32),
        _outlines(source, [people["instance_id"][int(row)].as_py() for row in rows]) if masks else None,
    )


def annotated(parts: Iterable[AnnotatedImages]) -> AnnotatedImages:
    """The images of several sources as one set."""
    sets = list(parts)
    outlines = [text for part in sets for text in part.outlines or ()]
    return AnnotatedImages(
        [name for part in sets for name in part.ids],
        [path for part in sets for path in part.paths],
        np.concatenate([part.portrait for part in sets]),
        np.concatenate([[0], np.concatenate([np.diff(part.edges) for part in sets]).cumsum()]),
        np.concatenate([part.boxes for part in sets]),
        None if sets[0].outlines is None else outlines,
    )


def people_per_image(sources: Sequence[str]) -> float:
    """Annotated people, crowds aside, per image of these sources together."""
    people = images = 0
    for source in sources:
        crowds = to_numpy(read_table(layout.instances(source), "instances", ["iscrowd"]), "iscrowd")
        people += int((~crowds).sum())
        images += read_table(layout.images(source), "images", ["image_id"]).num_rows
    return people / max(images, 1)


def _outlines(source: str, people: list[str]) -> list[str]:
    table = read_table(layout.masks(source), "masks")
    known: Mapping[str, str] = dict(
        zip(table["instance_id"].to_pylist(), table["segmentation"].to_pylist(), strict=True)
    )
    missing = [name for name in people if name not in known]
    if missing:
        raise ValueError(
            f"{layout.masks(source)}: {len(missing)} of {len(people)} people have no mask, such as {missing[0]}; "
            "set train_detector.model.masks to false for data without masks"
        )
    return [known[name] for name in people]


@dataclass
class DetectorBatch:
    """Images as uint8 [3, H, W], torchvision's targets, and which images of the set they are."""

    images: list[Tensor]
    targets: list[Target]
    rows: np.ndarray
    data_seconds: float = 0.0

    def pin_memory(self) -> DetectorBatch:
        """Page-locked, so that the copy to the GPU runs beside its work (PyTorch's loader calls this)."""
        self.images = [image.pin_memory() for image in self.images]
        self.targets = [{name: value.pin_memory() for name, value in target.items()} for target in self.targets]
        return self


@dataclass(frozen=True)
class _Maker:
    """Makes a batch from its number; what workers get."""

    data: AnnotatedImages
    batches: np.ndarray  # [batches of all processes, batch size] rows of the set
    flip: float
    seed: int
    epoch: int
    rank: int
    world_size: int

    def __call__(self, number: int) -> DetectorBatch:
        rows = self.batches[number * self.world_size + self.rank]
        # Drawn for all processes: each takes its part of what one process with as large a batch does.
        random = np.random.default_rng([self.seed, self.epoch, number, 3])
        draws = random.random((self.world_size, len(rows)))[self.rank]
        reader = ImageReader()
        made = [self._sample(reader, int(row), draw < self.flip) for row, draw in zip(rows, draws, strict=True)]
        return DetectorBatch([image for image, _ in made], [target for _, target in made], rows)

    def _sample(self, reader: ImageReader, row: int, flipped: bool) -> tuple[Tensor, Target]:
        pixels = reader.read(self.data.paths[row])
        height, width = pixels.shape[:2]
        first, last = self.data.edges[row], self.data.edges[row + 1]
        boxes = self.data.boxes[first:last].copy()
        if flipped:
            pixels = pixels[:, ::-1]
            boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
        target = {"boxes": torch.from_numpy(boxes), "labels": torch.full((len(boxes),), PERSON)}
        if self.data.outlines is not None:
            try:
                masks = np.stack([rasterised(text, height, width) for text in self.data.outlines[first:last]])
            except ValueError as error:
                raise ValueError(f"{self.data.paths[row]}: {error}") from None
            target["masks"] = torch.from_numpy(np.ascontiguousarray(masks[:, :, ::-1] if flipped else masks))
        image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
        return image, target


def rasterised(segmentation: str, height: int, width: int) -> np.ndarray:
    """A segmentation in COCO's JSON (polygons or run lengths) as a mask [H, W] of uint8; ValueError: neither.

    Polygons of fewer than three points enclose nothing and are passed over.
    """
    try:
        outline = json.loads(segmentation)
        if isinstance(outline, list):
            polygons = [polygon for polygon in outline if len(polygon) >= 6]
            # pycocotools walks along every edge, however far out it leads, in memory.
            farthest = 10 * (height + width)
            if not all(abs(place) <= farthest for polygon in polygons for place in polygon):  # NaN is not either
                raise ValueError("a corner far outside of the picture")
            runs = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width)) if polygons else None
        elif list(outline["size"]) != [height, width]:
            raise ValueError(f"of {outline['size']}, in a picture of {[height, width]}")
        elif isinstance(outline["counts"], list):
            runs = coco_mask.frPyObjects(outline, height, width)
        else:
            runs = outline
        mask: np.ndarray = np.zeros((height, width), np.uint8) if runs is None else coco_mask.decode(runs)
    except Exception as error:  # pycocotools raises bare ones
        raise ValueError(f"a segmentation that is none: {segmentation[:80]}: {one_line(error)}") from None
    return mask


def detector_batches(
    data: AnnotatedImages,
    *,
    batch_size: int,
    flip: float,
    seed: int,
    epoch: int,
    start_batch: int,
    workers: int,
    rank: int = 0,
    world_size: int = 1,
) -> Feed[DetectorBatch]:
    """One epoch in full batches, each of upright or of lying images alone, so that little is padded.

    What a batch holds depends on `seed`, `epoch` and its number alone. ValueError, while iterating, names an image
    that cannot be read.
    """
    together = batch_size * world_size
    order = epoch_rows(len(data), seed, epoch, None, None)
    groups = [order[data.portrait[order] == portrait] for portrait in (False, True)]
    # The last batch of a group is filled from the group's start.
    batches = np.concatenate(
        [np.resize(group, (-(-len(group) // together), together)) for group in groups if len(group)]
    )
    batches = batches[np.random.default_rng([seed, epoch, 4]).permutation(len(batches))]
    maker = _Maker(data, batches.reshape(-1, batch_size), flip, seed, epoch, rank, world_size)
    return Feed(maker, start_batch, len(batches), workers)
