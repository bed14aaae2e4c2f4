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
from pipeline.tables import concatenate, read_table, to_numpy, write_table


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
            tables = {letter: [trained_rows(path) for path in files] for letter, files in paths.items()}
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
        return [layout.instances(params.data.labelled)]
    if letter == "A" and alone:
        return [layout.instances(source) for source in params.align_labels.sources]
    sources: dict[str, Sequence[str]] = {
        "A": params.align_labels.sources,
        "H": params.mine_hard_negatives.sources,
        "U": params.pseudo_label.sources,
    }
    return [layout.letter(letter, source) for source in sources[letter]]


def trained_rows(path: Path) -> pa.Table:
    """The rows of a table that train a keypoint model: all but crowds and people without a supervised keypoint."""
    table = read_table(path, "instances")
    rows = table.filter(pa.array(to_numpy(table, "supervised").any(1) & ~to_numpy(table, "iscrowd")))
    if table.num_rows and not rows.num_rows:
        raise ValueError(f"{path}: none of {table.num_rows} people has a labelled keypoint to train on")
    return rows
