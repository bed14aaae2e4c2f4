"""A table's people in shards of whole images: the work that the parallel stages spread over workers.

Shards are idempotent: a shard's file is named by all that decides its content, and written whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from pipeline import layout
from pipeline.learning.devices import one_thread
from pipeline.records.artefacts import set_aside, written
from pipeline.records.images import file_of
from pipeline.records.tables import table_info, to_numpy


def shards_of(people: pa.Table, shard_images: int) -> list[tuple[int, int]]:
    """Row ranges of whole images, `shard_images` of them each; tables are grouped by image."""
    images = np.asarray(people["image_id"].to_pylist())
    starts = np.flatnonzero(np.r_[True, images[1:] != images[:-1]]) if len(images) else np.zeros(0, int)
    firsts = starts[::shard_images].tolist()
    return list(zip(firsts, [*firsts, len(images)][1:], strict=True))


def kept(work: str, people: pa.Table, settings: Sequence[Any], find: Callable[[], Mapping[str, np.ndarray]]) -> Path:
    """The file of what `find` finds of a shard's `people`, taken as it is when an interrupted run has left it.

    `work` names the stage and item. `settings` is, as JSON, what decides the result beside the boxes and the pictures:
    models, params, code. ValueError names an image file that is not there.
    """
    content = [settings, to_numpy(people, "bbox").tolist(), _pictures(people)]
    path = _folder(work) / f"{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:20]}.npz"
    if not is_whole(path):
        with one_thread():
            found = find()
        with written(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **found)  # type: ignore[arg-type]
    return path


def is_whole(path: Path) -> bool:
    """Whether an interrupted run has left a shard's file; one that is damaged is set aside, and said so."""
    if not os.path.lexists(path):
        return False
    try:
        with zipfile.ZipFile(path) as content:
            if content.testzip() is None:
                return True
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, NotImplementedError, zlib.error):
        pass
    tqdm.write(f"{path}: damaged; set aside as {set_aside(path).name}, its shard is computed again", file=sys.stderr)
    return False


def joined(files: Sequence[Path], **nothing: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of the shards' files, in order; `nothing` are the arrays, without a row, of no shard at all."""
    shards = [np.load(path) for path in files]
    return {name: np.concatenate([empty, *(shard[name] for shard in shards)]) for name, empty in nothing.items()}


def forget(work: str) -> None:
    """Remove the shards of finished work: only an interrupted run needs them."""
    shutil.rmtree(_folder(work), ignore_errors=True)


def _folder(work: str) -> Path:
    return layout.STATE / work


def _pictures(people: pa.Table) -> list[tuple[str, int, int]]:
    """The image files as they are on disk now: path, size, time."""
    roots = table_info(people).image_roots
    names = zip(people["source"].to_pylist(), people["file_name"].to_pylist(), strict=True)
    paths = dict.fromkeys(file_of(os.path.join(roots[source], name)) for source, name in names)
    try:
        return [(path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in paths]
    except OSError as error:
        raise ValueError(f"{error.filename}: cannot be read: {error.strerror}") from None
