"""What a batch is, and how its crops are cut: one decode and one warp a sample."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np
from torch import Tensor

from pipeline.learning.data.easy_views import EasyViews
from pipeline.records.images import REDUCTIONS, ImageReader, reduced


@dataclass
class Crops:
    """Crops of a batch of people."""

    images: Tensor  # uint8 [B, 3, H, W], RGB, in channels-last memory
    transforms: Tensor  # float64 [B, 2, 3], image pixels -> crop pixels
    rows: Tensor  # int64 [B], of the table
    data_seconds: float  # that the consumer waited for the batch

    def pin_memory(self) -> Crops:
        """Page-locked, so that the copy to the GPU runs beside its work (PyTorch's loader calls this)."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor | EasyViews):
                setattr(self, field.name, value.pin_memory())
        return self


@dataclass
class Batch(Crops):
    """A training batch: crops with what the loss needs to know."""

    keypoints: Tensor  # float32 [B, K, 2], crop pixels
    present: Tensor  # bool [B, K]: labelled and inside the crop, so it gets a Gaussian
    supervised: Tensor  # bool [B, K]: the loss looks at its map
    weight: Tensor  # float32 [B, K]: how much it counts there
    added: int  # how many of the rows, the last ones, are U's on top of a labelled batch
    easy: EasyViews | None = None  # those rows as their teacher sees them, where they are taught online


class _Held(threading.local):
    """Buffers that every thread has to itself and uses again: new ones for every crop cost more than its warp."""

    def __init__(self) -> None:
        self.reader = ImageReader()
        self.warped = np.empty((0, 0, 4), np.uint8)


_held = _Held()


def reader() -> ImageReader:
    """This thread's image reader."""
    return _held.reader


def cut(paths: Sequence[str], transforms: np.ndarray, input_size: tuple[int, int]) -> np.ndarray:
    """Cut a crop out of each image, [B, H, W, 3] uint8 RGB; black where a crop reaches over the image's edge.

    `transforms` [B, 2, 3] lead from image to crop pixels. Neighbours in `paths` that are the same file are decoded once
    for each reduction they need. A crop's pixels depend on its file and transform alone.
    """
    height, width = input_size
    crops = np.empty((len(paths), height, width, 3), np.uint8)
    reductions = reductions_for(transforms)
    order = sorted(range(len(paths)), key=lambda i: (paths[i], reductions[i]))
    held, image = ("", 0), np.empty((0, 0, 4), np.uint8)
    for i in order:
        reduction = int(reductions[i])
        if held != (paths[i], reduction):
            image, held = reader().read(paths[i], reduction, channels=4), (paths[i], reduction)
        warp(image, reduced_transform(transforms[i], reduction), crops[i])
    return crops


def cut_from(pixels: np.ndarray, transforms: np.ndarray, input_size: tuple[int, int]) -> np.ndarray:
    """Crops as `cut` makes them, of one image in memory, [h, w, 3] uint8 RGB."""
    height, width = input_size
    crops = np.empty((len(transforms), height, width, 3), np.uint8)
    image = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)
    reductions = reductions_for(transforms)
    for reduction in np.unique(reductions):
        smaller = reduced(image, int(reduction))
        for i in np.flatnonzero(reductions == reduction):
            warp(smaller, reduced_transform(transforms[i], int(reduction)), crops[i])
    return crops


def reductions_for(transforms: np.ndarray) -> np.ndarray:
    """[B] the largest reduction (1, 2, 4, 8) whose image still has a pixel for every crop pixel."""
    pixels = 1 / np.hypot(transforms[:, 0, 0], transforms[:, 1, 0])  # image pixels per crop pixel
    return np.asarray(REDUCTIONS)[np.searchsorted(REDUCTIONS, pixels * (1 + 1e-9), side="right").clip(1) - 1]


def reduced_transform(transform: np.ndarray, reduction: int) -> np.ndarray:
    """The map [2, 3] from a reduced image's pixels: its pixel i is centred on i * reduction + (reduction - 1) / 2."""
    if reduction == 1:
        return transform
    result = transform.copy()
    result[:, :2] *= reduction
    result[:, 2] += transform[:, :2].sum(1) * (reduction - 1) / 2
    return result


def warp(image: np.ndarray, transform: np.ndarray, crop: np.ndarray) -> None:
    """Fill `crop` [H, W, 3] from `image` [h, w, 4] by the map [2, 3] from image to crop pixels, bilinear."""
    height, width = crop.shape[:2]
    if _held.warped.shape[:2] != (height, width):
        _held.warped = np.empty((height, width, 4), np.uint8)
    cv2.warpAffine(image, transform, (width, height), dst=_held.warped, flags=cv2.INTER_LINEAR)
    cv2.cvtColor(_held.warped, cv2.COLOR_RGBA2RGB, dst=crop)
