"""Crops of every row of a table, image by image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from pipeline.learning.data.batches import Crops, cut
from pipeline.learning.data.feed import Feed
from pipeline.learning.data.rows import Rows, by_image, rows_of
from postproc.coordinates import crop_transforms


@dataclass(frozen=True)
class _Maker:
    rows: Rows
    order: np.ndarray  # row numbers, image by image
    edges: np.ndarray  # batch i is order[edges[i] : edges[i + 1]]
    input_size: tuple[int, int]
    padding: float

    def __call__(self, number: int) -> Crops:
        chosen = self.order[self.edges[number] : self.edges[number + 1]]
        transforms = crop_transforms(self.rows.boxes[chosen], self.input_size, self.padding)
        crops = cut([self.rows.path(row) for row in chosen], transforms, self.input_size)
        images = torch.from_numpy(crops).permute(0, 3, 1, 2)
        return Crops(images, torch.from_numpy(transforms), torch.from_numpy(chosen.astype(np.int64)), 0.0)


def inference_batches(
    table: pa.Table, *, input_size: tuple[int, int], padding: float, batch_size: int, workers: int = 0
) -> Feed[Crops]:
    """Every row of an `instances`, `detections` or `poses` table once, as plain crops.

    The people of an image come together and its file is read once (once more for each reduction that their sizes
    need), so rows come in another order than the table's and a batch may hold fewer than `batch_size`; `rows` says
    which they are. `input_size` is (H, W). ValueError, while iterating, names an image that cannot be read.
    """
    order, edges = by_image(table, batch_size)
    maker = _Maker(rows_of(table), order, edges, (input_size[0], input_size[1]), padding)
    return Feed(maker, 0, len(edges) - 1, workers)
