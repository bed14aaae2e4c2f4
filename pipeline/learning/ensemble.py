"""Several networks as one: their heatmaps, flip test included, averaged on a common grid (sections 4.2 and 6.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from model import checkpoints
from model.network import PoseNetwork
from pipeline.learning.devices import pick_device
from pipeline.learning.inference import Prediction, flip_shift, predict, ready
from pipeline.learning.outside import Opinion, agreed
from pipeline.learning.shards import joined, kept
from pipeline.records.artefacts import file_hash
from pipeline.records.code import code_hash
from pipeline.records.keypoints import KeypointSet
from pipeline.records.tables import to_numpy
from pipeline.settings import Compute, Decoding
from postproc.codec import average_heatmaps, decode
from postproc.coordinates import heatmap_to_image
from postproc.heatmaps import GAUSSIAN, align_flipped

_SIGMA = 0.08  # by which members agree where the keypoint set has none: the mean of COCO's below the face


@dataclass(frozen=True)
class Member:
    """One network of an ensemble and what its checkpoint's card says. `identity` is its name and content hash."""

    identity: str
    network: PoseNetwork
    keypoint_names: tuple[str, ...]
    padding: float


@dataclass(frozen=True)
class FusedPoses:
    """Some people of a table. `spread` is how far the members disagree: RMS distance to their mean, in image pixels."""

    rows: np.ndarray  # [B]
    points: np.ndarray  # [B, K, 2] image pixels
    scores: np.ndarray  # [B, K]
    spread: np.ndarray  # [B, K]


@lru_cache(maxsize=8)
def load_member(folder: Path, content: str, device: str) -> Member:
    """A model's folder, loaded once a process and device; `content` is the folder's hash and keys the cache.

    Threads that keep to a GPU each must not share a network: moving it to one takes it from the other.
    """
    card = checkpoints.read_card(folder, checkpoints.POSE)
    padding = float(card.get("padding", 1.25))
    network = ready(checkpoints.load(folder), torch.device(device))
    return Member(f"{folder.name}:{content}", network, tuple(card["keypoint_names"]), padding)


def load_members(folders: Sequence[Path], keypoints: KeypointSet, device: torch.device) -> list[Member]:
    """The networks of an ensemble. ValueError when they cannot be fused: other keypoints, padding or aspect ratio."""
    members = [load_member(folder, file_hash(folder), str(device)) for folder in folders]
    if not members:
        raise ValueError("an ensemble needs at least one model")
    first = members[0]
    for folder, member in zip(folders, members, strict=True):
        if member.keypoint_names != keypoints.names:
            raise ValueError(f"{folder}: predicts {list(member.keypoint_names)}, needed are {list(keypoints.names)}")
        height, width = member.network.spec.input_size
        first_height, first_width = first.network.spec.input_size
        if height * first_width != width * first_height or member.padding != first.padding:
            raise ValueError(
                f"{folder}: crops of {height}x{width}, padding {member.padding}, do not show the same part of the "
                f"picture as {folders[0]}'s of {first_height}x{first_width}, padding {first.padding}; allowed: one "
                "aspect ratio and one padding in an ensemble"
            )
    return members


@dataclass(frozen=True)
class FuseShard:
    """The fused poses of a range of rows; picklable, and the same bytes wherever it runs. `work`: see `shards.kept`."""

    work: str
    people: pa.Table
    folders: tuple[Path, ...]
    keypoints: KeypointSet
    settings: Decoding
    batch_size: int
    compute: Compute
    fusion: str = "mean"
    opinions: tuple[Opinion, ...] = ()  # of teachers from outside; they take part in agreement alone

    @property
    def teachers(self) -> list[str]:
        """Who they are: names with the hashes of what they are made of."""
        return [member.identity for member in self.members] + [opinion.identity for opinion in self.opinions]

    @property
    def members(self) -> list[Member]:
        """The networks on the device of this worker; none where all teachers are from outside."""
        if not self.folders and self.opinions:
            return []
        return load_members(self.folders, self.keypoints, pick_device(self.compute.device))

    def __call__(self, rows: tuple[int, int]) -> Path:
        """The file of this shard: `points`, `scores` and `spread` of `FusedPoses`, row by row."""
        people, members = self.people.slice(rows[0], rows[1] - rows[0]), self.members
        code = code_hash(__name__)
        decoding = {name: getattr(self.settings, name) for name in Decoding.model_fields}
        opinions = [opinion.of(*rows) for opinion in self.opinions]
        outside = [[o.identity, o.weight, o.points.tolist(), o.scores.tolist()] for o in opinions]
        settings = [[m.identity for m in members], decoding, self.batch_size, self.compute.precision, code]
        if self.fusion == "mean":
            return kept(self.work, people, settings, lambda: self._find(members, people))
        settings += [self.fusion, outside]
        return kept(self.work, people, settings, lambda: self._agree(members, people, opinions))

    def _find(self, members: Sequence[Member], people: pa.Table) -> dict[str, np.ndarray]:
        points = np.zeros((people.num_rows, len(self.keypoints), 2))
        scores, spread = np.zeros(points.shape[:2]), np.zeros(points.shape[:2])
        for batch in predict_fused(
            members,
            people,
            settings=self.settings,
            keypoints=self.keypoints,
            batch_size=self.batch_size,
            compute=self.compute,
        ):
            points[batch.rows], scores[batch.rows], spread[batch.rows] = batch.points, batch.scores, batch.spread
        return {"points": points, "scores": scores, "spread": spread}

    def _agree(self, members: Sequence[Member], people: pa.Table, opinions: Sequence[Opinion]) -> dict[str, np.ndarray]:
        """Each keypoint from the member that agrees most with the others, see `agreed`."""
        points = np.full((len(members), people.num_rows, len(self.keypoints), 2), np.nan)
        scores = np.zeros(points.shape[:3])
        for predictions in _predictions(members, people, self.settings, self.batch_size, self.compute):
            for i, (member, prediction) in enumerate(zip(members, predictions, strict=True)):
                maps = _merged(member, prediction, self.settings, self.keypoints)
                points[i, prediction.rows], scores[i, prediction.rows] = _decoded(maps, prediction, self.settings)
        points = np.concatenate([points, *(opinion.points[None] for opinion in opinions)])
        scores = np.concatenate([scores, *(opinion.scores[None] for opinion in opinions)])
        weights = np.array([1.0] * len(members) + [opinion.weight for opinion in opinions])
        area = to_numpy(people, "bbox").astype(float)[:, 2:].prod(1)
        point, score = agreed(points, scores, weights, np.asarray(self.keypoints.sigmas or _SIGMA), area)
        known = np.isfinite(points).all(3)
        middle = np.nansum(points, 0) / np.maximum(known.sum(0), 1)[:, :, None]
        away = np.nansum((points - middle) ** 2, 0).sum(2) / np.maximum(known.sum(0), 1)
        return {"points": point, "scores": score, "spread": np.sqrt(away)}

    def read(self, files: Sequence[Path]) -> FusedPoses:
        """The shards' poses as one, in order."""
        empty = np.zeros((0, len(self.keypoints)))
        found = joined(files, points=np.zeros((*empty.shape, 2)), scores=empty, spread=empty)
        return FusedPoses(np.arange(len(found["scores"])), **found)


def predict_fused(
    members: Sequence[Member],
    table: pa.Table,
    *,
    settings: Decoding,
    keypoints: KeypointSet,
    batch_size: int,
    compute: Compute,
) -> Iterator[FusedPoses]:
    """Fused keypoints of every row's box of a table, batch by batch."""
    for predictions in _predictions(members, table, settings, batch_size, compute):
        yield _fuse(members, predictions, settings, keypoints)


def _predictions(
    members: Sequence[Member], table: pa.Table, settings: Decoding, batch_size: int, compute: Compute
) -> Iterator[tuple[Prediction, ...]]:
    """What each member says of the same people, batch by batch."""
    device = pick_device(compute.device)
    streams = [
        predict(
            member.network,
            table,
            padding=member.padding,
            batch_size=batch_size,
            flip=settings.flip,
            compute=compute,
            device=device,
        )
        for member in members
    ]
    yield from zip(*streams, strict=True)


def _fuse(
    members: Sequence[Member], predictions: Sequence[Prediction], settings: Decoding, keypoints: KeypointSet
) -> FusedPoses:
    maps = [_merged(member, each, settings, keypoints) for member, each in zip(members, predictions, strict=True)]
    fused = average_heatmaps(maps)
    largest = max(range(len(maps)), key=lambda i: maps[i].shape[-1])
    points, scores = _decoded(fused, predictions[largest], settings)
    each = np.stack([_decoded(m, p, settings)[0] for m, p in zip(maps, predictions, strict=True)])
    spread = np.sqrt(((each - each.mean(0)) ** 2).sum(3).mean(0))
    return FusedPoses(predictions[0].rows, points, scores, spread)


def _merged(member: Member, prediction: Prediction, settings: Decoding, keypoints: KeypointSet) -> Tensor:
    if prediction.flipped is None:
        return prediction.heatmaps
    aligned = align_flipped(prediction.flipped, keypoints.flip_indices, flip_shift(settings, member.network))
    return (prediction.heatmaps + aligned) / 2


def _decoded(maps: Tensor, prediction: Prediction, settings: Decoding) -> tuple[np.ndarray, np.ndarray]:
    gaussian = GAUSSIAN if settings.gaussian else None
    cells, scores = decode(maps, gaussian=gaussian, refine=settings.refinement)
    size = (int(maps.shape[2]), int(maps.shape[3]))
    points = heatmap_to_image(cells.double().cpu().numpy(), prediction.transforms, prediction.crop, size)
    return points, scores.float().cpu().numpy()
