"""Phi and Theta of a strategy: the concatenation of their letters' tables (Eq 10)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import layout
from pipeline.artefacts import provenance
from pipeline.params import Params, parse_strategy
from pipeline.progress import Progress
from pipeline.tables import concatenate, labelled_people, read_table, write_table


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Write the two training sets of strategy `item`.

    A set's bytes depend on its own letters alone, so a strategy is not retrained when a letter that it does not use
    changes.
    """
    assert item is not None
    figures: dict[str, Any] = {}
    for phase, letters in zip(("train", "fine_tune"), parse_strategy(item), strict=True):
        with progress.task(phase):
            paths = {letter: letter_files(params, letter) for letter in letters}
            tables = {letter: [rows_of(letter, path) for path in files] for letter, files in paths.items()}
            made_by = provenance({"letters": letters}, [path for files in paths.values() for path in files])
            write_table(
                layout.training_set(item, phase), concatenate([t for ts in tables.values() for t in ts], made_by)
            )
            for letter, parts in tables.items():
                figures[f"{phase}: rows of {letter}"] = sum(part.num_rows for part in parts)
    return figures


def letter_files(params: Params, letter: str) -> list[Path]:
    """The files that make up one of A, C, H, U."""
    if letter == "C":
        return [layout.instances(params.data.labelled)]
    sources: dict[str, Sequence[str]] = {
        "A": params.align_labels.sources,
        "H": params.mine_hard_negatives.sources,
        "U": params.pseudo_label.sources,
    }
    return [layout.letter(letter, source) for source in sources[letter]]


def rows_of(letter: str, path: Path) -> pa.Table:
    """A letter's rows that train a keypoint model; of C those are the people with at least one labelled keypoint."""
    table = read_table(path, "instances")
    if letter != "C":
        return table
    people = labelled_people(table)
    if not people.num_rows:
        raise ValueError(f"{path}: no person with a labelled keypoint among {table.num_rows} rows; C would be empty")
    return people
