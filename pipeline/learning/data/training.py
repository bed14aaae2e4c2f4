"""Training batches from an `instances` table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from pipeline.learning.data.augmentation import ADDED, LABELLED, Sample, augmented, draws, first_of, plain, together
from pipeline.learning.data.batches import Batch, cut
from pipeline.learning.data.easy_views import EasyViews, easy_views
from pipeline.learning.data.feed import Feed
from pipeline.learning.data.hard_views import harden, paired
from pipeline.learning.data.order import epoch_rows
from pipeline.learning.data.rows import Rows, rows_of
from pipeline.learning.data.store import CropStore
from pipeline.records.keypoints import KeypointSet
from pipeline.records.tables import keypoint_set, to_numpy
from pipeline.settings import Augmentation


@dataclass(frozen=True)
class _Maker:
    """Makes a batch from its number; what workers get."""

    rows: Rows
    keypoints: np.ndarray  # [N, K, 3]
    supervised: np.ndarray  # [N, K]
    weight: np.ndarray  # [N, K]
    order: np.ndarray  # row of every position of the epoch
    added: np.ndarray  # the same of U's own positions, where its rows come on top
    keypoint_set: KeypointSet
    input_size: tuple[int, int]
    padding: float
    augmentation: Augmentation | None
    batch_size: int
    unlabelled_batch_size: int
    seed: int
    epoch: int
    rank: int
    world_size: int
    store: CropStore | None
    online: bool

    def __call__(self, number: int) -> Batch:
        chosen, sample, crops = self._part(number, self.order, self.batch_size, LABELLED)
        easy = None
        if len(self.added):
            rows, others, pixels = self._part(number, self.added, self.unlabelled_batch_size, ADDED)
            easy = self._easy(rows, others) if self.online else None
            chosen, sample = np.concatenate([chosen, rows]), together([sample, others])
            crops = np.concatenate([crops, pixels])
        return Batch(
            images=torch.from_numpy(crops).permute(0, 3, 1, 2),
            transforms=torch.from_numpy(sample.transforms),
            rows=torch.from_numpy(chosen.astype(np.int64)),
            data_seconds=0.0,
            keypoints=torch.from_numpy(sample.keypoints.astype(np.float32)),
            present=torch.from_numpy(sample.present),
            supervised=torch.from_numpy(sample.supervised),
            weight=torch.from_numpy(sample.weight),
            added=self.unlabelled_batch_size if len(self.added) else 0,
            easy=easy,
        )

    def _easy(self, chosen: np.ndarray, hard: Sample) -> EasyViews:
        sample = plain(*self._labels(chosen), self.keypoint_set, self.input_size, self.padding)
        return easy_views(self._cut(chosen, sample.transforms), sample, hard)

    def _part(self, number: int, order: np.ndarray, size: int, series: int) -> tuple[np.ndarray, Sample, np.ndarray]:
        """This process's `size` rows of a batch, from the rows of an epoch, their samples and crops [B, H, W, 3]."""
        first = (number * self.world_size + self.rank) * size
        positions = np.arange(first, first + size)
        if self.augmentation is not None:
            positions = paired(positions, self.augmentation)  # beyond `size`: for their pixels alone
        chosen = order[positions % len(order)]  # the last batch is filled from the epoch's start
        sample = self._sample(positions, chosen, series)
        crops = self._cut(chosen, sample.transforms)
        if self.augmentation is not None:
            points = sample.keypoints, sample.present
            harden(crops, *points, positions, self.seed, self.epoch, self.augmentation, series)
        return chosen[:size], first_of(sample, size), crops[:size]

    def _cut(self, chosen: np.ndarray, transforms: np.ndarray) -> np.ndarray:
        if self.store is not None:
            return self.store.cut(chosen, transforms, self.input_size)
        return cut([self.rows.path(row) for row in chosen], transforms, self.input_size)

    def _sample(self, positions: np.ndarray, chosen: np.ndarray, series: int) -> Sample:
        rows = self._labels(chosen)
        if self.augmentation is None:
            return plain(*rows, self.keypoint_set, self.input_size, self.padding)
        random = draws(self.seed, self.epoch, positions, series)
        return augmented(*rows, random, self.augmentation, self.keypoint_set, self.input_size, self.padding)

    def _labels(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return self.rows.boxes[chosen], self.keypoints[chosen], self.supervised[chosen], self.weight[chosen]


def training_batches(
    table: pa.Table,
    *,
    input_size: tuple[int, int],
    padding: float,
    augmentation: Augmentation | None,
    batch_size: int,
    unlabelled_batch_size: int = 0,
    seed: int,
    epoch: int,
    start_batch: int = 0,
    samples_per_epoch: int | None = None,
    sampling: np.ndarray | None = None,
    workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
    store: CropStore | None = None,
    online: bool = False,
) -> Feed[Batch]:
    """One epoch of an `instances` table, in batches that are all full.

    What stands at a position of the epoch, and how it is augmented, depends on `seed`, `epoch` and the position alone:
    not on the workers, nor on how the positions are cut into batches.

    Args:
        table: rows with a box and keypoints; its keypoint set names what is mirrored into what.
        input_size: (H, W) of the crops.
        padding: factor on the person box.
        augmentation: None for plain crops.
        batch_size: of this process.
        unlabelled_batch_size: pseudo-labelled rows on top of each batch, which draws from the others alone. With 0,
            or a table of one of the two kinds, it draws from all rows alike.
        start_batch: go on in the middle of the epoch.
        samples_per_epoch: of all processes together, rows on top not counted; None is every row once.
        sampling: [N] weight of each row; None is every row alike.
        workers: processes that prepare batches; 0 prepares them here.
        rank, world_size: this process takes every `world_size`-th slice of the epoch.
        store: take crops from it (see `packed`) in place of the image files.
        online: the rows on top come a second time without augmentation, for a teacher.

    Raises:
        ValueError: an empty table, weights that do not fit, or (while iterating) an image that cannot be read, by name.
    """
    labelled, unlabelled = _kinds(table) if unlabelled_batch_size else (np.arange(table.num_rows), np.arange(0))
    weights = None if sampling is None else sampling[labelled]
    order = labelled[epoch_rows(len(labelled), seed, epoch, samples_per_epoch, weights)]
    batches = -(-len(order) // (batch_size * world_size))
    added = unlabelled
    if len(unlabelled):
        count = batches * unlabelled_batch_size * world_size
        added = unlabelled[epoch_rows(len(unlabelled), seed, epoch, count, None)]
    points = to_numpy(table, "keypoints")
    maker = _Maker(
        rows_of(table),
        points.reshape(len(points), points.shape[1] // 3, 3),
        to_numpy(table, "supervised"),
        to_numpy(table, "weight"),
        order.astype(np.int32),
        added.astype(np.int32),
        keypoint_set(table),
        (input_size[0], input_size[1]),
        padding,
        augmentation,
        batch_size,
        unlabelled_batch_size,
        seed,
        epoch,
        rank,
        world_size,
        store,
        online,
    )
    return Feed(maker, start_batch, batches, workers)


def _kinds(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """The rows of a table that are not pseudo-labelled, and those that are; all are the former where none are not."""
    pseudo = np.asarray(table["kind"].cast(pa.string()).to_pylist()) == "pseudo"
    return (np.arange(len(pseudo)), np.arange(0)) if pseudo.all() else (np.flatnonzero(~pseudo), np.flatnonzero(pseudo))
