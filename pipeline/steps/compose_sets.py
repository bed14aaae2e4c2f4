"""Phi and Theta of a strategy: the concatenation of their letters' tables (Eq 10)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import layout
from pipeline.progress import Progress
from pipeline.records.alignment import read_in
from pipeline.records.artefacts import provenance
from pipeline.records.keypoints import KeypointSet, load_keypoint_set
from pipeline.records.tables import concatenate, read_table, table_from, table_info, to_numpy, write_table
from pipeline.settings import Params, parse_strategy

_DRAW = 0  # the same keypoints whatever a training's seed: what is compared are the annotations, not the draw


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Write the two training sets of strategy `item`.

    A set's bytes depend on its own letters alone, so a strategy is not retrained when a letter that it does not use
    changes.
    """
    assert item is not None
    figures: dict[str, Any] = {}
    for phase, letters in zip(("train", "fine_tune"), parse_strategy(item), strict=True):
        with progress.task(phase):
            paths = {letter: letter_files(params, letter, alone=letters == "A") for letter in letters}
            if phase == "train" and "U" in letters:
                paths = {letter: [filled_in(params, path) for path in files] for letter, files in paths.items()}
            tables = {letter: _rows(params, letter, files) for letter, files in paths.items()}
            made_by = provenance({"letters": letters}, [path for files in paths.values() for path in files])
            write_table(
                layout.training_set(item, phase), concatenate([t for ts in tables.values() for t in ts], made_by)
            )
            for letter, parts in tables.items():
                figures[f"{phase}: rows of {letter}"] = sum(part.num_rows for part in parts)
    return figures


def letter_files(params: Params, letter: str, alone: bool = False) -> list[Path]:
    """The files that make up one of A, C, H, U.

    A alone is transfer learning's first half: the external sets in their own keypoints, for fine-tuning gives the
    network a new head (section 4.3, the common practice that Table 5 compares with).
    """
    if letter == "C":
        return [layout.instances(source) for source in (*params.data.labelled, *params.data.corrected)]
    if letter == "A" and alone:
        return [layout.instances(source) for source in params.align_labels.sources]
    sources: dict[str, Sequence[str]] = {
        "A": params.align_labels.sources,
        "H": params.mine_hard_negatives.sources,
        "U": params.pseudo_label.sources,
    }
    if letter == "U":
        return [layout.labels(params.last_labels, source) for source in sources[letter]]
    return [layout.letter(letter, source) for source in sources[letter]]


def filled_in(params: Params, path: Path) -> Path:
    """A letter's file, or the one with what the teachers have filled in: what they say counts beside U, in Phi."""
    sources = {labelled_source(params, name): name for name in params.pseudo_label.fill_in}
    return layout.filled(sources[path]) if path in sources else path


def labelled_source(params: Params, name: str) -> Path:
    """The file of a source of C or A that trains a keypoint model, by its name."""
    return layout.letter("A", name) if name in params.align_labels.sources else layout.instances(name)


def _rows(params: Params, letter: str, files: Sequence[Path]) -> list[pa.Table]:
    if letter == "C":
        target = load_keypoint_set(params.data.keypoints)
        return [thinned(trained_rows(path, target), params.train_joint.annotations) for path in files]
    return [trained_rows(path) for path in files]


def labelled_rows(params: Params) -> list[pa.Table]:
    """C, a table for each labelled source, in the target's keypoints: others' are mapped by name."""
    target = load_keypoint_set(params.data.keypoints)
    return [trained_rows(path, target) for path in letter_files(params, "C")]


def trained_rows(path: Path, target: KeypointSet | None = None) -> pa.Table:
    """The rows of a table that train a keypoint model: all but crowds and people without a supervised keypoint."""
    table = read_table(path, "instances") if target is None else read_in(path, target)
    rows = table.filter(pa.array(to_numpy(table, "supervised").any(1) & ~to_numpy(table, "iscrowd")))
    if table.num_rows and not rows.num_rows:
        raise ValueError(f"{path}: none of {table.num_rows} people has a labelled keypoint to train on")
    return rows


def held_out(table: pa.Table, share: float) -> np.ndarray:
    """[N] whether the teachers do not see a row of C: a share of the images, by their ids, whatever else C has."""
    drawn = {name: zlib.crc32(name.encode()) / 2**32 < share for name in table["image_id"].unique().to_pylist()}
    return np.array([drawn[name] for name in table["image_id"].to_pylist()], bool)


def thinned(table: pa.Table, annotations: str) -> pa.Table:
    """C with part of its keypoints treated as unlabelled, to see what annotations are worth (section 6.5).

    `without_occluded` drops every occluded keypoint (COCO-I), `without_as_many_visible` as many visible ones at random
    (COCO-V), `all` none. People without a labelled keypoint left are dropped.
    """
    triples = to_numpy(table, "keypoints").reshape(table.num_rows, -1, 3).copy() if table.num_rows else None
    if annotations == "all" or triples is None:
        return table
    occluded = triples[:, :, 2] == 1
    dropped = occluded
    if annotations == "without_as_many_visible":
        visible = np.flatnonzero(triples[:, :, 2] == 2)
        count = min(int(occluded.sum()), len(visible))
        dropped = np.zeros(occluded.size, bool)
        dropped[np.random.default_rng(_DRAW).choice(visible, count, replace=False)] = True
        dropped = dropped.reshape(occluded.shape)
    triples[dropped] = 0
    supervised = to_numpy(table, "supervised").astype(bool) & ~dropped
    columns = {name: table[name] for name in table.column_names}
    weight = to_numpy(table, "weight") * ~dropped
    columns |= {"keypoints": triples.reshape(table.num_rows, -1), "supervised": supervised, "weight": weight}
    thin = table_from("instances", columns, table_info(table))
    return thin.filter(pa.array(supervised.any(1)))
