"""Every stage but training on tables of the paper's size: seconds and peak memory of each, in a process of its own.

    ccm run --dry [--scale 0.1]
    ccm bench load [--scale 0.1] [--folder FOLDER] [--json]

At scale 1: 240,000 images and 700,000 people, of COCO train's size (118,287 images, 262,465 people) and val's, AI
Challenger's format (56,713 images, 176,531 people) and unlabelled images (60,000, with 250,000 detections). All
content is random; the pictures are links to one JPEG; what the networks would find is drawn around the boxes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from pipeline import layout
from pipeline.benchmarks.parsing import bench_parser

STRATEGY, SIMPLER = "ACHU-CH", "AC-C"
ENSEMBLE = "both"
SIZES = {
    "train": (118_287, 262_465),
    "val": (5_000, 11_004),
    "external": (56_713, 176_531),
    "unlabeled": (60_000, 250_000),
}
STAGES = (
    *(("ingest", source) for source in SIZES),
    ("gather", ""),
    ("align_labels", "external"),
    ("detect_people", "train"),
    ("detect_people", "val"),
    ("detect_people", "unlabeled"),
    ("mine_hard_negatives", "train"),
    ("pseudo_label", "unlabeled"),
    ("compose_sets", SIMPLER),
    ("compose_sets", STRATEGY),
    ("evaluate", SIMPLER),
    ("evaluate", STRATEGY),
    ("evaluate_ensemble", ENSEMBLE),
    ("compare_strategies", ""),
    ("ablate_postprocessing", STRATEGY),
    ("benchmark", ""),
    ("report", ""),
)
LEFT_OUT = {
    **dict.fromkeys(("train_detector", "train_teachers", "train_joint", "fine_tune", "rounds"), "it trains"),
    "synthesize": "it draws the built-in data, for which generated data stand",
    "ask_teachers": "it asks other people's networks",
    "fill_in": "the built-in params do not ask for it",
}
FROM_DATA = ("generate", "pseudo_label", "evaluate", "evaluate_ensemble", "ablate_postprocessing")  # need `load_data`


def main(argv: Sequence[str] | None = None) -> int:
    parser = bench_parser("ccm bench load", __doc__, "ccm bench load --scale 0.1")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the images and people (default 1)")
    parser.add_argument("--folder", type=Path, help="an empty folder to work in and keep; without, a temporary one")
    parser.add_argument("--stage", nargs=2, metavar=("NAME", "ITEM"), help="run this one stage in the current folder")
    arguments = parser.parse_args(argv)
    if arguments.stage:
        name, item = arguments.stage
        _run_stage(name, item, arguments.scale)
        return 0
    with tempfile.TemporaryDirectory(prefix="load-") as temporary:
        rows = run(arguments.folder or Path(temporary), arguments.scale)
        if arguments.json:
            print(json.dumps(list(rows), indent=1))
            return 0
        for line in lines(rows):
            print(line, flush=True)
    return 0


def lines(rows: Iterator[dict[str, Any]]) -> Iterator[str]:
    """The figures of `run` as a table, a line as each stage is done, then the sums and what was left out."""
    about, elapsed, busy, most = next(rows), 0.0, 0.0, 0
    yield (
        f"{about['images']:,} generated images, {about['people']:,} people; {about['cores']} cores, "
        f"load average {about['load average']}"
    )
    yield f"{'stage':34} {'seconds':>9} {'CPU s':>9} {'peak MB':>9}"
    for row in rows:
        if "stage" not in row:
            size = row["report, MB"]
            yield f"together {elapsed:.0f} s, {busy:.0f} CPU s, {most:,} MB at most; the report has {size} MB"
            break
        seconds, cpu, peak = row["seconds"], row["CPU seconds"], row["peak MB"]
        elapsed, busy, most = elapsed + seconds, busy + cpu, max(most, peak)
        yield f"{row['stage']:34} {seconds:9.1f} {cpu:9.1f} {peak:9,}"
    yield from (f"left out: {stage}, for {why}" for stage, why in LEFT_OUT.items())


def run(folder: Path, scale: float) -> Iterator[dict[str, Any]]:
    """Generate the data into `folder`, then run the stages one after another; a row of figures each.

    ValueError when a folder is not empty; RuntimeError with what a stage printed when it fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ValueError(f"{folder}: not empty; the benchmark writes a whole project there")
    images, people = (sum(_scaled(size[i], scale) for size in SIZES.values()) for i in (0, 1))
    yield {"images": images, "people": people, "cores": os.cpu_count(), "load average": round(os.getloadavg()[0], 1)}
    for name, item in (("generate", ""), *STAGES):
        yield {"stage": f"{name} {item}".strip(), **_measured(folder, name, item, scale)}
    yield {"report, MB": _report_size(folder)}


def _report_size(folder: Path) -> float:
    return round((folder / layout.REPORT).stat().st_size / 1e6, 2)


def _measured(folder: Path, name: str, item: str, scale: float) -> dict[str, float]:
    """Elapsed and CPU seconds and the peak memory of a stage's process, as the operating system counted them."""
    command = [sys.executable, "-m", "pipeline.benchmarks.load", "--scale", str(scale), "--stage", name, item]
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    started = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise RuntimeError(f"{name} {item} failed:\n{output.read().decode(errors='replace')[-4000:]}")
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "CPU seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak MB": round(usage.ru_maxrss / 1024),
    }


def _run_stage(name: str, item: str, scale: float) -> None:
    """A stage as `ccm stage` runs it, but for the networks: see `without_networks`."""
    from importlib import import_module

    from pipeline.progress import Silence
    from pipeline.settings import load_params

    if name in FROM_DATA:  # imported by these alone: it brings torch, whose memory is not the other stages'
        from pipeline.benchmarks import load_data

        if name == "generate":
            sizes = {source: (_scaled(i, scale), _scaled(p, scale)) for source, (i, p) in SIZES.items()}
            load_data.generate(sizes, (SIMPLER, STRATEGY), ENSEMBLE)
            return
    stage: Callable[..., Any] = import_module(f"pipeline.steps.{name}").run
    with load_data.without_networks() if name in FROM_DATA else nullcontext():
        stage(load_params(), Silence(), item or None)


def _scaled(count: int, scale: float) -> int:
    return max(int(count * scale), 20)


if __name__ == "__main__":
    sys.exit(main())
