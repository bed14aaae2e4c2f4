"""Keypoints to heatmaps and back: targets, decoding with the paper's refinements, and averaging of heatmaps.

Coordinates are in heatmap cells, x before y; `postproc.coordinates` leads from cells to image pixels and back.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from postproc import kernels
from postproc.heatmaps import (
    GAUSSIAN,
    REFINEMENTS,
    Pairs,
    check_decode,
    decode_torch,
    gaussian_weights,
    partners,
)

TARGET_FLOOR = 1e-10
"""A target's factor along either axis counts as 0 below it: far less than float32 resolves beside 1."""


def encode(keypoints: Tensor, visible: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """Gaussian targets on the keypoints' device, `[..., K, H, W]` float32.

    The Gaussian is sampled about the exact sub-cell location, which is not rounded first: its peak of 1 lies there, so
    the largest cell is usually a little below 1.  It is not cut off at three sigma either.  Invisible keypoints, those
    more than three sigma outside the map and those that are not finite give an all-zero map.

    Args:
        keypoints: `[..., K, 2]` x, y in heatmap cells.
        visible: `[..., K]`, true or above 0 where the keypoint gets a Gaussian.
        size: rows and columns `(H, W)` of the heatmaps.
        sigma: standard deviation in heatmap cells.

    Raises:
        ValueError: shapes that do not match, or a size or sigma that is not above 0.
    """
    _check_encode(keypoints.shape, visible.shape, size, sigma)
    height, width = size
    points = keypoints.float()
    last = torch.stack([torch.full_like(points[..., 0], width - 1), torch.full_like(points[..., 0], height - 1)], -1)
    inside = ((points >= -3 * sigma) & (points <= last + 3 * sigma)).all(-1) & (visible > 0)
    columns = torch.arange(width, device=points.device, dtype=points.dtype)
    rows = torch.arange(height, device=points.device, dtype=points.dtype)
    across = _bell(columns - points[..., 0, None], sigma)
    down = _bell(rows - points[..., 1, None], sigma)
    return torch.where(inside[..., None, None], down[..., :, None] * across[..., None, :], 0)


def encode_numpy(keypoints: ArrayLike, visible: ArrayLike, size: tuple[int, int], sigma: float) -> NDArray[np.float32]:
    """What `encode` does, compiled for one CPU core, for data loaders; arguments, result and errors are the same."""
    points, shown = np.asarray(keypoints, np.float32), np.asarray(visible) > 0
    _check_encode(points.shape, shown.shape, size, sigma)
    out = np.empty((shown.size, *size), np.float32)
    kernels.gaussians(points.reshape(-1, 2), shown.reshape(-1), size[0], size[1], float(sigma), TARGET_FLOOR, out)
    return out.reshape(*shown.shape, *size)


def decode(
    heatmaps: Tensor,
    flipped: Tensor | None = None,
    *,
    flip_pairs: Pairs | None = None,
    shift: float | None = None,
    gaussian: tuple[int, float] | None = GAUSSIAN,
    refine: str = "parabola",
) -> tuple[Tensor, Tensor]:
    """Keypoints `[B, K, 2]` (x, y in heatmap cells) and their scores `[B, K]`, float32 on the heatmaps' device.

    In this order: mean with the flipped heatmaps, Gaussian filter, first maximum row by row, refinement about it.  A
    score is the maximum of the mean before filtering.  On a CPU it runs compiled on one core, elsewhere as tensor
    operations without a host synchronisation; float32 arithmetic throughout.

    Refinements: `none`; `quarter`, 0.25 cells towards the higher neighbour; `parabola` (Equation 13), each axis by
    itself; `paraboloid` (Equations 16-22), fitted to 3 x 3 cells; and, exact on a Gaussian, `log_parabola`, the
    parabola of the logarithm, and `dark`, the second-order step of Zhang 2020 on the logarithm of 5 x 5 cells.

    Where there is less to go by: an axis along which the maximum lies on the border is not refined; where the
    paraboloid's or dark's cells are not all inside the map, or their surface has no maximum, the (log-) parabola
    stands in, and their step goes no further than a cell each way.  A flat map, all-zero or not, gives cell (0, 0).
    A map that holds NaN or an infinity, or whose flipped twin does, gives NaN for coordinates and score.

    Args:
        heatmaps: `[B, K, H, W]`, any device and floating type.
        flipped: `[B, K, H, W]`, the network's heatmaps of the mirrored crops as they came; needs the next two.
        flip_pairs: keypoints that swap places in the mirror.
        shift: cells in [0, 1] by which the mirrored-back heatmaps move to the right: the paper's 1 / r (Section 5.4).
        gaussian: width in cells (odd) and sigma of the filter (Section 5.3), None for no filter.
        refine: one of `REFINEMENTS`.

    Raises:
        ValueError: arguments outside what is described here.
    """
    if heatmaps.device.type != "cpu":
        return decode_torch(heatmaps, flipped, flip_pairs=flip_pairs, shift=shift, gaussian=gaussian, refine=refine)
    check_decode(heatmaps, flipped, flip_pairs, shift, gaussian, refine)
    batch, keypoints, height, width = heatmaps.shape
    weights = gaussian_weights(*gaussian) if gaussian else []
    if gaussian:
        weights += [0.0] * (3 - len(weights))  # the kernel takes the middle and two taps at once
    coordinates = torch.empty(batch, keypoints, 2)
    scores = torch.empty(batch, keypoints)
    kernels.decode_maps(
        _flat(heatmaps),
        np.empty(0, np.float32) if flipped is None else _flat(flipped),
        np.array(partners(flip_pairs or (), keypoints), np.int64),
        height,
        width,
        float(shift or 0),
        np.array(weights, np.float32),
        REFINEMENTS.index(refine),
        coordinates.view(-1, 2).numpy(),
        scores.view(-1).numpy(),
    )
    return coordinates, scores


def average_heatmaps(heatmaps: Sequence[Tensor], size: tuple[int, int] | None = None) -> Tensor:
    """Mean of several models' heatmaps of the same crops on one grid, `[B, K, H, W]` (the ensemble of Table 11).

    Maps of another size are resampled by Catmull-Rom interpolation, which is exact on the parabola that a peak
    resembles, at `cell * (w / W)`: the first cells of all sizes coincide (`postproc.coordinates`), and do not with
    `torch.nn.functional.interpolate`.  Flipped heatmaps are first put into each model's own mean
    (`postproc.heatmaps.align_flipped`), for the shift depends on the stride.

    Args:
        heatmaps: one `[B, K, h, w]` a model, on one device; h and w may differ between models.
        size: rows and columns `(H, W)` of the result; by default those of the largest map.

    Raises:
        ValueError: no heatmaps, or people or keypoints that differ in number.
    """
    if not heatmaps or any(maps.ndim != 4 or maps.shape[:2] != heatmaps[0].shape[:2] for maps in heatmaps):
        raise ValueError(f"needs [B, K, h, w] heatmaps of the same B and K, got {[tuple(m.shape) for m in heatmaps]}")
    height, width = size or max((maps.shape[-2:] for maps in heatmaps), key=lambda shape: shape[0] * shape[1])
    total = torch.zeros((), device=heatmaps[0].device)
    for maps in heatmaps:
        resized = maps.float()
        if maps.shape[-2] != height:
            resized = _catmull_rom(maps.shape[-2], height, maps.device) @ resized
        if maps.shape[-1] != width:
            resized = resized @ _catmull_rom(maps.shape[-1], width, maps.device).T
        total = total + resized
    return total / len(heatmaps)


def _check_encode(keypoints: Sequence[int], visible: Sequence[int], size: tuple[int, int], sigma: float) -> None:
    if len(keypoints) < 2 or keypoints[-1] != 2 or tuple(keypoints[:-1]) != tuple(visible):
        raise ValueError(
            f"keypoints must be [..., K, 2] and visible [..., K], got {tuple(keypoints)} and {tuple(visible)}"
        )
    if min(size) < 1 or not sigma > 0:
        raise ValueError(f"size and sigma must be above 0, got {size} and {sigma}")


def _bell(distance: Tensor, sigma: float) -> Tensor:
    factor = torch.exp(distance.square() / (-2 * sigma * sigma))
    return torch.where(factor < TARGET_FLOOR, 0, factor)


def _flat(heatmaps: Tensor) -> NDArray[np.float32]:
    return heatmaps.detach().float().contiguous().view(-1).numpy()


def _catmull_rom(cells: int, samples: int, device: torch.device) -> Tensor:
    """Matrix `[samples, cells]` that reads an axis of `cells` at `0, s, 2 s, ...` with `s = cells / samples`.

    Past the last cell, where there is nothing to interpolate between, the last cell's value stands.
    """
    place = (torch.arange(samples, device=device) * (cells / samples)).clamp(max=cells - 1)
    left = place.floor()
    t = place - left
    weights = [
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((4 - 3 * t) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    ]
    columns = torch.arange(cells, device=device)
    matrix = torch.zeros(samples, cells, device=device)
    for step, weight in zip(range(-1, 3), weights, strict=True):
        matrix = matrix + (columns == (left + step).clamp(0, cells - 1)[:, None]) * weight[:, None]
    return matrix
