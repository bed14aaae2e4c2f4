"""How fast annotations become tables, and tables become crops.

    ccm bench data [--json] [--index FILE --images FOLDER] [--parts crops annotations memory]

crops: training samples a second of one core, from the labelled source of params.yaml or from any COCO file, warm cache.
The figures are the process's own CPU time, so that other work on the machine adds less to them. `OpenCV` is the way
of Xiao 2018 and Sun 2019 (imread and warpAffine, every sample decodes its image), for comparison on the same machine.
`hard views` is with every change of pixels that the augmentation knows, and beside it how many times as long that takes
as without, from turns that follow each other.
annotations: a generated annotation file of COCO train2017's size to tables and back, in fresh processes.
memory: workers that iterate over 700k training rows, as many as A, C, H and U have together.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import torch

from pipeline.benchmarks.annotations import Figure, annotation_figures
from pipeline.benchmarks.coco_sized import TRAINING_ROWS, training_table
from pipeline.benchmarks.parsing import bench_parser
from pipeline.learning.data import CropStore, packed, training_batches
from pipeline.records.tables import TableInfo, labelled_people, read_table, table_info, to_numpy, write_table
from pipeline.settings import Augmentation, Source, load_params
from pipeline.sources import read_records
from pipeline.sources.assemble import Tables, assemble
from pipeline.sources.image_files import FileCheck, Found
from pipeline.sources.records import Records
from postproc.coordinates import crop_transforms

PARTS = ("crops", "annotations", "memory")
SIZES = ((256, 192), (384, 288))
PADDING = 1.25
AUGMENTATION = Augmentation(rotation=40.0, scale=0.3, flip=0.5, half_body=0.3, half_body_keypoints=8)
_COLOUR = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 15.0}
_REST = {"blur": 1.5, "noise": 15.0, "jpeg": 70, "cutout": 5, "occlusion": 2}
HARD_VIEWS = AUGMENTATION.model_copy(update=_COLOUR | _REST)
BATCH, ROUNDS, SAMPLES = 32, 7, 320
_ROWS_OF_EPOCH = 40_000  # of the 700k, that the memory of workers is watched over


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures, as a table or as JSON."""
    parser = bench_parser("ccm bench data", __doc__, "ccm bench data --parts crops annotations")
    parser.add_argument("--index", help="a COCO annotation file; without it, the labelled source of params.yaml")
    parser.add_argument("--images", help="its image root")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (default: all)")
    arguments = parser.parse_args(argv)
    if bool(arguments.index) != bool(arguments.images):
        raise ValueError("--index and --images belong together")
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    figures: list[Figure] = []
    if "crops" in arguments.parts:
        figures += crop_figures(people_of(arguments.index, arguments.images))
    if "annotations" in arguments.parts:
        figures += annotation_figures()
    if "memory" in arguments.parts:
        figures += memory_figures()
    if arguments.json:
        print(json.dumps([asdict(figure) for figure in figures], indent=2))
    else:
        for figure in figures:
            print(f"{figure.name:58} {figure.median:9.2f} {figure.unit} (best {figure.best:.2f})")
    return 0


def people_of(index: str | None, images: str | None) -> pa.Table:
    if index is None or images is None:
        params = load_params()
        name = params.data.labelled[0]
        source = params.data.sources[name]
        if not Path(source.index).exists():
            raise ValueError(
                f"data.sources.{name}.index = {source.index!r} is not there (yet); render it with `dvc "
                "repro synthesize`, or name a COCO file and its images with --index and --images"
            )
    else:
        source = Source(format="coco", index=index, images=images, keypoints="coco")
    records = read_records(source)
    sizes = zip(records.images.file_names, records.images.widths, records.images.heights, strict=True)
    found = FileCheck(source.images, decode=False)(list(sizes))
    return labelled_people(_assembled(records, found, source).instances)


def _assembled(records: Records, found: list[Found], source: Source) -> Tables:
    return assemble("bench", source.index, records, found, TableInfo(source.keypoints, {"bench": source.images}))


def crop_figures(people: pa.Table) -> list[Figure]:
    """Training samples a CPU second: OpenCV's way, decoding for every sample, and from the packed store; each of the
    last two without and with hard views."""
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            settings: dict[str, Any] = {"input_size": size, "padding": PADDING, "augmentation": AUGMENTATION}
            store = packed(people, Path(folder), **settings)
            name = f"{size[0]}x{size[1]}"
            plain = {f"{name}, every sample decodes its image": None, f"{name}, packed crop store": store}
            ways: dict[str, Callable[[int], Iterable[int]]] = {f"{name}, OpenCV": partial(_opencv, people, size)}
            for way, source in plain.items():
                ways[way] = partial(_epoch, people, settings, source)
                ways[f"{way}, hard views"] = partial(_epoch, people, {**settings, "augmentation": HARD_VIEWS}, source)
            rates = _rates(ways)
            figures += [
                Figure(way, statistics.median(rate), max(rate), "samples/s/core") for way, rate in rates.items()
            ]
            for way in plain:
                ratios = [without / hard for without, hard in zip(rates[way], rates[f"{way}, hard views"], strict=True)]
                figures.append(Figure(f"{way}, hard views", statistics.median(ratios), min(ratios), "times as long"))
            size_of_store = store.path.stat().st_size / people.num_rows / 1e3
            figures.append(Figure(f"{name}, packed crop store, a person", size_of_store, size_of_store, "kB"))
    return figures


def _rates(ways: dict[str, Callable[[int], Iterable[int]]]) -> dict[str, list[float]]:
    """Samples a CPU second of each way, a figure a round."""
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(ROUNDS + 1):  # in turns, so that a busy moment of the machine hits all of them
        for way, run in ways.items():
            started = time.process_time()
            samples = sum(run(number))
            if number:  # the first warms up
                rates[way].append(samples / (time.process_time() - started))
    return rates


def _epoch(people: pa.Table, settings: dict[str, Any], store: CropStore | None, number: int) -> Iterable[int]:
    for batch in training_batches(
        people, **settings, batch_size=BATCH, seed=0, epoch=number, samples_per_epoch=SAMPLES, store=store
    ):
        yield len(batch.images)


def _opencv(people: pa.Table, size: tuple[int, int], number: int) -> Iterable[int]:
    root = table_info(people).image_roots["bench"]
    names, boxes = people["file_name"].to_pylist(), to_numpy(people, "bbox")
    rows = np.random.default_rng(number).integers(0, people.num_rows, SAMPLES)
    for row, transform in zip(rows, crop_transforms(boxes[rows], size, PADDING), strict=True):
        image = cv2.imread(os.path.join(root, names[row]))
        assert image is not None
        cv2.warpAffine(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), transform, (size[1], size[0]))
        yield 1


def memory_figures() -> list[Figure]:
    """Iterate over 700k rows with two workers; how much the private memory of one grows after its first batches."""
    with tempfile.TemporaryDirectory() as name:
        return _watched(Path(name))


def _watched(folder: Path) -> list[Figure]:
    picture = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    names = [f"{i}.jpg" for i in range(8)]
    for name in names:
        cv2.imwrite(str(folder / name), cv2.GaussianBlur(picture, (0, 0), 3))
    write_table(folder / "training.parquet", training_table(names, str(folder)))
    table = read_table(folder / "training.parquet", "instances")
    batches = training_batches(
        table,
        input_size=(64, 48),
        padding=PADDING,
        augmentation=AUGMENTATION,
        batch_size=256,
        seed=0,
        epoch=0,
        workers=2,
    )
    memory = []
    for number, _ in enumerate(batches):
        if number % 16 == 0:
            memory.append(max(map(_private_megabytes, multiprocessing.active_children())))
        if number * 256 >= _ROWS_OF_EPOCH:
            break
    growth = memory[-1] - memory[len(memory) // 4]
    return [
        Figure(f"{TRAINING_ROWS} rows, private memory of a worker", memory[-1], min(memory), "MB"),
        Figure(f"{TRAINING_ROWS} rows, its growth over the last three quarters", growth, growth, "MB"),
    ]


def _private_megabytes(process: Any) -> float:
    """Memory that a process shares with no other, MB (Linux)."""
    lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1e3


if __name__ == "__main__":
    sys.exit(main())
