"""The figures that the paper prints: "Towards High Performance Human Keypoint Detection" (Zhang, Chen and Tao).

A table is a CSV file whose first line is its caption. Gains printed inside Table 3's cells and a row without figures in
Table 2 are left out.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "published"
NUMBERS = sorted(int(path.stem.removeprefix("table")) for path in FOLDER.glob("table*.csv"))
STATS = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")


@dataclass(frozen=True)
class Published:
    """One table: its columns, and its rows of cells as text; `-` or nothing where the paper has no figure."""

    number: int
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def labels(self, row: tuple[str, ...]) -> dict[str, str]:
        """A row by column name."""
        return dict(zip(self.columns, row, strict=True))


@cache
def published(number: int) -> Published:
    """Table `number` of the paper; ValueError when it is not one of 2 to 14."""
    if number not in NUMBERS:
        raise ValueError(f"table {number}: allowed: {NUMBERS[0]} to {NUMBERS[-1]} (Table 1 lists other work)")
    with (FOLDER / f"table{number:02d}.csv").open(newline="") as file:
        caption = file.readline().removeprefix("#").strip()
        columns, *rows = csv.reader(file)
    return Published(number, caption, tuple(columns), tuple(tuple(row) for row in rows))
