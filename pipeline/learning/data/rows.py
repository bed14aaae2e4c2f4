"""A table as plain arrays that worker processes share without copying."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.records.tables import table_info, to_numpy


@dataclass(frozen=True)
class Rows:
    """What the loaders need of N rows.

    File names stay one byte array with offsets: a list of 700k Python strings would be copied into every worker, page
    by page, as reference counts change.
    """

    boxes: np.ndarray  # [N, 4] float32, x, y, w, h in image pixels
    roots: tuple[str, ...]  # image roots
    root_of_row: np.ndarray  # [N] int32
    name_bytes: np.ndarray  # uint8
    name_offsets: np.ndarray  # [N + 1] int32

    def __len__(self) -> int:
        return len(self.boxes)

    def path(self, row: int) -> str:
        """The image file of a row."""
        start, end = self.name_offsets[row : row + 2]
        return f"{self.roots[self.root_of_row[row]]}/{self.name_bytes[start:end].tobytes().decode()}"


def rows_of(table: pa.Table) -> Rows:
    """The boxes and image files of a table's rows; ValueError when a source has no image root in the metadata."""
    roots = table_info(table).image_roots
    source = table["source"].unify_dictionaries().combine_chunks()
    if isinstance(source, pa.ChunkedArray):  # a column without rows stays chunked
        source = pa.array([], source.type)
    names = source.dictionary.to_pylist()
    index = source.indices.to_numpy(zero_copy_only=False).astype(np.int32)
    if missing := [names[i] for i in np.unique(index) if names[i] not in roots]:
        raise ValueError(f"source '{missing[0]}' has no image root in the table's metadata; it names {sorted(roots)}")
    offsets, content = _strings(table["file_name"])
    folders = tuple(roots.get(name, "") for name in names)
    return Rows(to_numpy(table, "bbox"), folders, index, content, offsets)


def by_image(table: pa.Table, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers sorted by their image's first appearance, and the edges of batches that keep images whole."""
    if not table.num_rows:
        return np.zeros(0, np.int64), np.zeros(1, np.int64)
    images = table["image_id"].combine_chunks().dictionary_encode()
    if isinstance(images, pa.ChunkedArray):
        images = images.combine_chunks()
    index = images.indices.to_numpy(zero_copy_only=False)
    order = np.argsort(index, kind="stable")
    edges, end = [0], 0
    for people in np.bincount(index).tolist():
        if end + people - edges[-1] > batch_size and end > edges[-1]:
            edges.append(end)
        end += people
        while end - edges[-1] > batch_size:  # a crowd larger than a batch
            edges.append(edges[-1] + batch_size)
    return order, np.asarray([*edges, end] if end > edges[-1] else edges, np.int64)


def _strings(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    array = pa.array([], pa.string()) if not len(column) else column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0)
    _, offsets, content = array.buffers()
    if offsets is None or not len(array):
        return np.zeros(1, np.int32), np.zeros(0, np.uint8)
    bounds = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
    return bounds, np.frombuffer(content if content is not None else b"", np.uint8)
