"""Heatmaps to keypoints in plain tensor operations: any device, capturable, exportable.

Nothing here reads a value back to the host, and no Python list becomes a tensor, so the functions run inside a CUDA
graph, under `torch.compile(fullgraph=True)` and in an exported program.  On a CPU `postproc.codec.decode` is faster.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

REFINEMENTS = ("none", "quarter", "parabola", "paraboloid", "dark", "log_parabola")
GAUSSIAN = (5, 1.0)
"""Width in cells and sigma of the Gaussian filter; the paper (Section 5.3) states neither."""
LOG_FLOOR = 1e-10
"""Values below it count as this much where a refinement takes the logarithm."""
WINDOW = range(-2, 3)

Pairs = Sequence[tuple[int, int]]


def decode_torch(
    heatmaps: Tensor,
    flipped: Tensor | None = None,
    *,
    flip_pairs: Pairs | None = None,
    shift: float | None = None,
    gaussian: tuple[int, float] | None = GAUSSIAN,
    refine: str = "parabola",
) -> tuple[Tensor, Tensor]:
    """What `postproc.codec.decode` does, in tensor operations only; arguments, results and errors are the same."""
    check_decode(heatmaps, flipped, flip_pairs, shift, gaussian, refine)
    maps = heatmaps.float()
    if flipped is not None:
        assert flip_pairs is not None  # check_decode has made sure of it
        assert shift is not None
        maps = (maps + align_flipped(flipped.float(), flip_pairs, shift)) / 2
    flat = maps.flatten(2)
    score = flat.amax(-1)
    if gaussian is not None:
        maps = gaussian_filter(maps, *gaussian)
    height, width = maps.shape[-2:]
    best = maps.flatten(2).argmax(-1)
    x, y = best % width, best // width
    offset = _offset(_window(maps, x, y), x, y, height, width, refine)
    coordinates = torch.stack([x, y], -1) + offset
    # A map that is not finite everywhere has no maximum to speak of.
    finite = flat.isfinite().all(-1)
    nothing = torch.full_like(score, torch.nan)
    return torch.where(finite[..., None], coordinates, nothing[..., None]), torch.where(finite, score, nothing)


def align_flipped(flipped: Tensor, flip_pairs: Pairs, shift: float = 0.0) -> Tensor:
    """Bring a mirrored crop's heatmaps `[B, K, H, W]` onto those of the plain crop.

    Mirrors them back, swaps the keypoints of each pair, then shifts them by `shift` (the paper's 1 / r) cells to the
    right by linear interpolation (Equation 25 with j0 = 1).  The first column has no left neighbour and stays.
    """
    partner = partners(flip_pairs, flipped.shape[1])
    # One slice a keypoint: an index tensor would have to be copied to the device, which a graph cannot capture.
    maps = torch.cat([flipped[:, k : k + 1] for k in partner], 1).flip(-1)
    if shift == 0:
        return maps
    return torch.cat([maps[..., :1], (1 - shift) * maps[..., 1:] + shift * maps[..., :-1]], -1)


def gaussian_filter(heatmaps: Tensor, width: int = GAUSSIAN[0], sigma: float = GAUSSIAN[1]) -> Tensor:
    """Smooth heatmaps `[..., H, W]` with a separable Gaussian of `width` taps (Section 5.3).

    Beyond the border the map is mirrored without repeating the border cell, as OpenCV does by default.
    """
    weights = gaussian_weights(width, sigma)
    radius = width // 2
    padded = F.pad(heatmaps, (radius, radius, radius, radius), mode="reflect")
    height, columns = heatmaps.shape[-2:]
    down = weights[0] * padded[..., radius : radius + height, :]
    for tap in range(1, radius + 1):
        above, below = padded.narrow(-2, radius - tap, height), padded.narrow(-2, radius + tap, height)
        down = down + weights[tap] * (above + below)
    across = weights[0] * down[..., radius : radius + columns]
    for tap in range(1, radius + 1):
        left, right = down.narrow(-1, radius - tap, columns), down.narrow(-1, radius + tap, columns)
        across = across + weights[tap] * (left + right)
    return across


def gaussian_weights(width: int, sigma: float) -> list[float]:
    """Weights of a sampled Gaussian that sum to 1 over all `width` taps: the middle one and those on one side."""
    half = [math.exp(-((tap / sigma) ** 2) / 2) for tap in range(width // 2 + 1)]
    total = 2 * sum(half) - half[0]
    return [value / total for value in half]


def partners(flip_pairs: Pairs, keypoints: int) -> list[int]:
    """For each keypoint the one that takes its place in the mirror; itself where it is in no pair.

    Raises:
        ValueError: a pair names a keypoint that does not exist, or one that another pair names.
    """
    partner = list(range(keypoints))
    for left, right in flip_pairs:
        for k in (left, right):
            if not 0 <= k < keypoints:
                raise ValueError(f"flip pair ({left}, {right}): there are only {keypoints} keypoints")
            if partner[k] != k or left == right:
                raise ValueError(f"flip pair ({left}, {right}): keypoint {k} is paired twice")
        partner[left], partner[right] = right, left
    return partner


def check_decode(
    heatmaps: Tensor,
    flipped: Tensor | None,
    flip_pairs: Pairs | None,
    shift: float | None,
    gaussian: tuple[int, float] | None,
    refine: str,
) -> None:
    """Raise ValueError where the arguments of `decode` do not go together."""
    if heatmaps.ndim != 4 or 0 in heatmaps.shape[2:] or not heatmaps.is_floating_point():
        raise ValueError(f"heatmaps must be floating [B, K, H, W], got {heatmaps.dtype} {tuple(heatmaps.shape)}")
    if refine not in REFINEMENTS:
        raise ValueError(f"refine={refine!r}: must be one of {', '.join(REFINEMENTS)}")
    if gaussian is not None:
        width, sigma = gaussian
        if width < 1 or width % 2 == 0 or width // 2 >= min(heatmaps.shape[2:]) or not sigma > 0:
            raise ValueError(
                f"gaussian={gaussian}: needs an odd width less than twice the map's {tuple(heatmaps.shape[2:])} "
                "and a sigma above 0"
            )
    if flipped is None:
        return
    if flipped.shape != heatmaps.shape:
        raise ValueError(f"flipped heatmaps are {tuple(flipped.shape)}, the plain ones {tuple(heatmaps.shape)}")
    if flip_pairs is None or shift is None or not 0 <= shift <= 1:
        raise ValueError(
            f"flipped heatmaps need flip_pairs and a shift in [0, 1] cells, got {flip_pairs} and {shift}; "
            "the paper's best shift is 0.8 at stride 4, postproc.coordinates.exact_flip_shift has the exact one"
        )


def _window(maps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The 5 x 5 cells about `x, y` `[B, K]`, `[B, K, 5, 5]`; cells outside repeat the border and are not used."""
    height, width = maps.shape[-2:]
    rows = torch.stack([(y + step).clamp(0, height - 1) for step in WINDOW], -1)
    columns = torch.stack([(x + step).clamp(0, width - 1) for step in WINDOW], -1)
    cells = (rows[..., :, None] * width + columns[..., None, :]).flatten(-2)
    return maps.flatten(2).gather(-1, cells).unflatten(-1, (len(WINDOW), len(WINDOW)))


def _offset(z: Tensor, x: Tensor, y: Tensor, height: int, width: int, refine: str) -> Tensor:
    """Sub-cell step from the maximum, `[B, K, 2]`, of the window `z`; see `decode` for each refinement."""
    inside = torch.stack([(x > 0) & (x < width - 1), (y > 0) & (y < height - 1)], -1)
    if refine == "none":
        return torch.zeros_like(z[..., 0, :2])
    if refine in ("dark", "log_parabola"):
        z = z.clamp(min=LOG_FLOOR).log()
    before = torch.stack([z[..., 2, 1], z[..., 1, 2]], -1)
    after = torch.stack([z[..., 2, 3], z[..., 3, 2]], -1)
    if refine == "quarter":
        return torch.where(inside, 0.25 * torch.sign(after - before), 0)
    bend = before + after - 2 * z[..., 2, 2, None]
    parabola = torch.where(inside & (bend < 0), (before - after) / (2 * torch.where(bend < 0, bend, -1)), 0)
    if refine in ("parabola", "log_parabola"):
        return parabola
    if refine == "paraboloid":
        surface, usable = _paraboloid(z), inside.all(-1)
    else:
        surface, usable = _taylor(z), (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
    a, b, c, d, e = surface
    determinant = 4 * a * b - c * c
    usable = usable & (determinant > 0) & (a < 0)
    determinant = torch.where(usable, determinant, 1)
    step = torch.stack([c * e - 2 * b * d, c * d - 2 * a * e], -1) / determinant[..., None]
    return torch.where(usable[..., None], step.clamp(-1, 1), parabola)


def _paraboloid(z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Coefficients a to e of the paraboloid through the middle 3 x 3 of a window, Equations 17 to 21."""
    (z00, z01, z02), (z10, z11, z12), (z20, z21, z22) = ([z[..., r, c] for c in (1, 2, 3)] for r in (1, 2, 3))
    a = (2 * (z12 + z10 - 2 * z11) + (z02 + z00 - 2 * z01) + (z22 + z20 - 2 * z21)) / 8
    b = (2 * (z01 + z21 - 2 * z11) + (z00 + z20 - 2 * z10) + (z02 + z22 - 2 * z12)) / 8
    c = (z00 + z22 - z02 - z20) / 4
    d = ((z02 - z00) + (z22 - z20) + 2 * (z12 - z10)) / 8
    e = ((z20 - z00) + (z22 - z02) + 2 * (z21 - z01)) / 8
    return a, b, c, d, e


def _taylor(z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """DARK's second-order expansion at the middle of a window, as coefficients a to e of Equation 14.

    Zhang et al., Distribution-Aware Coordinate Representation for Human Pose Estimation, 2020: second derivatives
    over two cells, first and mixed ones over one.
    """
    a = (z[..., 2, 4] + z[..., 2, 0] - 2 * z[..., 2, 2]) / 8
    b = (z[..., 4, 2] + z[..., 0, 2] - 2 * z[..., 2, 2]) / 8
    c = (z[..., 1, 1] + z[..., 3, 3] - z[..., 1, 3] - z[..., 3, 1]) / 4
    d = (z[..., 2, 3] - z[..., 2, 1]) / 2
    e = (z[..., 3, 2] - z[..., 1, 2]) / 2
    return a, b, c, d, e
