"""Hard views: what is done to a crop's pixels at random, where its keypoints stay as they are.

A keypoint under a patch stays labelled and supervised: to say where it is from the rest of the body is what the patch
is there to teach (joint cutout: Xie et al., ICCV 2021). What a sample gets depends on the seed, the epoch and its
position alone. A patch of another person comes from the neighbour in its pair, position 2n from 2n + 1 and the other
way round: who that is changes with every epoch's order, an even number of rows in a batch holds all pairs whole, and
where a batch ends in the middle of one (`paired`) a crop is made for its pixels alone.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import simplejpeg

from pipeline.learning.data.augmentation import LABELLED
from pipeline.settings import Augmentation

_STREAM = 1  # apart from the numbers of the geometric augmentation
_BLOCK = 32  # positions that share a random stream
_COLOUR, _DEGRADE, _COUNTS, _CUT, _PASTE = 4, 3, 2, 5, 8  # numbers a sample; the last two for each keypoint
_DEGRADED = 0.2  # share of the samples that are blurred, noisy or compressed
_SIDES = 0.1, 0.2  # of a patch, as shares of the crop's shorter side
_FILL = np.array([124, 116, 104], np.uint8)  # RGB, ImageNet's mean: zero for the network
_GREY = 127.5  # that contrast leaves alone
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_NOISE_LEVEL, _NOISES = 32, 1 << 16  # deviation of the stored noise; places at which a crop's can begin

_Patch = tuple[int, slice, slice, np.ndarray]  # sample, rows, columns, pixels


def is_hard(settings: Augmentation) -> bool:
    """Whether these settings change any pixel."""
    return bool(_coloured(settings) or _degradations(settings) or settings.cutout or settings.occlusion)


def paired(positions: np.ndarray, settings: Augmentation) -> np.ndarray:
    """`positions` [B] and, where patches of others are wanted, after them the neighbours that are not among them."""
    return np.concatenate([positions, np.setdiff1d(positions ^ 1, positions)]) if settings.occlusion else positions


def harden(
    crops: np.ndarray,
    keypoints: np.ndarray,
    present: np.ndarray,
    positions: np.ndarray,
    seed: int,
    epoch: int,
    settings: Augmentation,
    series: int = LABELLED,
) -> None:
    """Change crops [B, H, W, 3] (uint8 RGB, contiguous) in place; patches first, then colour, then blur, noise or JPEG.

    Args:
        keypoints: [B, K, 2], crop pixels.
        present: [B, K]: patches lie over these alone, and are taken from about these alone.
        positions: [B], of the epoch, each once; with `settings.occlusion` both of each pair (see `paired`).
        series: whose positions, as for `draws`.
    """
    if not is_hard(settings):
        return
    count = keypoints.shape[1]
    uniform = _draws(seed, epoch, positions, series, _COLOUR + _DEGRADE + _COUNTS + (_CUT + _PASTE) * count)
    colour, degrade, counts, places = np.split(uniform, np.cumsum([_COLOUR, _DEGRADE, _COUNTS]), axis=1)
    cut, paste = np.split(places.reshape(len(crops), _CUT + _PASTE, count), [_CUT], axis=1)
    edge = np.array([crops.shape[2], crops.shape[1]])
    points = np.rint(np.where(present[:, :, None], keypoints, 0)).astype(int).clip(0, edge - 1)
    patches: list[_Patch] = []  # all are taken before any is laid down
    if settings.occlusion:
        chosen = _chosen(present, paste[:, 0], counts[:, 0], settings.occlusion)
        patches += _of_others(crops, points, present, chosen, paste, _neighbours(positions))
    if settings.cutout:
        patches += _plain(edge, points, _chosen(present, cut[:, 0], counts[:, 1], settings.cutout), cut)
    for i, rows, columns, pixels in patches:
        crops[i, rows, columns] = pixels
    if _coloured(settings):
        for crop, matrix in zip(crops, colour_maps(colour, settings), strict=True):
            cv2.transform(crop, matrix, dst=crop)
    ways = _degradations(settings)
    for i in np.flatnonzero(degrade[:, 0] < _DEGRADED).tolist() if ways else ():
        _degrade(crops[i], ways[int(degrade[i, 0] / _DEGRADED * len(ways))], degrade[i, 1:], settings)


def _draws(seed: int, epoch: int, positions: np.ndarray, series: int, numbers: int) -> np.ndarray:
    """Uniform random numbers [B, numbers] for positions [B] of an epoch."""
    uniform, blocks = np.empty((len(positions), numbers)), positions // _BLOCK
    for block in np.unique(blocks):
        here = blocks == block
        generator = np.random.default_rng([seed, epoch, series, int(block), _STREAM])
        uniform[here] = generator.random((_BLOCK, numbers))[positions[here] % _BLOCK]
    return uniform


def _coloured(settings: Augmentation) -> bool:
    return bool(settings.brightness or settings.contrast or settings.saturation or settings.hue)


def _degradations(settings: Augmentation) -> list[str]:
    return [name for name in ("blur", "noise", "jpeg") if getattr(settings, name)]


def colour_maps(uniform: np.ndarray, settings: Augmentation) -> np.ndarray:
    """Maps [B, 3, 4] of RGB to RGB from uniform [B, 4]: brightness, then contrast about grey, saturation and hue.

    The last two scale and turn the chroma plane of YIQ and keep the luminance.
    """
    brightness, contrast, saturation = (
        1 + strength * (2 * uniform[:, i] - 1)
        for i, strength in enumerate((settings.brightness, settings.contrast, settings.saturation))
    )
    angle = np.deg2rad(settings.hue) * (2 * uniform[:, 3] - 1)
    chroma = np.zeros((len(uniform), 3, 3))
    chroma[:, 0, 0] = 1
    chroma[:, 1, 1] = chroma[:, 2, 2] = saturation * np.cos(angle)
    chroma[:, 2, 1] = saturation * np.sin(angle)
    chroma[:, 1, 2] = -chroma[:, 2, 1]
    maps = np.empty((len(uniform), 3, 4))
    maps[:, :, :3] = (brightness * contrast)[:, None, None] * (np.linalg.inv(_TO_YIQ) @ chroma @ _TO_YIQ)
    maps[:, :, 3] = (_GREY * (1 - contrast))[:, None]
    return maps


def _degrade(crop: np.ndarray, way: str, uniform: np.ndarray, settings: Augmentation) -> None:
    """Blur, disturb or compress a crop [H, W, 3] in place, as strongly as uniform [2] says."""
    strength = uniform[0] * getattr(settings, way)
    if way == "blur":
        taps = 2 * round(2 * strength) + 1  # two deviations either way: OpenCV's three take twice as long
        cv2.GaussianBlur(crop, (taps, taps), max(strength, 0.1), dst=crop)
    elif way == "noise":
        start = int(uniform[1] * _NOISES)
        noise = _noise(crop.size)[start : start + crop.size].reshape(crop.shape)
        share = strength / _NOISE_LEVEL
        cv2.addWeighted(crop, 1, noise, share, -128 * share, dst=crop)
    else:
        data = simplejpeg.encode_jpeg(crop, round(100 - strength), "RGB", "420")
        simplejpeg.decode_jpeg(data, "RGB", buffer=crop)


@lru_cache(maxsize=4)
def _noise(size: int) -> np.ndarray:
    """Gaussian noise round 128, uint8, in which every crop of that size finds `_NOISES` places; drawing new is dear."""
    values = np.random.default_rng(0).standard_normal(size + _NOISES, np.float32)
    return np.rint(128 + _NOISE_LEVEL * values).clip(0, 255).astype(np.uint8)


def _neighbours(positions: np.ndarray) -> np.ndarray:
    """Where the other of each pair stands in `positions` [B]; ValueError where it is not there."""
    order = np.argsort(positions)
    found = order[np.searchsorted(positions, positions ^ 1, sorter=order).clip(max=len(order) - 1)]
    if (positions[found] != positions ^ 1).any():
        raise ValueError(f"positions {positions.tolist()}: allowed are both of each pair 2n, 2n + 1, as of `paired`")
    return found


def _chosen(present: np.ndarray, order: np.ndarray, share: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples [N] and keypoints [N] to cover: of each sample 0 to `most`, as many alike, of those present [B, K]."""
    wanted = np.minimum((share * (most + 1)).astype(int), present.sum(1))
    samples, keypoints = np.nonzero(np.where(present, order, 2).argsort(1).argsort(1) < wanted[:, None])
    return samples, keypoints


def _rectangles(points: np.ndarray, uniform: np.ndarray, size: int) -> np.ndarray:
    """Patches [N, 4] (left, top, right, bottom; pixels), from uniform [N, 4], in crops whose shorter side is `size`.

    The pixel `points` [N, 2] lies in its patch, anywhere: the middle of the patch would tell where the keypoint is.
    """
    low, high = _SIDES
    sides = np.maximum(np.rint(size * (low + (high - low) * uniform[:, :2])).astype(int), 1)
    corners = points - (uniform[:, 2:] * sides).astype(int)
    return np.concatenate([corners, corners + sides], 1)


def _slices(samples: np.ndarray, rectangles: np.ndarray) -> list[tuple[int, slice, slice]]:
    """Sample, rows and columns of rectangles [N, 4]."""
    return [
        (sample, slice(top, bottom), slice(left, right))
        for sample, (left, top, right, bottom) in zip(samples.tolist(), rectangles.tolist(), strict=True)
    ]


def _plain(
    edge: np.ndarray, points: np.ndarray, chosen: tuple[np.ndarray, np.ndarray], uniform: np.ndarray
) -> list[_Patch]:
    """Patches of one colour over the `chosen` keypoints, in crops of the size `edge` (width, height)."""
    samples, keypoints = chosen
    numbers = uniform[samples, 1:, keypoints]
    places = _rectangles(points[samples, keypoints], numbers, int(edge.min())).clip(0, np.tile(edge, 2))
    sizes = places - np.tile(places[:, :2], 2)
    plate = np.full((*sizes[:, 2:].max(0, initial=0)[::-1], 3), _FILL)  # copied by rows, which one colour is not
    pieces = [plate[rows, columns] for _, rows, columns in _slices(samples, sizes)]
    return [(*place, piece) for place, piece in zip(_slices(samples, places), pieces, strict=True)]


def _of_others(
    crops: np.ndarray,
    points: np.ndarray,
    present: np.ndarray,
    chosen: tuple[np.ndarray, np.ndarray],
    uniform: np.ndarray,
    neighbours: np.ndarray,
) -> list[_Patch]:
    """Patches over the `chosen` keypoints, each copied from about a keypoint of the sample's neighbour."""
    samples, keypoints = chosen
    there = present[neighbours[samples]].any(1)
    samples, keypoints = samples[there], keypoints[there]
    others, numbers = neighbours[samples], uniform[samples, :, keypoints]
    edge = np.array([crops.shape[2], crops.shape[1]])
    rectangles = _rectangles(points[samples, keypoints], numbers[:, 2:6], int(edge.min()))
    counted = present[others].cumsum(1)
    taken = (counted > (numbers[:, 1] * counted[:, -1]).astype(int)[:, None]).argmax(1)
    # Where the other's keypoint lies in the patch is drawn anew, or it would mark the place of this one.
    sides = rectangles[:, 2:] - rectangles[:, :2]
    corners = (points[others, taken] - (numbers[:, 6:] * sides).astype(int)).clip(0, edge - sides)
    shifts = np.tile(corners - rectangles[:, :2], 2)  # from this crop's pixels to the other's
    rectangles = rectangles.clip(0, np.tile(edge, 2))
    sources = _slices(others, rectangles + shifts)
    return [(*place, crops[source].copy()) for place, source in zip(_slices(samples, rectangles), sources, strict=True)]
