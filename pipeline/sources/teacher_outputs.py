"""What the outputs of a teacher's network mean: heatmaps, SimCC's bins or coordinates, to keypoints in the picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pipeline.records.sides import mirror_pairs
from pipeline.settings import Decoding
from pipeline.sources.teacher_card import Card, NetworkCard
from postproc.codec import decode
from postproc.coordinates import apply, exact_flip_shift, heatmap_to_image, invert
from postproc.heatmaps import GAUSSIAN

Outputs = Sequence[np.ndarray]


def shapes(card: Card, outputs: Outputs, people: int) -> list[np.ndarray]:
    """The outputs for so many people as `keypoints_of` takes them.

    That is heatmaps [B, K, h, w]; SimCC's [B, K, bins] of x and of y; or x, y, score [B, K, 3] in crop pixels.
    ValueError says which output has another shape than the card means, and which shape that would be.
    """
    network = card.network
    assert network is not None
    arrays = [np.asarray(each) for each in outputs]
    wrong = _wrong(network, arrays, people, len(card.names))
    if wrong is not None:
        number, expected = wrong
        raise ValueError(
            f"output {network.outputs[number]!r} has the shape {list(arrays[number].shape)} for a batch of {people}, "
            f"the card's {network.output} of {len(card.names)} names mean {expected}: correct the card's names, "
            "output, outputs, layout or what else decides it"
        )
    arrays = [array.astype(np.float32) for array in arrays]
    if network.output == "heatmaps" and network.layout == "NHWC":
        return [np.ascontiguousarray(arrays[0].transpose(0, 3, 1, 2))]
    return arrays if network.output != "coordinates" else [_triples(network, arrays, people, len(card.names))]


def _wrong(network: NetworkCard, arrays: Outputs, people: int, count: int) -> tuple[int, str] | None:
    """The number of the first output that has not the shape it should have, and that shape."""
    rows, columns = network.input_size
    for number, array in enumerate(arrays):
        if network.output == "heatmaps":
            nchw = network.layout == "NCHW"
            size = array.shape[2:] if nchw else array.shape[1:3]
            fits = array.ndim == 4 and array.shape[1 if nchw else 3] == count
            fits = fits and 0 < size[0] <= rows and 0 < size[1] <= columns
            expected = f"[{people}, {count}, h, w]" if nchw else f"[{people}, h, w, {count}]"
        elif network.output == "simcc":
            assert network.split_ratio is not None
            bins = round((columns, rows)[number] * network.split_ratio)
            fits, expected = array.shape[1:] == (count, bins), f"[{people}, {count}, {bins}] ({'xy'[number]})"
        else:
            each = len(network.values or ()) if number == 0 else 1
            fits, expected = array.size == people * count * each, f"[{people}, {count}, {each}]"
        if not fits or array.shape[:1] != (people,) or not np.issubdtype(array.dtype, np.floating):
            return number, f"{expected} of floating point numbers"
    return None


def _triples(network: NetworkCard, arrays: Outputs, people: int, count: int) -> np.ndarray:
    """x, y in crop pixels and the score, [B, K, 3], of coordinates and the scores beside or among them."""
    assert network.values is not None
    said = arrays[0].reshape(people, count, len(network.values))
    score = arrays[1].reshape(people, count) if len(arrays) == 2 else np.ones((people, count), np.float32)
    for place, value in enumerate(network.values):
        if value == "score":
            score = score * said[:, :, place]
        elif value == "logit":
            score = score / (1 + np.exp(-said[:, :, place].clip(-60, 60)))
    point = said[:, :, [network.values.index("x"), network.values.index("y")]]
    if network.unit == "share":
        point = point * np.array(network.input_size[::-1], np.float32)
    return np.concatenate([point, score[:, :, None]], 2)


def keypoints_of(
    card: Card, plain: Outputs, mirrored: Outputs | None, transforms: np.ndarray, decoding: Decoding
) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints in image pixels [B, K, 2] and scores [B, K].

    `plain` and `mirrored` are what `shapes` made of the outputs for the crops and the mirrored ones, if these are asked
    at all; `transforms` [B, 2, 3] lead from image to crop pixels. Heatmaps are decoded as those of our own teachers.
    """
    network = card.network
    assert network is not None
    height, width = network.input_size
    pairs = [(card.names.index(left), card.names.index(right)) for left, right in mirror_pairs(card.names)]
    if network.output == "heatmaps":
        maps = torch.from_numpy(plain[0])
        size = (int(maps.shape[2]), int(maps.shape[3]))
        shift = exact_flip_shift(width / size[1]) if decoding.shift == "auto" else float(decoding.shift)
        cells, found = decode(
            maps,
            None if mirrored is None else torch.from_numpy(mirrored[0]),
            flip_pairs=pairs,
            shift=shift,
            gaussian=GAUSSIAN if decoding.gaussian else None,
            refine=decoding.refinement,
        )
        return heatmap_to_image(cells.double().numpy(), transforms, (height, width), size), found.numpy()
    partner = np.arange(len(card.names))
    for left, right in pairs:
        partner[[left, right]] = right, left
    if network.output == "simcc":
        points, scores = _from_bins(network, plain, mirrored, partner)
    else:
        triples = plain[0]
        if mirrored is not None:
            back = mirrored[0][:, partner]
            triples = (triples + np.concatenate([width - 1 - back[:, :, :1], back[:, :, 1:]], 2)) / 2
        points, scores = triples[:, :, :2], triples[:, :, 2]
    return apply(invert(transforms), points.astype(np.float64)), scores


def _from_bins(
    network: NetworkCard, plain: Outputs, mirrored: Outputs | None, partner: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Points [B, K, 2] in crop pixels, each at its largest bin, and the lesser of the two maxima as scores (Li 2022).

    Bin i lies at i / split_ratio crop pixels. Of a mirrored crop of width W, what lies there is found in bin
    (W - 1) split_ratio - i, which is bin i + split_ratio - 1 of the vector turned round.
    """
    ratio = network.split_ratio
    assert ratio is not None
    across, down = plain
    if mirrored is not None:
        turned = mirrored[0][:, partner, ::-1]
        place = (np.arange(turned.shape[2]) + ratio - 1).clip(0, turned.shape[2] - 1)
        left = np.floor(place).astype(int)
        part = (place - left).astype(np.float32)
        right = np.minimum(left + 1, turned.shape[2] - 1)
        across = (across + turned[:, :, left] * (1 - part) + turned[:, :, right] * part) / 2
        down = (down + mirrored[1][:, partner]) / 2
    points = np.stack([across.argmax(2), down.argmax(2)], 2) / ratio
    return points, np.minimum(across.max(2), down.max(2))
