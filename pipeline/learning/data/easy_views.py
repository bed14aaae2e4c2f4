"""Two views of a person: the easy one, which a teacher sees, and where it lies in the hard one of its student."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from pipeline.learning.data.augmentation import Sample


@dataclass(frozen=True)
class EasyViews:
    """The rows of U once more, without augmentation."""

    images: Tensor  # uint8 [B, 3, H, W]
    maps: Tensor  # float64 [B, 2, 3], pixels of the hard view -> pixels of the easy one
    mirrored: Tensor  # bool [B], the hard view is the mirror image

    def pin_memory(self) -> EasyViews:
        """Page-locked, see `Crops.pin_memory`."""
        return EasyViews(self.images.pin_memory(), self.maps.pin_memory(), self.mirrored.pin_memory())


def easy_views(crops: np.ndarray, easy: Sample, hard: Sample) -> EasyViews:
    """The easy views' `crops` [B, H, W, 3], and how the hard views of the same rows lie to them."""
    whole = np.concatenate([hard.transforms, np.tile([[[0.0, 0.0, 1.0]]], (len(crops), 1, 1))], 1)
    back = np.linalg.inv(whole)
    maps = easy.transforms @ back
    return EasyViews(
        torch.from_numpy(crops).permute(0, 3, 1, 2),
        torch.from_numpy(maps),
        torch.from_numpy(np.linalg.det(maps[:, :, :2]) < 0),
    )


def seen_in_the_hard_view(heatmaps: Tensor, views: EasyViews, mirror: Tensor, stride: float) -> Tensor:
    """Heatmaps [B, K, h, w] of the easy views as they lie in the hard ones, bilinear; 0 beyond the easy view.

    Left and right change places where the hard view is the mirror image: `mirror` [K] names each keypoint's
    counterpart. A cell (x, y) is the crop's pixel (x, y) * stride. All is done on the device of the heatmaps.
    """
    height, width = heatmaps.shape[2:]
    maps = views.maps.to(heatmaps.device, non_blocking=True)
    offset = maps[:, :, 2] / stride  # the same map between cells
    # Cell (x, y) is affine_grid's (2 x + 1) / width - 1: fold that into the map, on both of its sides.
    centre, scales = ((width - 1) / 2, (height - 1) / 2), (2 / width, 2 / height)
    rows = []
    for i, (middle, scale) in enumerate(zip(centre, scales, strict=True)):
        along, down, moved = maps[:, i, 0], maps[:, i, 1], offset[:, i]
        start = along * centre[0] + down * centre[1] + moved - middle
        rows.append(torch.stack([along * width / 2 * scale, down * height / 2 * scale, start * scale], 1))
    theta = torch.stack(rows, 1).to(heatmaps.dtype)
    grid = functional.affine_grid(theta, list(heatmaps.shape), align_corners=False)
    swapped = views.mirrored.to(heatmaps.device, non_blocking=True)[:, None, None, None]
    sided = torch.where(swapped, heatmaps[:, mirror], heatmaps)
    return functional.grid_sample(sided, grid, align_corners=False)
