"""Everything that wants a GPU, in one go: its tests, agreement with the CPU, and how fast each part of the product is.

    python -m pipeline.benchmarks.gpu --out gpu.json [--device cuda] [--small]

Each part has a process of its own with a limit in seconds, nine minutes together: one that fails or hangs costs its own
figures alone, and its traceback stands in the JSON, which is written anew after every part. Needs neither Prefect nor
DVC. `--small` takes the smallest sizes, which a CPU manages too: it shows that all parts run, and its figures mean
nothing. Training is the engine's step on augmented crops of rendered people: `samples_per_second` with real loading,
`step_samples_per_second` on batches that are there already; shares are of the fastest product or convolution in bf16.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from model.detector import DetectorSpec, build_detector
from model.network import PoseNetwork, build
from model.spec import ModelSpec
from pipeline.benchmarks import train
from pipeline.benchmarks.networks import KEYPOINTS, PAPER_NETWORKS
from pipeline.detection.detect import boxes_in_batch
from pipeline.learning.devices import pick_device
from pipeline.learning.ensemble import Member, predict_fused
from pipeline.learning.inference import ready
from pipeline.records.artefacts import write_json
from pipeline.records.keypoints import load_keypoint_set
from pipeline.settings import Compute, Decoding
from postproc.codec import decode, encode
from postproc.heatmaps import GAUSSIAN, REFINEMENTS

CCM, HRNET = "ccm resnet50 256x192", "hrnet hrnet_w48 384x288"
PAIRS = [(k, k + 1) for k in range(1, KEYPOINTS - 1, 2)]
GPU_TESTS = ("tests/postproc/test_codec.py", "tests/pipeline/learning/training/test_engine.py")
TINY = ModelSpec(backbone="mobilenetv3_small_050", backbone_stride=16, input_size=(64, 48), mixers=(16,))
TINY_DETECTOR = DetectorSpec(
    backbone="mobilenetv3_small_050", min_size=64, max_size=96, anchor_sizes=(12, 24, 48, 96), fpn_channels=16,
    head_channels=16, proposals=40, sampled_proposals=16,
)  # fmt: skip


@dataclass(frozen=True)
class Sizes:
    """How much of everything there is."""

    networks: dict[str, ModelSpec]
    teachers: tuple[ModelSpec, ...]
    detector: DetectorSpec
    batch: int
    steps: int
    workers: int
    images: int
    image: tuple[int, int]  # rows and columns
    people: int  # of which heatmaps are decoded at once
    repeats: int


FULL = Sizes(
    {name: PAPER_NETWORKS[name] for name in (CCM, HRNET)},
    tuple(PAPER_NETWORKS[name] for name in ("simple_baseline resnet152 384x288", HRNET)),
    DetectorSpec(backbone="resnet50"),
    *(32, 20, 12, 32, (480, 640), 256, 30),
)
SMALL = Sizes({"tiny": TINY}, (TINY, TINY), TINY_DETECTOR, 2, 1, 0, 3, (64, 80), 4, 2)


@dataclass(frozen=True)
class Setting:
    """What a part is told."""

    sizes: Sizes
    device: torch.device

    def compute(self, workers: int = 0, compiled: bool = False) -> Compute:
        precision: Literal["bfloat16", "float32"] = "bfloat16" if self.device.type == "cuda" else "float32"
        return Compute(
            device=str(self.device),
            precision=precision,
            processes=1,
            workers=workers,
            crop_store=False,
            compile=compiled,
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run all parts; 1 when one of them failed."""
    parser = argparse.ArgumentParser(
        "python -m pipeline.benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="the JSON; default: gpu.json")
    parser.add_argument("--device", default="cuda", help="cuda (default), cuda:1, cpu")
    parser.add_argument("--small", action="store_true", help="the smallest sizes, to see that all parts run")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="default: all")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)  # what a part's own process runs
    arguments = parser.parse_args(argv)
    if arguments.part:
        return _here(
            arguments.part, Setting(SMALL if arguments.small else FULL, pick_device(arguments.device)), arguments.out
        )
    device = pick_device(arguments.device)
    report: dict[str, Any] = {"conditions": conditions(device, arguments.small), "parts": {}}
    for name in arguments.parts:
        print(f"{name} ...", flush=True)
        report["parts"][name] = found = _apart(name, arguments.device, arguments.small)
        write_json(arguments.out, report)
        print(json.dumps(found, indent=1), flush=True)
    return int(any("failed" in part for part in report["parts"].values()))


def conditions(device: torch.device, small: bool) -> dict[str, Any]:
    """What the figures depend on."""
    gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if gpu else platform.machine(),
        "cores": os.cpu_count(),
        "load average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "command": "python -m pipeline.benchmarks.gpu" + (" --small" if small else "") + f" --device {device}",
    }


def _apart(name: str, device: str, small: bool) -> dict[str, Any]:
    """A part's figures and seconds, from a process of its own; or how it failed."""
    limit = PARTS[name][1]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "part.json"
        command = [
            sys.executable,
            "-m",
            "pipeline.benchmarks.gpu",
            "--part",
            name,
            "--device",
            device,
            "--out",
            str(out),
        ]
        started = time.monotonic()
        process = subprocess.Popen([*command, *(["--small"] if small else [])], start_new_session=True)
        try:
            process.wait(limit)
            found = json.loads(out.read_text()) if out.is_file() else {"failed": f"ended with {process.returncode}"}
        except subprocess.TimeoutExpired:
            found = {"failed": f"not done after {limit} s"}
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # its loaders too; the session is its own
                process.wait()
    return found | {"seconds": round(time.monotonic() - started, 1)}


def _here(name: str, setting: Setting, out: Path) -> int:
    gpu = setting.device.type == "cuda"
    try:
        found = PARTS[name][0](setting)
    except Exception:
        found = {"failed": traceback.format_exc()}
    if gpu:
        found["peak_memory_mb"] = torch.cuda.max_memory_allocated(setting.device) / 1e6
    write_json(out, found)
    return 0


def gpu_tests(setting: Setting) -> dict[str, Any]:
    """The tests that skip without a GPU; their last lines."""
    root = Path(__file__).parents[2]
    selected = "cuda or gpu"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", selected, *GPU_TESTS]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines() or done.stderr.strip().splitlines()
    if done.returncode:
        return {"failed": "\n".join(lines[-60:])}
    return {"result": lines[-1]}


def decoding(setting: Setting) -> dict[str, Any]:
    """Each refinement here against the compiled one on the CPU, in cells; and what the way to coordinates takes."""
    sizes, device = setting.sizes, setting.device
    random = torch.Generator().manual_seed(0)
    points = torch.rand(sizes.people, KEYPOINTS, 2, generator=random) * torch.tensor([47.0, 63.0])
    maps = encode(points, torch.ones(sizes.people, KEYPOINTS), (64, 48), 2.0)
    maps += 0.01 * torch.randn(maps.shape, generator=random)
    swapped = list(range(KEYPOINTS))
    for left, right in PAIRS:
        swapped[left], swapped[right] = right, left
    flipped = maps[:, swapped].flip(-1).contiguous()
    there, flipped_there = maps.to(device), flipped.to(device)
    found: dict[str, Any] = {"people": sizes.people}
    for refine in REFINEMENTS:
        options: dict[str, Any] = {"flip_pairs": PAIRS, "shift": 0.8, "gaussian": GAUSSIAN, "refine": refine}
        expected, _ = decode(maps, flipped, **options)
        got, _ = decode(there, flipped_there, **options)
        seconds = _seconds(partial(decode, there, flipped_there, **options), sizes.repeats, device)
        found[refine] = {
            "off_by_cells": float((got.cpu() - expected).abs().max()),
            "microseconds_a_person": 1e6 * seconds / sizes.people,
        }
    return found


def training(setting: Setting, name: str, compiled: bool) -> dict[str, Any]:
    """A network's row of `ccm bench train`, in bf16 on a GPU."""
    sizes = setting.sizes
    networks = list(sizes.networks)
    with tempfile.TemporaryDirectory() as folder:
        people = train.rendered_people(Path(folder), images=max(2, sizes.batch // 2))
        chosen = name if name in networks else networks[0]
        compute = setting.compute(sizes.workers, compiled)
        row = train.measure(chosen, sizes.networks[chosen], people, sizes.batch, sizes.steps, compute)
    return {**asdict(row), "share_of_peak": row.share(row.limit_gigaflops_per_second), "batch": sizes.batch}


def detector(setting: Setting) -> dict[str, Any]:
    """The detector's images a second on noise of one size, alone and in batches, and how far the boxes differ."""
    sizes, device, compute = setting.sizes, setting.device, setting.compute()
    torch.manual_seed(0)
    network = build_detector(replace(sizes.detector, masks=False)).eval()
    network = network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    random = np.random.default_rng(0)
    images = [random.integers(0, 255, (*sizes.image, 3), dtype=np.uint8) for _ in range(sizes.images)]
    found: dict[str, Any] = {"image": list(sizes.image), "backbone": sizes.detector.backbone}
    for together in (1, 8, 16):
        batches = [images[i : i + together] for i in range(0, len(images), together)]

        def search(batches: list[list[np.ndarray]] = batches) -> None:
            for batch in batches:
                boxes_in_batch(network, batch, compute, device)

        seconds = _seconds(search, 3, device)
        found[f"images_per_second, {together} at once"] = len(images) / seconds
    return found


def pseudo_labels(setting: Setting) -> dict[str, Any]:
    """People a second that two teachers with flip test label, from image files."""
    sizes, device = setting.sizes, setting.device
    keypoints = load_keypoint_set("coco")
    members = [
        Member(f"teacher {i}", ready(_network(spec), device), keypoints.names, 1.25)
        for i, spec in enumerate(sizes.teachers)
    ]
    settings = Decoding(flip=True, shift="auto", gaussian=True, refinement="parabola")
    compute = setting.compute(sizes.workers)
    with tempfile.TemporaryDirectory() as folder:
        people = train.rendered_people(Path(folder), images=max(2, sizes.images))

        def label() -> int:
            poses = predict_fused(
                members, people, settings=settings, keypoints=keypoints, batch_size=sizes.batch, compute=compute
            )
            return sum(len(part.rows) for part in poses)

        seconds = _seconds(label, 2, device)
    return {"people": people.num_rows, "people_per_second": people.num_rows / seconds}


def _network(spec: ModelSpec) -> PoseNetwork:
    torch.manual_seed(0)
    return build(spec, KEYPOINTS)


def _seconds(call: Callable[[], Any], repeats: int, device: torch.device) -> float:
    """The best of some calls, after one that warms up."""
    times = []
    for _ in range(1 + repeats):
        started = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return min(times[1:])


def _training(name: str, compiled: bool) -> Callable[[Setting], dict[str, Any]]:
    return lambda setting: training(setting, name, compiled)


# The part, and its seconds: 540 together.
PARTS: dict[str, tuple[Callable[[Setting], dict[str, Any]], int]] = {
    "decoding": (decoding, 40),
    "CCM-ResNet-50": (_training(CCM, False), 60),
    "HRNet-w48": (_training(HRNET, False), 60),
    "detector": (detector, 60),
    "pseudo-labels": (pseudo_labels, 70),
    "tests": (gpu_tests, 70),
    "CCM-ResNet-50 compiled": (_training(CCM, True), 80),
    "HRNet-w48 compiled": (_training(HRNET, True), 100),
}


if __name__ == "__main__":
    sys.exit(main())
