"""How fast networks train here: samples a second forward and backward, and how near that is to the device's limit.

    ccm bench train [--models NAME ...] [--device cuda] [--batch-size 32] [--precision bfloat16] [--compile] [--json]

A step is what the engine does with a batch: normalisation, targets, forward, loss, backward, Adam. Its batches are
augmented crops of rendered people (480x640), cut while the step waits unless `--workers` cut them ahead. Both times are
wall time, so other work on the machine adds to them; the median and the best of the steps are given. The limit is the
fastest of a product of square matrices and of convolutions as networks have them, in the same precision, timed before
and after each network: on a CPU the two come from different libraries, and the product alone was outrun by up to 30 %.
The share is the best step's, with a backward pass counted as two forward passes. Each network has a process of its own,
so that none inherits another's memory.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import torch
from tqdm import tqdm

from model.losses import total_loss
from model.network import PoseNetwork, build
from model.spec import ModelSpec
from pipeline.benchmarks.data import AUGMENTATION, PADDING, people_of
from pipeline.benchmarks.networks import KEYPOINTS, PAPER_NETWORKS, size_of
from pipeline.benchmarks.parsing import bench_parser
from pipeline.learning.data import Batch, training_batches
from pipeline.learning.devices import autocast, normalise, pick_device, to_train
from pipeline.learning.training.optimisation import make_optimizer
from pipeline.settings import PARAMS_FILE, Compute, Optimizer, Synthesize, load_params
from pipeline.synthesis import write_data_set
from postproc.codec import encode

OWN = "train_joint"  # the network of params.yaml
MODELS = ("ccm shufflenet_v2_x1_5 256x192", "simple_baseline resnet50 256x192", "ccm resnet50 256x192")
SHAPES = ((256, 64, 48, 1), (256, 64, 48, 3), (512, 16, 12, 3), (1024, 16, 12, 1))  # channels, rows, columns, kernel
WARM_UP, SIGMA, AUXILIARY_WEIGHT = 2, 2.0, 0.5
OPTIMIZER = Optimizer(
    name="adam", learning_rate=1e-3, weight_decay=0.0, schedule="step", milestones=[], factor=0.1, warmup_steps=0,
    clip_norm=None,
)  # fmt: skip


Result = TypeVar("Result")


@dataclass(frozen=True)
class Row:
    """One network. Times are milliseconds a batch; `samples_per_second` counts waiting for data as well."""

    model: str
    samples_per_second: float
    step_samples_per_second: float
    data_ms: float
    step_ms: float
    best_step_ms: float
    peak_memory_mb: float  # of the device; on a CPU, resident memory of the network's process
    gigaflops_per_sample: float  # forward and backward
    gigaflops_per_second: float  # achieved in the best step
    limit_gigaflops_per_second: float  # of the device, timed beside it

    def share(self, peak: float) -> float:
        """Of the device's limit, 10^9 operations a second."""
        return self.gigaflops_per_second / peak


def main(argv: Sequence[str] | None = None) -> int:
    """Print conditions and figures, as a table or as JSON."""
    parser = bench_parser("ccm bench train", __doc__, "ccm bench train --models train_joint --batch-size 16")
    parser.add_argument("--models", nargs="+", metavar="NAME", help=f"default: {OWN} and {', '.join(MODELS)}")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:0")
    parser.add_argument("--batch-size", type=_whole(2), help="default: 8 on a CPU, 32 on a GPU")
    precisions = ["float32", "bfloat16", "float16"]
    parser.add_argument("--precision", choices=precisions, default="float32", help="default: float32")
    parser.add_argument("--steps", type=_whole(1), help="timed steps; default: 5 on a CPU, 30 on a GPU")
    parser.add_argument("--workers", type=_whole(0), default=0, help="processes that cut crops ahead")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    arguments = parser.parse_args(argv)
    networks = chosen_networks(arguments.models)
    device = pick_device(arguments.device)
    compute = Compute(
        device=arguments.device,
        precision=arguments.precision,
        processes=1,
        workers=arguments.workers,
        crop_store=False,
        compile=arguments.compile,
    )
    batch_size = arguments.batch_size or (32 if device.type == "cuda" else 8)
    steps = arguments.steps or (30 if device.type == "cuda" else 5)
    about = conditions(compute, device, batch_size)
    with tempfile.TemporaryDirectory() as folder:
        people = rendered_people(Path(folder))
        tracked = tqdm(networks, desc="train", unit="network", disable=arguments.json)
        rows = [
            in_a_process_of_its_own(measure, name, spec, people, batch_size, steps, compute) for name, spec in tracked
        ]
    peak = max(row.limit_gigaflops_per_second for row in rows)
    about["limit, GFLOP/s"] = round(peak, 1)
    if arguments.json:
        shown = [{**asdict(row), "share_of_peak": row.share(peak)} for row in rows]
        print(json.dumps({"conditions": about, "rows": shown}, indent=1))
    else:
        print("\n".join(f"{name}: {value}" for name, value in about.items()))
        print("\n".join(table(rows, peak)))
    return 0


def in_a_process_of_its_own(function: Callable[..., Result], *arguments: Any) -> Result:
    """A function's result, from a new process that imports nothing of this one."""
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def chosen_networks(names: Sequence[str] | None) -> list[tuple[str, ModelSpec]]:
    """Networks by name; without names the usual few, that of params.yaml first where there is one."""
    known = dict(PAPER_NETWORKS)
    if PARAMS_FILE.is_file():
        known[OWN] = ModelSpec.parse({**load_params().train_joint.model.model_dump(), "weights": "none"})
    if names is None:
        names = [name for name in (OWN, *MODELS) if name in known]
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"--models: there is no {unknown[0]!r}; allowed: {', '.join(known)}")
    return [(name, known[name]) for name in names]


def rendered_people(folder: Path, images: int = 16) -> pa.Table:
    """The people of some rendered images of 480x640, as an `instances` table."""
    settings = Synthesize(
        seed=0, train_images=images, val_images=1, external_images=1, unlabeled_images=1, image_size=[480, 640]
    )
    root = folder / "rendered"
    write_data_set(root, settings, lambda items, **_: items, workers=1)
    return people_of(str(root / "coco/annotations/person_keypoints_train2017.json"), str(root / "coco/train2017"))


def measure(name: str, spec: ModelSpec, people: pa.Table, batch_size: int, steps: int, compute: Compute) -> Row:
    """Train a network of the spec for some steps."""
    device = pick_device(compute.device)
    before = limit(compute, device)
    torch.manual_seed(0)
    network = to_train(build(spec, KEYPOINTS), compute, device)
    step = training_step(network, compute, device)
    waits, times = [], []
    batches = _batches(people, spec, batch_size, WARM_UP + steps, compute.workers)
    for number, batch in enumerate(batches):
        _synchronise(device)
        started = time.perf_counter()
        step(batch)
        _synchronise(device)
        if number >= WARM_UP:
            waits.append(batch.data_seconds)
            times.append(time.perf_counter() - started)
    memory = peak_megabytes(device)
    wait, took = statistics.median(waits), statistics.median(times)
    operations = training_operations(spec)
    return Row(
        model=name,
        samples_per_second=batch_size / (wait + took),
        step_samples_per_second=batch_size / took,
        data_ms=1e3 * wait,
        step_ms=1e3 * took,
        best_step_ms=1e3 * min(times),
        peak_memory_mb=memory,
        gigaflops_per_sample=operations / 1e9,
        gigaflops_per_second=operations * batch_size / min(times) / 1e9,
        limit_gigaflops_per_second=max(before, limit(compute, device)) / 1e9,
    )


def _batches(people: pa.Table, spec: ModelSpec, batch_size: int, count: int, workers: int) -> Iterator[Batch]:
    yield from training_batches(
        people,
        input_size=spec.input_size,
        padding=PADDING,
        augmentation=AUGMENTATION,
        batch_size=batch_size,
        seed=0,
        epoch=0,
        samples_per_epoch=batch_size * count,
        workers=workers,
    )


def training_step(network: PoseNetwork, compute: Compute, device: torch.device) -> Callable[[Batch], None]:
    optimizer = make_optimizer(network, OPTIMIZER)
    scaler = torch.amp.GradScaler(device.type, enabled=compute.precision == "float16")
    forward: Callable[..., Any] = torch.compile(network) if compute.compile else network
    height, width = network.heatmap_size
    scale = torch.tensor([width / network.spec.input_size[1], height / network.spec.input_size[0]])

    def step(batch: Batch) -> None:
        images = normalise(batch.images, device, network)
        points, present = (batch.keypoints * scale).to(device), batch.present.to(device)
        target = encode(points, present, (height, width), SIGMA)
        with autocast(compute, device):
            outputs = forward(images)
        loss = total_loss(outputs, target, batch.supervised.to(device), AUXILIARY_WEIGHT, batch.weight.to(device))
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)

    return step


def training_operations(spec: ModelSpec) -> int:
    """Floating-point operations of one sample forward and backward; the backward pass counts as two forward passes.

    It makes a gradient for the inputs of every layer and one for its weights. PyTorch's own counter says the same but
    for the first layer, whose inputs need none, and for grouped convolutions, where it counts backward as if ungrouped.
    """
    return 3 * 2 * size_of(spec)["macs"]


def limit(compute: Compute, device: torch.device) -> float:
    """Operations a second in the precision of training: the fastest of a matrix product and of some convolutions."""
    gpu = device.type == "cuda"
    kind = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[compute.precision]
    side = 8192 if gpu else 2048
    one = torch.ones(side, side, device=device, dtype=kind)
    found = [_rate(lambda: one @ one, 2 * side**3, device)]
    for channels, rows, columns, kernel in SHAPES:
        images = torch.ones(64 if gpu else 4, channels, rows, columns, device=device, dtype=kind)
        images = images.to(memory_format=torch.channels_last)
        weights = torch.ones(channels, channels, kernel, kernel, device=device, dtype=kind)
        weights = weights.to(memory_format=torch.channels_last)
        operations = 2 * images.numel() * channels * kernel**2
        found.append(_rate(partial(torch.conv2d, images, weights, padding=kernel // 2), operations, device))
    return max(found)


@torch.inference_mode()
def _rate(call: Callable[[], Any], operations: int, device: torch.device, repeats: int = 10) -> float:
    times = []
    for _ in range(2 + repeats):
        _synchronise(device)
        started = time.perf_counter()
        call()
        _synchronise(device)
        times.append(time.perf_counter() - started)
    return operations / min(times[2:])


def conditions(compute: Compute, device: torch.device, batch_size: int) -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "precision": compute.precision,
        "compiled": compute.compile,
        "batch size": batch_size,
        "data": f"augmented crops of rendered people, {compute.workers} workers",
    }


def table(rows: Sequence[Row], peak: float) -> list[str]:
    """Lines of text, one a network under a heading."""
    heading = ("samples/s", "step only", "data ms", "step ms", "best ms", "peak MB", "GFLOP", "of peak")
    lines = [f"{'':34} " + " ".join(f"{name:>10}" for name in heading)]
    for row in rows:
        rates = f"{row.samples_per_second:10.2f} {row.step_samples_per_second:10.2f}"
        times = f"{row.data_ms:10.1f} {row.step_ms:10.1f} {row.best_step_ms:10.1f}"
        share = f"{row.gigaflops_per_sample:10.1f} {100 * row.share(peak):8.0f} %"
        lines.append(f"{row.model:34} {rates} {times} {row.peak_memory_mb:10.0f} {share}")
    return lines


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_megabytes(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def _whole(least: int) -> Callable[[str], int]:
    return partial(_whole_from, least)


def _whole_from(least: int, text: str) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: whole numbers from {least} on")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
