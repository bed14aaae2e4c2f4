"""Augmentation as Xiao 2018 and Sun 2019 released it, folded into one affine map a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from pipeline.records.keypoints import KeypointSet
from pipeline.settings import Augmentation
from postproc.coordinates import apply, crop_transforms, mirror

_BLOCK = 1024  # positions that share a random stream
_UNIFORM, _NORMAL = 4, 2
LABELLED, ADDED = 1, 3  # whose positions: those of the labelled rows, or of the rows of U on top of them
_ROTATED = 0.6  # share of the samples that are rotated at all
HALF_BODY_PADDING = 1.5  # takes the place of the person box's padding


@dataclass(frozen=True)
class Sample:
    """A batch of samples before their pixels."""

    transforms: np.ndarray  # [B, 2, 3], image pixels -> crop pixels
    keypoints: np.ndarray  # [B, K, 2], crop pixels
    present: np.ndarray  # [B, K] bool
    supervised: np.ndarray  # [B, K] bool
    weight: np.ndarray  # [B, K] float32


def together(samples: Sequence[Sample]) -> Sample:
    """The samples of several batches, one after the other."""
    parts = {field.name: [getattr(sample, field.name) for sample in samples] for field in fields(Sample)}
    return Sample(**{name: np.concatenate(arrays) for name, arrays in parts.items()})


def first_of(sample: Sample, count: int) -> Sample:
    """The first `count` of a batch's samples."""
    return Sample(**{field.name: getattr(sample, field.name)[:count] for field in fields(Sample)})


def draws(seed: int, epoch: int, positions: np.ndarray, series: int = LABELLED) -> tuple[np.ndarray, np.ndarray]:
    """Random numbers for positions [B] of an epoch: uniform [B, 4] and normal [B, 2], whatever else is drawn.

    Positions of U's own `series` have other numbers than the same ones of the labelled rows.
    """
    uniform, normal = np.empty((len(positions), _UNIFORM)), np.empty((len(positions), _NORMAL))
    blocks = positions // _BLOCK
    for block in np.unique(blocks):
        generator = np.random.default_rng([seed, epoch, series, int(block)])
        here = blocks == block
        uniform[here] = generator.random((_BLOCK, _UNIFORM))[positions[here] % _BLOCK]
        normal[here] = generator.standard_normal((_BLOCK, _NORMAL))[positions[here] % _BLOCK]
    return uniform, normal


def augmented(
    boxes: np.ndarray,
    keypoints: np.ndarray,
    supervised: np.ndarray,
    weight: np.ndarray,
    random: tuple[np.ndarray, np.ndarray],
    settings: Augmentation,
    keypoint_set: KeypointSet,
    input_size: tuple[int, int],
    padding: float,
) -> Sample:
    """Turn boxes [B, 4], keypoints [B, K, 3] (x, y, v; image pixels), supervised and weight [B, K] into samples.

    With the probability `settings.half_body` the box shrinks to the upper or the lower body, where that many keypoints
    are labelled. Six samples in ten are rotated by a normal angle with `settings.rotation` degrees as its deviation,
    cut at twice that; the crop's scale is normal round 1 with `settings.scale` as deviation and bound. (The papers
    print the two as bounds; this is what their released code does.) Flips swap left and right.
    """
    uniform, normal = random
    boxes, scale = boxes.astype(np.float64), np.ones(len(boxes))
    if settings.half_body and keypoint_set.upper_body:
        boxes, scale = _half_bodies(boxes, keypoints, uniform, settings, keypoint_set, padding)
    rotation = settings.rotation * normal[:, 0].clip(-2, 2) * (uniform[:, 1] < _ROTATED)
    scale = scale * (1 + settings.scale * normal[:, 1].clip(-1, 1))
    transforms = crop_transforms(boxes, input_size, padding, rotation, scale)
    flipped = uniform[:, 0] < settings.flip
    return _sample(transforms, keypoints, supervised, weight, flipped, keypoint_set, input_size)


def plain(
    boxes: np.ndarray,
    keypoints: np.ndarray,
    supervised: np.ndarray,
    weight: np.ndarray,
    keypoint_set: KeypointSet,
    input_size: tuple[int, int],
    padding: float,
) -> Sample:
    """The samples without augmentation; arguments as for `augmented`."""
    transforms = crop_transforms(boxes, input_size, padding)
    unmirrored = np.zeros(len(boxes), bool)
    return _sample(transforms, keypoints, supervised, weight, unmirrored, keypoint_set, input_size)


def _sample(
    transforms: np.ndarray,
    keypoints: np.ndarray,
    supervised: np.ndarray,
    weight: np.ndarray,
    flipped: np.ndarray,
    keypoint_set: KeypointSet,
    input_size: tuple[int, int],
) -> Sample:
    height, width = input_size
    transforms = np.where(flipped[:, None, None], mirror(transforms, width), transforms)
    points, labelled = apply(transforms, keypoints[:, :, :2].astype(np.float64)), keypoints[:, :, 2] > 0
    swapped = flipped[:, None]
    points = np.where(swapped[:, :, None], points[:, keypoint_set.mirror], points)
    labelled = np.where(swapped, labelled[:, keypoint_set.mirror], labelled)
    supervised = np.where(swapped, supervised[:, keypoint_set.mirror], supervised)
    weight = np.where(swapped, weight[:, keypoint_set.mirror], weight)
    # A labelled keypoint outside the crop is not "absent": the network must not learn an empty map for it.
    inside = ((points >= -0.5) & (points <= np.array([width, height]) - 0.5)).all(2)
    return Sample(transforms, points, labelled & inside, supervised & ~(labelled & ~inside), weight)


def half_body_boxes(keypoints: np.ndarray, keypoint_set: KeypointSet, at_least: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [N, 4] of the upper and the lower body of people (Sun 2019); NaN where there is none.

    A half is the extent of its labelled `keypoints` [N, K, 3] round their mean. It takes `at_least` labelled keypoints
    in all, and three of the half (or two, where the other half has no three either).
    """
    labelled, points = keypoints[:, :, 2] > 0, keypoints[:, :, :2].astype(np.float64)
    upper = np.isin(keypoint_set.names, keypoint_set.upper_body)
    counts = [(labelled & half).sum(1) for half in (upper, ~upper)]
    boxes = []
    for half, own, other in ((upper, *counts), (~upper, *counts[::-1])):
        chosen = labelled & half
        low = np.where(chosen[:, :, None], points, np.inf).min(1)
        high = np.where(chosen[:, :, None], points, -np.inf).max(1)
        centre = (points * chosen[:, :, None]).sum(1) / np.maximum(own, 1)[:, None]
        sides = np.maximum(high - low, 1)
        box = np.concatenate([centre - (sides - 1) / 2, sides], 1)
        there = (labelled.sum(1) >= at_least) & ((own > 2) | ((own == 2) & (other <= 2)))
        boxes.append(np.where(there[:, None], box, np.nan))
    return boxes[0], boxes[1]


def _half_bodies(
    boxes: np.ndarray,
    keypoints: np.ndarray,
    uniform: np.ndarray,
    settings: Augmentation,
    keypoint_set: KeypointSet,
    padding: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [B, 4] and scales [B], replaced where a sample shows half a body."""
    upper, lower = half_body_boxes(keypoints, keypoint_set, settings.half_body_keypoints)
    wants_upper = (uniform[:, 3] < 0.5)[:, None]
    first, second = np.where(wants_upper, upper, lower), np.where(wants_upper, lower, upper)
    chosen = np.where(np.isnan(first), second, first)
    halved = (uniform[:, 2] < settings.half_body) & ~np.isnan(chosen[:, 0])
    return np.where(halved[:, None], chosen, boxes), np.where(halved, HALF_BODY_PADDING / padding, 1.0)
