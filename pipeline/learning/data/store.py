"""A packed store of crops: each row's surroundings, cut out once, in place of decoding whole images every epoch."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import simplejpeg

from pipeline.learning.data.augmentation import HALF_BODY_PADDING, half_body_boxes
from pipeline.learning.data.batches import reader, reduced_transform, reductions_for, warp
from pipeline.learning.data.feed import Feed
from pipeline.learning.data.rows import Rows, by_image, rows_of
from pipeline.progress import Progress
from pipeline.records.artefacts import set_aside, written
from pipeline.records.images import ImageReader, file_of
from pipeline.records.tables import keypoint_set, to_numpy
from pipeline.settings import Augmentation
from postproc.coordinates import crop_transforms

_QUALITY = 90  # of the JPEGs, with halved chroma
_CHUNK = 64  # people packed at a time
_KEPT = 6  # stores in a folder


@dataclass(frozen=True)
class CropStore:
    """The crops of a table's rows: where each lies in the file, and how its pixels map to the image's."""

    path: Path
    offsets: np.ndarray  # [N, 2] int64, start and end in the file
    corners: np.ndarray  # [N, 2], image pixel that the first pixel of the piece begins at
    scales: np.ndarray  # [N, 2], pixels of the piece per image pixel, x and y

    def cut(self, rows: np.ndarray, transforms: np.ndarray, input_size: tuple[int, int]) -> np.ndarray:
        """As `batches.cut`, from the store: crops [B, H, W, 3] of rows [B] by maps [B, 2, 3] from image pixels."""
        # Image x lies at (x + 0.5 - corner) * scale - 0.5 of the piece; here the inverse of that, then the map.
        from_piece = transforms.copy()
        from_piece[:, :, :2] = transforms[:, :, :2] / self.scales[rows][:, None]
        begin = self.corners[rows] - 0.5 + 0.5 / self.scales[rows]
        from_piece[:, :, 2] += (transforms[:, :, :2] @ begin[:, :, None])[:, :, 0]
        reductions = reductions_for(from_piece)
        crops = np.empty((len(rows), *input_size, 3), np.uint8)
        content = _content(self.path)
        for i, row in enumerate(rows):
            piece = content[self.offsets[row, 0] : self.offsets[row, 1]]
            reduction = int(reductions[i])
            image = reader().decode(piece.tobytes(), self.path, reduction, channels=4)
            warp(image, reduced_transform(from_piece[i], reduction), crops[i])
        return crops


_open: dict[Path, np.ndarray] = {}


def _content(path: Path) -> np.ndarray:
    if path not in _open:
        _open[path] = np.memmap(path, np.uint8, "r")
    return _open[path]


def packed(
    table: pa.Table,
    folder: Path,
    *,
    input_size: tuple[int, int],
    padding: float,
    augmentation: Augmentation | None,
    workers: int = 0,
    progress: Progress | None = None,
) -> CropStore:
    """The crop store for training on `table` with these settings, made below `folder` where it is not there yet.

    A piece holds everything that any rotation, scale or half body of the augmentation can show, at no more than the
    finest resolution one of them needs, as JPEG. So samples are those of the images themselves up to the compression.
    A store is named by the hash of what decides it, the image files' sizes and times included, and found again by it;
    of several processes that want it one makes it and the others wait. The `_KEPT` used last stay. ValueError names an
    image that cannot be read.
    """
    rows = rows_of(table)
    regions, scales = _regions(table, input_size, padding, augmentation)
    digest = hashlib.sha256(f"{_QUALITY} {rows.roots}".encode())
    order, edges = by_image(table, _CHUNK)
    parts = (regions, scales, rows.root_of_row, rows.name_offsets, rows.name_bytes, _files(rows, order))
    for part in parts:
        digest.update(np.ascontiguousarray(part).tobytes())
    place = folder / digest.hexdigest()[:20]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_whole(place):
            with written(place) as temporary:
                temporary.mkdir(parents=True)
                packer = _Packer(rows, order, edges, regions, scales)
                _pack(packer, temporary, workers, Progress() if progress is None else progress)
        os.utime(place)
        _prune(folder)
        index = np.load(place / "index.npz")
        _content(place / "crops.bin")  # open from here on, whoever prunes the folder; workers inherit it
    return CropStore(place / "crops.bin", index["offsets"], index["corners"], index["scales"])


def _is_whole(place: Path) -> bool:
    """Whether a store is there, every piece in its file; what is damaged is set aside."""
    if not os.path.lexists(place):
        return False
    try:
        with np.load(place / "index.npz") as index:
            ends = index["offsets"][:, 1]
            if (place / "crops.bin").stat().st_size == ends.max(initial=0) and len(index["scales"]) == len(ends):
                return True
    except Exception:  # damage takes every form
        pass
    set_aside(place)
    return False


def _files(rows: Rows, order: np.ndarray) -> np.ndarray:
    """Size and time of each row's image file, [N, 2]; ValueError names one that is missing."""
    found, path, state = np.empty((len(rows), 2)), "", (0.0, 0.0)
    for row in order.tolist():  # image by image
        if rows.path(row) != path:
            path = rows.path(row)
            try:
                status = os.stat(file_of(path))
            except OSError as error:
                raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
            state = status.st_size, status.st_mtime
        found[row] = state
    return found


def _prune(folder: Path) -> None:
    """Drop the stores that were used longest ago beyond the number kept."""
    stores = sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for old in stores[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def _pack(packer: _Packer, folder: Path, workers: int, progress: Progress) -> None:
    rows, edges = packer.rows, packer.edges
    offsets, corners = np.zeros((len(rows), 2), np.int64), np.zeros((len(rows), 2))
    exact = np.ones((len(rows), 2))
    end = 0
    chunks = Feed(packer, 0, len(edges) - 1, workers)
    with (folder / "crops.bin").open("wb") as file:
        for chunk in progress.track(chunks, total=len(chunks), description="pack crops", unit="chunk"):
            for row, piece, corner, scale in chunk.pieces:
                file.write(piece)
                offsets[row], end = (end, end + len(piece)), end + len(piece)
                corners[row], exact[row] = corner, scale
    np.savez(folder / "index.npz", offsets=offsets, corners=corners, scales=exact)


@dataclass
class _Chunk:
    pieces: list[tuple[int, bytes, tuple[int, int], tuple[float, float]]]
    data_seconds: float = 0.0


@dataclass(frozen=True)
class _Packer:
    rows: Rows
    order: np.ndarray
    edges: np.ndarray
    regions: np.ndarray
    scales: np.ndarray

    def __call__(self, number: int) -> _Chunk:
        pieces, held, image = [], "", np.empty((0, 0, 3), np.uint8)
        images = ImageReader()
        for row in self.order[self.edges[number] : self.edges[number + 1]].tolist():
            path = self.rows.path(row)
            if path != held:
                image, held = images.read(path), path
            pieces.append((row, *_piece(image, self.regions[row], float(self.scales[row]))))
        return _Chunk(pieces)


def _piece(image: np.ndarray, region: np.ndarray, scale: float) -> tuple[bytes, tuple[int, int], tuple[float, float]]:
    """The region's part of an image as JPEG, its corner in the image, and its exact scale."""
    height, width = image.shape[:2]
    left, top = (int(v) for v in np.clip(np.floor(region[:2]), 0, [width - 1, height - 1]))
    right, bottom = (int(v) for v in np.clip(np.ceil(region[2:]) + 1, [left + 1, top + 1], [width, height]))
    part = np.ascontiguousarray(image[top:bottom, left:right])
    size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    exact = size[0] / part.shape[1], size[1] / part.shape[0]
    if scale < 1:
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    else:
        exact = 1.0, 1.0
    return simplejpeg.encode_jpeg(part, _QUALITY, "RGB", "420"), (left, top), exact


def _regions(
    table: pa.Table, input_size: tuple[int, int], padding: float, augmentation: Augmentation | None
) -> tuple[np.ndarray, np.ndarray]:
    """What samples can show of each row, [N, 4] (left, top, right, bottom), and the resolution [N] that it takes."""
    boxes = to_numpy(table, "bbox").astype(np.float64)
    variants = [(boxes, 1.0)]
    if augmentation is not None and augmentation.half_body:
        points = to_numpy(table, "keypoints").reshape(len(boxes), -1, 3)
        halves = half_body_boxes(points, keypoint_set(table), augmentation.half_body_keypoints)
        factor = HALF_BODY_PADDING / padding
        variants += [(np.where(np.isfinite(half).all(1)[:, None], half, boxes), factor) for half in halves]
    bounds, finest = [], []
    stretch = 0.0 if augmentation is None else augmentation.scale
    for variant, factor in variants:
        transforms = crop_transforms(variant, input_size, padding, scale=factor)
        pixels = 1 / np.hypot(transforms[:, 0, 0], transforms[:, 1, 0])  # image pixels per crop pixel
        half = np.array([input_size[1], input_size[0]]) / 2 * pixels[:, None] * (1 + stretch)
        if augmentation is not None and augmentation.rotation:
            half = np.repeat(np.hypot(half[:, :1], half[:, 1:]), 2, axis=1)
        centre = variant[:, :2] + (variant[:, 2:] - 1) / 2
        bounds.append(np.concatenate([centre - half - 1, centre + half + 1], 1))
        finest.append((1 - stretch) * pixels)
    corners = np.concatenate([np.min(bounds, 0)[:, :2], np.max(bounds, 0)[:, 2:]], 1)
    return corners, np.minimum(1.0, 1 / np.min(finest, 0))
