"""Running the detector: on a GPU in batches of images of like shape, on a CPU, which gains nothing by it, one by one.

Images are batched where they are padded to the same size, as each alone would be: no box depends on its neighbours, but
for the rounding of a GPU's kernels.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from model.detector import PERSON, PersonDetector, load_detector
from pipeline import layout
from pipeline.learning.data.batches import reader
from pipeline.learning.devices import autocast, one_thread, pick_device
from pipeline.learning.shards import is_whole
from pipeline.records.artefacts import written
from pipeline.records.code import code_hash
from pipeline.records.images import file_of
from pipeline.settings import Compute

Found = tuple[np.ndarray, np.ndarray]  # boxes [n, 4] (x, y, w, h in image pixels) and scores [n], the best first

BATCH, AHEAD = 8, 64  # images at once on a GPU, and among how many are those of like shape found
_PADDED = 32  # torchvision pads images to multiples of so many pixels


def boxes_in(
    detector: PersonDetector, paths: Iterable[str | Path], compute: Compute, device: torch.device
) -> Iterator[Found]:
    """For each image file, people's boxes and scores.

    The detector is in evaluation mode and its thresholds are set. ValueError names an image that cannot be read.
    """
    ahead, batch = (AHEAD, BATCH) if device.type == "cuda" else (1, 1)
    for images in _read_ahead(paths, ahead):
        found: dict[int, Found] = {}
        for numbers in _alike(detector, images, batch):
            found |= zip(numbers, boxes_in_batch(detector, [images[i] for i in numbers], compute, device), strict=True)
        yield from (found[i] for i in range(len(images)))


def boxes_in_pixels(detector: PersonDetector, image: np.ndarray, compute: Compute, device: torch.device) -> Found:
    """The same for one image, [H, W, 3] uint8 RGB."""
    return boxes_in_batch(detector, [image], compute, device)[0]


@torch.inference_mode()
def boxes_in_batch(
    detector: PersonDetector, images: Sequence[np.ndarray], compute: Compute, device: torch.device
) -> list[Found]:
    """The same for images that the detector takes at once; they should be padded to the same size, see `_alike`."""
    pixels = [torch.from_numpy(image).to(device).permute(2, 0, 1).float() / 255 for image in images]
    with autocast(compute, device):
        return [_people(found) for found in detector(pixels)]


def _read_ahead(paths: Iterable[str | Path], count: int) -> Iterator[list[np.ndarray]]:
    """The images, so many at a time; the next are decoded while those are searched."""
    left = iter(paths)
    with ThreadPoolExecutor(min(count, 4), "decode") as pool:
        waiting = [pool.submit(_pixels, path) for path in islice(left, count)]
        while waiting:
            following = [pool.submit(_pixels, path) for path in islice(left, count)]
            yield [image.result() for image in waiting]
            waiting = following


def _pixels(path: str | Path) -> np.ndarray:
    return reader().read(path).copy()  # the reader's buffer is the next image's too


def _alike(detector: PersonDetector, images: Sequence[np.ndarray], count: int) -> Iterator[list[int]]:
    """The numbers of images that are padded to the same size, up to `count` together."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, image in enumerate(images):
        groups.setdefault(_padded_size(detector, image.shape[:2]), []).append(number)
    for numbers in groups.values():
        for first in range(0, len(numbers), count):
            yield numbers[first : first + count]


def _padded_size(detector: PersonDetector, size: Sequence[int]) -> tuple[int, ...]:
    """Rows and columns of an image of `size` as the network gets it: resized as torchvision does, then padded."""
    spec = detector.spec
    smaller, larger = (
        np.float32(spec.min_size) / np.float32(min(size)),
        np.float32(spec.max_size) / np.float32(max(size)),
    )
    scale = float(min(smaller, larger))
    return tuple(-(-int(side * scale) // _PADDED) * _PADDED for side in size)


def _people(found: Mapping[str, torch.Tensor]) -> Found:
    people = found["labels"] == PERSON
    corners = found["boxes"][people].float().cpu().numpy()
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)
    whole = (boxes[:, 2:] > 0).all(1)
    return boxes[whole], found["scores"][people].float().cpu().numpy()[whole]


@dataclass(frozen=True)
class DetectShard:
    """Detect people in a range of files; picklable, and the same bytes wherever it runs.

    `digest` is the hash of the detector's folder: what names the shard's file and the model in a worker's memory.
    """

    folder: Path
    digest: str
    files: tuple[str, ...]
    score_threshold: float
    nms_threshold: float
    compute: Compute

    def __call__(self, rows: tuple[int, int]) -> Path:
        """The shard's file; taken as it is when an earlier, interrupted run has left it whole."""
        files = self.files[rows[0] : rows[1]]
        path = layout.STATE / "detect_people" / f"{self._name(files)}.npz"
        if is_whole(path):
            return path
        device = pick_device(self.compute.device)
        detector = _loaded(self.folder, self.digest, str(device), self.score_threshold, self.nms_threshold)
        with one_thread():
            found = list(boxes_in(detector, files, self.compute, device))
        with written(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                counts=np.asarray([len(scores) for _, scores in found], np.int64),
                boxes=np.concatenate([boxes for boxes, _ in found]),
                scores=np.concatenate([scores for _, scores in found]),
            )
        return path

    def _name(self, files: Sequence[str]) -> str:
        """Of the detector, the settings, the code, and the files as they are on disk now."""
        try:
            states = [(file, os.stat(file_of(file)).st_size, os.stat(file_of(file)).st_mtime_ns) for file in files]
        except OSError as error:
            raise ValueError(f"{error.filename}: cannot be read: {error.strerror}") from None
        content = [
            self.digest,
            self.score_threshold,
            self.nms_threshold,
            self.compute.precision,
            code_hash(__name__),
            states,
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:20]


@lru_cache(maxsize=2)  # threads of a worker share it; nothing changes it after loading
def _loaded(folder: Path, digest: str, device: str, score: float, nms: float) -> PersonDetector:
    detector = load_detector(folder)
    detector.drop_masks()
    detector.set_thresholds(score, nms)
    return detector.to(device=torch.device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]


def read_shards(paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the shards found, in their order: detections per image [images], boxes [N, 4], scores [N]."""
    shards = [np.load(path) for path in paths]
    if not shards:
        return np.zeros(0, np.int64), np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    counts, boxes, scores = (np.concatenate([s[name] for s in shards]) for name in ("counts", "boxes", "scores"))
    return counts, boxes, scores
