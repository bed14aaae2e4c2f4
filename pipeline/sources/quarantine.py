"""Bad records are set aside with their reason, and the run goes on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.records.tables import TableInfo, table_from

_SHOWN = 200  # characters of an offending value


def _writable(text: str) -> str:
    """Text with what no file can hold (half a UTF-16 pair, which JSON's escapes allow) replaced by question marks."""
    return text.encode(errors="replace").decode()


class Quarantine:
    """The records of one source that are no use, each with its file, what it is, why, and the offending value."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, str]] = []

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, file: str | Path, record: str, reason: str, value: Any = "") -> None:
        """Set a record aside. `reason` is one of few fixed sentences; what differs stands in `value`."""
        text = value if isinstance(value, str) else repr(value)
        self.rows.append((str(file), _writable(record), reason, _writable(text[:_SHOWN])))

    def reasons(self) -> dict[str, int]:
        """How many records each reason holds, the commonest first."""
        return dict(sorted(Counter(row[2] for row in self.rows).items(), key=lambda item: (-item[1], item[0])))

    def table(self, info: TableInfo) -> pa.Table:
        """The `quarantine` table."""
        columns = zip(*self.rows, strict=True) if self.rows else ([], [], [], [])
        names = ("file", "record", "reason", "value")
        return table_from("quarantine", dict(zip(names, map(list, columns), strict=True)), info)

    def check_share(self, records: int, allowed: float, where: str) -> None:
        """ValueError when more than the `allowed` share of `records` is bad; names the commonest reasons."""
        if len(self) <= allowed * records:
            return
        reasons = "; ".join(f"{count} x {reason}" for reason, count in list(self.reasons().items())[:5])
        file, record, reason, value = self.rows[0]
        raise ValueError(
            f"{where}: {len(self)} of {records} records are bad, more than ingest.max_bad_share = {allowed} allows: "
            f"{reasons}. The first: {file}, {record}: {reason}" + (f" ({value})" if value else "")
        )
