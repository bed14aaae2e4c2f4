"""Renders the built-in data and writes it in the real data sets' formats."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import orjson

from pipeline.synthesis import formats
from pipeline.synthesis.scene import render_scene
from pipeline.synthesis.style import AIC_STYLE, COCO_STYLE, Style

JPEG_QUALITY = 92
LEAST_SIDE = 32
"""Pixels of an image's shorter side: below that nobody is tall enough to recognise."""
_LEAST_SHARE = 48
"""Images that are worth starting one more process for."""


class SynthesisSettings(Protocol):
    """What to render. Counts are images; `image_size` is (height, width) in pixels, at least 32 each."""

    @property
    def seed(self) -> int: ...
    @property
    def train_images(self) -> int: ...
    @property
    def val_images(self) -> int: ...
    @property
    def external_images(self) -> int: ...
    @property
    def unlabeled_images(self) -> int: ...
    @property
    def image_size(self) -> Sequence[int]: ...


class Track(Protocol):
    """Wraps an iterable to show its progress."""

    def __call__(self, items: Iterable[Any], /, *, total: int, description: str, unit: str) -> Iterable[Any]: ...


_STYLES: dict[str, tuple[int, Style]] = {
    "train": (0, COCO_STYLE), "val": (1, COCO_STYLE), "external": (2, AIC_STYLE), "unlabeled": (3, COCO_STYLE),
}  # fmt: skip


def write_data_set(root: Path, settings: SynthesisSettings, track: Track, workers: int | None = None) -> None:
    """Write the whole data set to `root`, which is replaced as one at the end.

    `coco/` holds train2017, val2017 and their annotations, `aic/` AI Challenger's, `unlabeled/` bare images. An image
    depends on (seed, split, index) only: not on how many there are, nor on which of the `workers` processes (by default
    one per core) renders it. Raises ValueError on counts below 1 or images below 32 pixels.
    """
    _check(settings)
    counts = {
        "train": settings.train_images, "val": settings.val_images,
        "external": settings.external_images, "unlabeled": settings.unlabeled_images,
    }  # fmt: skip
    workers = min(workers or os.cpu_count() or 1, sum(counts.values()) // _LEAST_SHARE)
    with _replacing(Path(root)) as folder, _mapping(workers) as mapping:

        def render(split: str, images: Path) -> list[formats.Record]:
            images.mkdir(parents=True)
            height, width = settings.image_size
            task = partial(_render_one, str(images), settings.seed, split, (int(height), int(width)))
            done = mapping(task, range(counts[split]))
            return list(track(done, total=counts[split], description=f"render {split}", unit="images"))

        for split in ("train", "val"):
            records = render(split, folder / f"coco/{split}2017")
            _write_json(folder / f"coco/annotations/person_keypoints_{split}2017.json", formats.coco_file(records))
        external = render("external", folder / "aic/images")
        _write_json(folder / "aic/keypoint_train_annotations.json", external)
        render("unlabeled", folder / "unlabeled")


def _check(settings: SynthesisSettings) -> None:
    for name in ("train_images", "val_images", "external_images", "unlabeled_images"):
        if getattr(settings, name) < 1:
            raise ValueError(f"{name} is {getattr(settings, name)}; at least 1 image is needed")
    if min(settings.image_size) < LEAST_SIDE:
        raise ValueError(f"image_size is {tuple(settings.image_size)}; each side needs {LEAST_SIDE} pixels or more")


@contextmanager
def _mapping(workers: int) -> Iterator[Callable[..., Iterable[formats.Record]]]:
    """`map`, over several processes where that pays. They are spawned: a fork of a process with threads may hang."""
    if workers < 2:
        yield map
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        yield partial(pool.map, chunksize=16)
    finally:  # after a failure nobody waits for what is still queued
        pool.shutdown(cancel_futures=True)


def _render_one(folder: str, seed: int, split: str, image_size: tuple[int, int], index: int) -> formats.Record:
    """Render and write one image; what its annotation file says about it."""
    cv2.setNumThreads(1)
    number, style = _STYLES[split]
    scene = render_scene(np.random.default_rng([seed, number, index]), style, image_size)
    height, width = scene.image.shape[:2]
    if split == "external":
        image_id = formats.aic_image_id(seed, index)
        name, record = f"{image_id}.jpg", formats.aic_record(image_id, scene.people)
    else:
        number = formats.coco_image_id(split, index)
        name, record = formats.coco_file_name(number), formats.coco_record(number, height, width, scene.people)
    done, data = cv2.imencode(".jpg", scene.image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise OSError(f"{name}: OpenCV could not encode the image")
    Path(folder, name).write_bytes(data.tobytes())
    return record


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(content))


@contextmanager
def _replacing(root: Path) -> Iterator[Path]:
    """A new folder beside `root` that takes its place if the block succeeds and vanishes if it fails."""
    partial_root = root.with_name(root.name + ".partial")
    shutil.rmtree(partial_root, ignore_errors=True)
    partial_root.mkdir(parents=True)
    try:
        yield partial_root
    except BaseException:
        shutil.rmtree(partial_root, ignore_errors=True)
        raise
    if root.exists():
        shutil.rmtree(root)
    partial_root.rename(root)
