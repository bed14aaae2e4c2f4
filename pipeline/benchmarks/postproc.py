"""Milliseconds a person of post-processing, beside the paper's Table 9 and the limit that memory traffic sets.

    python -m pipeline.benchmarks.postproc [--device cuda] [--json]

Heatmaps are Gaussians of sigma 2 with noise of 0.01, 32 people of 17 keypoints at a time, on one CPU core or on a
device.  Every decoding row includes the way to image pixels.  On a CPU the figures are the process's own CPU time, so
that other work on the machine adds less to them; on a CUDA device they are its time between two events.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from pipeline.benchmarks.parsing import bench_parser
from postproc.codec import decode, encode, encode_numpy
from postproc.coordinates import crop_transforms, exact_flip_shift, heatmap_to_image
from postproc.heatmaps import GAUSSIAN, REFINEMENTS, decode_torch
from postproc.poses import oks_nms, soft_nms

SIZES = ((64, 48), (96, 72), (128, 96))
STRIDES = {(64, 48): 4, (96, 72): 4, (128, 96): 2}
BATCH = 32
KEYPOINTS = 17
PAIRS = [(k, k + 1) for k in range(1, 16, 2)]
SIGMA, NOISE = 2.0, 0.01
PEOPLE = (5, 20, 100)
PAPER = {
    ((64, 48), "flip, shift 1, quarter"): 3.81,
    ((64, 48), "flip, shift 1, parabola"): 4.13,
    ((64, 48), "flip, shift 1, GF, parabola"): 4.73,
    ((64, 48), "flip, shift 0.4, GF, parabola"): 4.99,
    ((128, 96), "flip, shift 1, quarter"): 7.53,
    ((128, 96), "flip, shift 0.4, GF, parabola"): 9.30,
}
"""Table 9, "Map -> Coord": HRNet-w32 at 64 x 48 and CCM at 128 x 96.  All but the quarter rows include Soft-NMS there,
which adds 0.04 ms; the paper names neither the machine nor the number of threads."""


@dataclass(frozen=True)
class Row:
    """One figure: what was timed, and its milliseconds a person (suppression: an image)."""

    part: str  # targets, decode, suppress
    name: str
    size: tuple[int, int] | None  # rows and columns of the heatmaps
    people: int  # in a call
    median_ms: float
    min_ms: float
    limit_ms: float | None = None  # reading the same heatmaps once, and nothing else
    paper_ms: float | None = None


def run(
    device: str = "cpu",
    sizes: Sequence[tuple[int, int]] = SIZES,
    batch: int = BATCH,
    repeats: int = 50,
) -> list[Row]:
    """Time targets, decoding by every technique and combination, and suppression of duplicate poses.

    Args:
        device: `cpu` (one core) or a CUDA device; suppression and compiled targets run on the CPU only.
        sizes: rows and columns of the heatmaps.
        batch: people in a call.
        repeats: calls timed for each row, after calls that warm up.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = [row for size in sizes for row in _heatmap_rows(torch.device(device), size, batch, repeats)]
        return rows + (_suppression_rows(repeats) if device == "cpu" else [])
    finally:
        torch.set_num_threads(threads)


def conditions(device: str) -> dict[str, Any]:
    """What the figures depend on."""
    model = next((line for line in _cpu_info() if line.startswith("model name")), platform.processor())
    return {
        "device": torch.cuda.get_device_name(device) if device != "cpu" else "cpu",
        "cpu": model.split(":")[-1].strip(),
        "cores used": 1,
        "load average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numba": numba.__version__,
        "numpy": np.__version__,
        "clock": "CPU time of the process" if device == "cpu" else "CUDA events",
        "heatmaps": f"{BATCH} people x {KEYPOINTS}, sigma {SIGMA:g} cells, noise {NOISE:g}",
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = bench_parser("ccm bench postproc", __doc__, "ccm bench postproc --device cuda")
    parser.add_argument("--device", default="cpu", help="cpu (default) or a CUDA device")
    arguments = parser.parse_args(argv)
    if arguments.device != "cpu" and not torch.cuda.is_available():
        parser.error(f"--device {arguments.device}: torch finds no CUDA device")
    surroundings, rows = conditions(arguments.device), run(arguments.device)
    if arguments.json:
        print(json.dumps({"conditions": surroundings, "rows": [asdict(row) for row in rows]}, indent=1))
    else:
        print("\n".join(f"{name}: {value}" for name, value in surroundings.items()))
        print("\n".join(table(rows)))
    return 0


def table(rows: Sequence[Row]) -> list[str]:
    """Lines of text, one a row under a heading."""
    lines = [f"{'':8} {'':42} {'median ms':>10} {'min ms':>10} {'limit ms':>10} {'min/limit':>10} {'paper ms':>10}"]
    for row in rows:
        size = "x".join(map(str, row.size)) if row.size else f"{row.people} poses"
        times = f"{row.median_ms:10.4f} {row.min_ms:10.4f}"
        limit = f"{row.limit_ms:10.4f} {row.min_ms / row.limit_ms:10.1f}" if row.limit_ms else " " * 21
        paper = f" {row.paper_ms:10.2f}" if row.paper_ms else ""
        lines.append(f"{size:9} {row.name:42} {times} {limit}{paper}".rstrip())
    return lines


def techniques(size: tuple[int, int]) -> dict[str, dict[str, Any]]:
    """Arguments of `decode` by name: each refinement alone, then the filter, the flip test and combinations."""
    rows: dict[str, dict[str, Any]] = {refine: {"gaussian": None, "refine": refine} for refine in REFINEMENTS}
    rows["GF, parabola"] = {"gaussian": GAUSSIAN, "refine": "parabola"}
    exact = exact_flip_shift(STRIDES.get(size, 4))
    for shift, gaussian, refine in (
        (0.0, None, "none"),
        (1.0, None, "quarter"),
        (1.0, None, "parabola"),
        (1.0, GAUSSIAN, "parabola"),
        (0.4, GAUSSIAN, "parabola"),
        *((0.8, GAUSSIAN, refine) for refine in REFINEMENTS),
        (exact, GAUSSIAN, "dark"),
    ):
        name = f"flip, shift {shift:g}, {'GF, ' if gaussian else ''}{refine}"
        rows[name] = {"flip_pairs": PAIRS, "shift": shift, "gaussian": gaussian, "refine": refine}
    return rows


def _heatmap_rows(device: torch.device, size: tuple[int, int], batch: int, repeats: int) -> list[Row]:
    maps, flipped, points, *noise = _heatmaps(device, size, batch)
    crop = (size[0] * STRIDES.get(size, 4), size[1] * STRIDES.get(size, 4))
    boxes = np.tile([100.0, 50.0, 150.0, 200.0], (batch, 1))
    transforms = torch.from_numpy(crop_transforms(boxes, crop)).to(device)
    clock = partial(_milliseconds, device, repeats, batch)
    one = clock(lambda: torch.dot(maps.view(-1), maps.view(-1)))[1]
    both = clock(lambda: torch.dot(maps.view(-1), flipped.view(-1)))[1]

    def to_image(decoder: Callable[..., Any], options: dict[str, Any], pair: Sequence[Tensor]) -> Tensor:
        coordinates, _ = decoder(*pair[: 2 if "shift" in options else 1], **options)
        return heatmap_to_image(coordinates, transforms, crop, size)

    visible = torch.ones(batch, KEYPOINTS, device=device)
    rows = [Row("targets", "targets", size, batch, *clock(lambda: encode(points, visible, size, SIGMA)))]
    if device.type == "cpu":
        arrays = points.numpy(), visible.numpy()
        times = clock(lambda: encode_numpy(*arrays, size, SIGMA))
        rows.append(Row("targets", "targets, compiled", size, batch, *times))
    for name, options in techniques(size).items():
        limit = both if "shift" in options else one
        for way, call in _ways(device, partial(to_image, options=options, pair=(maps, flipped))):
            paper = PAPER.get((size, name)) if way == "" else None
            rows.append(Row("decode", name + way, size, batch, *clock(call), limit, paper))
    if device.type == "cpu":
        everything = techniques(size)["flip, shift 0.8, GF, parabola"]
        times = clock(lambda: to_image(decode, everything, noise))
        rows.append(Row("decode", "the same on noise alone (worst case)", size, batch, *times, both))
    return rows


def _ways(device: torch.device, call: Callable[..., Any]) -> list[tuple[str, Callable[[], Any]]]:
    """How a row is run: as it comes, and on a CUDA device also replayed from a graph, plain and compiled."""
    plain = partial(call, decode)
    if device.type == "cpu":
        return [("", plain)]
    ways: list[tuple[str, Callable[[], Any]]] = [("", plain)]
    for way, decoder in ((", graph", decode_torch), (", fused graph", torch.compile(decode_torch, fullgraph=True))):
        for _ in range(3):
            call(decoder)
        torch.cuda.synchronize(device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call(decoder)
        ways.append((way, graph.replay))
    return ways


def _heatmaps(device: torch.device, size: tuple[int, int], batch: int) -> list[Tensor]:
    """Heatmaps, those of the mirrored crops, the keypoints behind them, and two sets of nothing but noise."""
    random = torch.Generator().manual_seed(0)
    points = torch.rand(batch, KEYPOINTS, 2, generator=random) * torch.tensor([size[1] - 1.0, size[0] - 1.0])
    maps = encode(points, torch.ones(batch, KEYPOINTS), size, SIGMA)
    swapped = maps.clone()
    for left, right in PAIRS:
        swapped[:, left], swapped[:, right] = maps[:, right], maps[:, left]
    first, second = (NOISE * torch.randn(maps.shape, generator=random) for _ in range(2))
    made = (maps + first, swapped.flip(-1) + second, points, first, second)
    return [tensor.contiguous().to(device) for tensor in made]


def _suppression_rows(repeats: int) -> list[Row]:
    """OKS-NMS and Soft-NMS on one image: a third of its poses are duplicates, or all people are apart."""
    rows = []
    sigmas = np.full(KEYPOINTS, 0.07)
    for people in PEOPLE:
        random = np.random.default_rng(people)
        apart = random.uniform(0, 1000, (people, 1, 2)) + random.uniform(0, 150, (people, KEYPOINTS, 2))
        crowd = apart[np.arange(people) % (people - people // 3)] + random.normal(size=apart.shape)
        scores, areas = random.uniform(0.1, 1, people), random.uniform(5000, 20000, people)
        for poses, kind in ((crowd, "a third duplicates"), (apart, "all apart")):
            for suppress, name in ((oks_nms, "OKS-NMS"), (soft_nms, "Soft-NMS")):
                call = partial(suppress, poses, scores, areas, sigmas)
                times = _milliseconds(torch.device("cpu"), repeats, 1, call)
                rows.append(Row("suppress", f"{name} an image, {kind}", None, people, *times))
    return rows


def _milliseconds(device: torch.device, repeats: int, people: int, call: Callable[[], Any]) -> tuple[float, float]:
    """Median and minimum of many calls, in milliseconds a person."""
    for _ in range(3):
        call()
    if device.type == "cpu":
        times = []
        for _ in range(repeats):
            start = time.process_time_ns()
            call()
            times.append((time.process_time_ns() - start) / 1e6)
    else:
        times = [_between_events(call) for _ in range(repeats)]
    return statistics.median(times) / people, min(times) / people


def _between_events(call: Callable[[], Any]) -> float:
    start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    call()
    stop.record()
    stop.synchronize()
    return start.elapsed_time(stop)


def _cpu_info() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


if __name__ == "__main__":
    raise SystemExit(main())
