"""Reading an annotation file of COCO train2017's size: seconds and peak memory, each part in a process of its own.

    python -m pipeline.benchmarks.annotations

It imports no torch, as the stage that reads annotations does not, so the peak is that of the reading.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pipeline.benchmarks.coco_sized import write_annotations
from pipeline.records.tables import TableInfo, read_table, write_table
from pipeline.settings import Source
from pipeline.sources import read_records
from pipeline.sources.assemble import assemble
from pipeline.sources.image_files import Found

_RUNS = 3
_PARTS = {"to_tables": "annotations to tables", "reload": "instances table reloaded"}


@dataclass(frozen=True)
class Figure:
    """One figure of this machine."""

    name: str
    median: float
    best: float
    unit: str


def annotation_figures() -> list[Figure]:
    """Elapsed and CPU seconds and peak memory of reading the file into tables, and of reading the table again."""
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index.json"
        write_annotations(index)
        megabytes = index.stat().st_size / 1e6
        figures = [Figure("annotation file", megabytes, megabytes, "MB")]
        for part, title in _PARTS.items():
            command = [sys.executable, "-m", "pipeline.benchmarks.annotations", part, folder]
            runs = [
                json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
                for _ in range(_RUNS)
            ]
            for i, (what, unit) in enumerate([("elapsed", "s"), ("CPU", "s"), ("peak memory", "MB")]):
                values = [run[i] for run in runs]
                figures.append(Figure(f"{title}, {what}", statistics.median(values), min(values), unit))
    return figures


def to_tables(folder: Path) -> None:
    """The annotation file to the tables that ingest writes. There are no pictures behind it to look at."""
    source = Source(format="coco", index=str(folder / "index.json"), images=str(folder), keypoints="coco")
    records = read_records(source)
    sizes = zip(records.images.widths, records.images.heights, strict=True)
    found = [Found(width, height, 1, "0" * 40) for width, height in sizes]
    info = TableInfo(source.keypoints, {"bench": source.images})
    tables = assemble("bench", source.index, records, found, info)
    for name in ("images", "manifest", "instances", "masks", "quarantine"):
        write_table(folder / f"{name}.parquet", getattr(tables, name))


def reload(folder: Path) -> None:
    """The `instances` table, read and checked."""
    read_table(folder / "instances.parquet", "instances")


def main(argv: list[str]) -> int:
    """All figures; or with a part and a folder, that part alone in this process, as a list of numbers."""
    if not argv:
        for figure in annotation_figures():
            print(f"{figure.name:58} {figure.median:9.2f} {figure.unit} (best {figure.best:.2f})")
        return 0
    started, used = time.perf_counter(), time.process_time()
    {"to_tables": to_tables, "reload": reload}[argv[0]](Path(argv[1]))
    seconds = time.perf_counter() - started, time.process_time() - used
    print(json.dumps([*seconds, _peak_megabytes()]))
    return 0


def _peak_megabytes() -> float:
    """Peak memory of this program (Linux); the module `resource` counts that of the process it came from as well."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1e3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
