"""The one coordinate convention: pixel indices in image, crop and heatmap, and the maps between the three.

A coordinate is a pixel index: the centre of the first pixel is 0, that of the last one is `width - 1`, in all three
frames.  Between crop and heatmap only the scale changes, `cell = crop pixel * (w / W)`, as HRNet and Simple Baseline
have it, so that their checkpoints decode to the right place.

Two consequences, both tested:

* Mirroring is `x -> width - 1 - x`.  A box is centred on `x + (w - 1) / 2`, and this point falls on the centre of the
  crop, `((W - 1) / 2, (H - 1) / 2)`, so mirroring a crop and cropping the mirrored image are the same thing.
* A mirrored crop's heatmap, mirrored back, does not lie on the plain crop's heatmap: it is `1 - w / W` cells too far
  to the left, 0.75 at stride 4 and 0.5 at stride 2 (`exact_flip_shift`).  The paper (Section 5.4) finds the best
  shift by trial, 0.8 at stride 4.
"""

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

Array = TypeVar("Array", NDArray[np.floating], torch.Tensor)


def crop_transforms(
    boxes: ArrayLike,
    size: tuple[int, int],
    padding: float = 1.25,
    rotation: ArrayLike = 0.0,
    scale: ArrayLike = 1.0,
) -> NDArray[np.float64]:
    """Affine maps from image pixels to crop pixels, one for each box, `[N, 2, 3]`.

    A box grows about its centre to the crop's aspect ratio (never shrinks), then by `padding * scale`.

    Args:
        boxes: `[N, 4]` x, y, w, h in image pixels, w and h above 0.
        size: rows and columns `(H, W)` of the crop.
        padding: factor on the grown box; 1.25 as Xiao 2018 and Sun 2019 have it.
        rotation: degrees, one or `[N]`; above 0 the crop's content turns clockwise about the box's centre.
        scale: one or `[N]`; above 1 the crop shows more surroundings and a smaller person.

    Raises:
        ValueError: a box without extent or not finite, or a size, padding or scale that is not above 0.
    """
    box = np.asarray(boxes, dtype=np.float64)
    if box.ndim != 2 or box.shape[1] != 4:
        raise ValueError(f"boxes must be [N, 4] (x, y, w, h), got shape {box.shape}")
    factor = np.broadcast_to(np.asarray(scale, dtype=np.float64), len(box)) * padding
    angle = np.deg2rad(np.broadcast_to(np.asarray(rotation, dtype=np.float64), len(box)))
    rows, columns = size
    if rows < 1 or columns < 1 or not (factor > 0).all():
        raise ValueError(f"size, padding and scale must be above 0, got {size}, {padding}, {factor / padding}")
    bad = ~(np.isfinite(box).all(1) & (box[:, 2:] > 0).all(1))
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(f"boxes[{at}] = {box[at].tolist()}: x, y, w, h must be finite, w and h above 0")

    width = np.maximum(box[:, 2], box[:, 3] * columns / rows) * factor
    centre = box[:, :2] + (box[:, 2:] - 1) / 2
    along, across = columns / width * np.cos(angle), columns / width * np.sin(angle)
    transforms = np.empty((len(box), 2, 3))
    transforms[:, 0, 0], transforms[:, 0, 1] = along, -across
    transforms[:, 1, 0], transforms[:, 1, 1] = across, along
    middle = np.array([columns - 1, rows - 1]) / 2
    transforms[:, :, 2] = middle - (transforms[:, :, :2] @ centre[:, :, None])[:, :, 0]
    return transforms


def mirror(transforms: Array, width: int) -> Array:
    """Let affine maps `[N, 2, 3]` end in the mirror image of a frame that is `width` pixels wide."""
    rows = [-transforms[:, 0], transforms[:, 1]]
    rows[0][:, 2] += width - 1
    return _stack(rows, 1)


def invert(transforms: Array) -> Array:
    """Inverse affine maps, `[N, 2, 3]` to `[N, 2, 3]`, numpy or torch, without host synchronisation."""
    a, b, x = (transforms[:, 0, i] for i in range(3))
    c, d, y = (transforms[:, 1, i] for i in range(3))
    determinant = a * d - b * c
    a, b, c, d = d / determinant, -b / determinant, -c / determinant, a / determinant
    first = _stack([a, b, -(a * x + b * y)], 1)
    return _stack([first, _stack([c, d, -(c * x + d * y)], 1)], 1)


def apply(transforms: Array, points: Array) -> Array:
    """Send points `[N, P, 2]` through affine maps `[N, 2, 3]`; both numpy or both torch, on one device.

    The result has the maps' floating type: image coordinates in the thousands outgrow bfloat16 and float16.
    """
    if isinstance(points, torch.Tensor):
        points = points.to(transforms.dtype)  # type: ignore[arg-type]
    return points @ transforms[:, :, :2].mT + transforms[:, None, :, 2]


def heatmap_transforms(transforms: Array, crop: tuple[int, int], heatmap: tuple[int, int]) -> Array:
    """Let maps from image to crop pixels `[N, 2, 3]` end in heatmap cells; sizes are `(H, W)`."""
    return _stack(
        [transforms[:, 0] * (heatmap[1] / crop[1]), transforms[:, 1] * (heatmap[0] / crop[0])],
        1,
    )


def image_to_heatmap(points: Array, transforms: Array, crop: tuple[int, int], heatmap: tuple[int, int]) -> Array:
    """Keypoints `[N, K, 2]` from image pixels to heatmap cells.

    Args:
        points: x, y in image pixels.
        transforms: `[N, 2, 3]` from image to crop pixels, as `crop_transforms` gives them.
        crop: rows and columns `(H, W)` of the crop.
        heatmap: rows and columns `(h, w)` of the heatmap.
    """
    return apply(heatmap_transforms(transforms, crop, heatmap), points)


def heatmap_to_image(points: Array, transforms: Array, crop: tuple[int, int], heatmap: tuple[int, int]) -> Array:
    """Keypoints `[N, K, 2]` from heatmap cells to image pixels; arguments as for `image_to_heatmap`."""
    return apply(invert(heatmap_transforms(transforms, crop, heatmap)), points)


def exact_flip_shift(stride: float) -> float:
    """Cells by which a mirrored crop's heatmap, mirrored back, lies too far left: `1 - 1 / stride`.

    Equation 25's `1 / r` that aligns the two maps exactly; `stride` is crop width over heatmap width, `W / w`.
    """
    if stride < 1:
        raise ValueError(f"stride must be crop width / heatmap width, at least 1, got {stride}")
    return 1 - 1 / stride


def _stack(parts: list[Array], axis: int) -> Array:
    if isinstance(parts[0], torch.Tensor):
        return torch.stack(parts, axis)  # type: ignore[arg-type,return-value]
    return np.stack(parts, axis)  # type: ignore[arg-type,return-value]
