"""How fast this machine does what params.yaml asks of it, in about a minute: what estimates of a run rest on.

    python -m pipeline.benchmarks.rates > rates.json     # on the machine that will train; for ccm doctor --rates

Of every network that the params train or use: samples a second forward and backward (a batch no larger than fits the
time), and crops or images a second in use; and how many augmented crops a core cuts. Every network is measured in a
process of its own, so that its memory is its own. No Prefect and no DVC is needed.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import torch

from model.detector import DetectorSpec, PersonDetector, build_detector
from model.network import build
from model.spec import ModelSpec
from pipeline.benchmarks.networks import KEYPOINTS
from pipeline.benchmarks.parsing import bench_parser
from pipeline.benchmarks.train import (
    conditions,
    in_a_process_of_its_own,
    peak_megabytes,
    rendered_people,
    training_step,
)
from pipeline.learning.data import Batch, training_batches
from pipeline.learning.devices import autocast, one_thread, pick_device, to_train
from pipeline.progress import Progress
from pipeline.records.artefacts import read_json
from pipeline.settings import Compute, DetectorTraining, KeypointModel, Params, Training, load_params

SECONDS = 4.0  # for each network's training, and half of it for its use
_ROUNDS = 3  # at least, whatever they take
_PEOPLE = 3  # of an image that a detector is trained on


@dataclass(frozen=True)
class NetworkRate:
    """One network on this machine. `training` and `using` are samples (a detector's: images) a second."""

    training: float  # forward, backward and step; without the data
    using: float  # forward alone; on one thread where there is no GPU, as the parallel stages compute
    batch_size: int  # that training was measured with
    megabytes: float  # peak of the process that trained so
    parameters: int


@dataclass(frozen=True)
class Rates:
    """What was measured, and on what."""

    conditions: dict[str, Any]
    networks: dict[str, NetworkRate]  # by name, as `networks_of` gives them
    crops: float  # augmented training crops that a core cuts a second

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as `read_rates` takes them."""
        return asdict(self)


def networks_of(params: Params) -> dict[str, tuple[KeypointModel, Training] | DetectorTraining]:
    """What the params train, by the name that `Rates` has it under."""
    found: dict[str, tuple[KeypointModel, Training] | DetectorTraining] = {
        f"detectors/{name}": training for name, training in params.train_detector.models.items()
    }
    for name, teacher in params.train_teachers.models.items():
        found[f"teachers/{name}"] = (teacher.model, teacher.training or params.train_joint.training)
    found |= {path: (student.model, student.training) for path, student in params.students.items()}
    return found | {"train_joint": (params.train_joint.model, params.train_joint.training)}


def measure_rates(params: Params, progress: Progress) -> Rates:
    """Measure every network of the params, those that are alike once."""
    compute = params.compute
    device = pick_device(compute.device)
    known: dict[str, NetworkRate] = {}
    rates = {}
    for name, what in progress.track(networks_of(params).items(), description="measure", unit="network"):
        key = repr(what)
        if key not in known:
            known[key] = in_a_process_of_its_own(_measure, what, compute)
        rates[name] = known[key]
    model, training = params.train_joint.model, params.train_joint.training
    about = conditions(compute, device, training.batch_size)
    about["threads"] = _threads(compute)
    return Rates(about, rates, in_a_process_of_its_own(crops_a_second, model.input_size, training))


def read_rates(path: Path) -> Rates:
    """Rates measured elsewhere: this module's output, or `ccm doctor --json`. ValueError names what is odd."""
    content = read_json(path)
    content = content.get("rates", content) if isinstance(content, dict) else content
    wanted = {field.name for field in fields(Rates)}
    if not isinstance(content, dict) or set(content) != wanted or not isinstance(content["networks"], dict):
        raise ValueError(f"{path}: no rates; allowed: what python -m {__name__} or ccm doctor --json prints")
    networks = {}
    for name, values in content["networks"].items():
        networks[name] = NetworkRate(**{key: _positive(path, name, key, values) for key in _KEYS})
    return Rates(dict(content["conditions"]), networks, float(_positive(path, "", "crops", content)))


_KEYS = tuple(field.name for field in fields(NetworkRate))


def _positive(path: Path, name: str, key: str, values: Any) -> Any:
    value = values.get(key) if isinstance(values, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e15:
        raise ValueError(f"{path}: {name or 'the file'}: {key} = {value!r}; allowed: a positive number")
    return value


def _measure(what: tuple[KeypointModel, Training] | DetectorTraining, compute: Compute) -> NetworkRate:
    torch.set_num_threads(_threads(compute))
    return _detector_rate(what, compute) if isinstance(what, DetectorTraining) else _keypoint_rate(*what, compute)


def _threads(compute: Compute) -> int:
    """Of one training process: those that train together share the machine's cores."""
    return max(1, (os.cpu_count() or 1) // compute.processes)


def _keypoint_rate(model: KeypointModel, training: Training, compute: Compute) -> NetworkRate:
    device = pick_device(compute.device)
    network = build(ModelSpec.parse({**model.model_dump(), "weights": "none"}), KEYPOINTS)
    network = to_train(network, compute, device)
    step = training_step(network, compute, device)
    with tempfile.TemporaryDirectory() as folder:
        people = rendered_people(Path(folder), images=4)

        def batch_of(size: int) -> Batch:
            (batch,) = training_batches(
                people, input_size=network.spec.input_size, padding=training.padding,
                augmentation=training.augmentation, batch_size=size, seed=0, epoch=0, samples_per_epoch=size,
            )  # fmt: skip
            return batch

        pair = batch_of(2)  # the fewest that batch normalisation of pooled features takes
        count = _fitting(training.batch_size, _seconds_each(lambda: step(pair), 0.0, device) / 2)
        batch = batch_of(count)
        trained = count / _seconds_each(lambda: step(batch), SECONDS, device)
    megabytes = peak_megabytes(device)
    network.eval()
    images = torch.zeros(count, 3, *network.spec.input_size, device=device).to(memory_format=torch.channels_last)

    def forward() -> None:
        with torch.inference_mode(), autocast(compute, device):
            network(images)

    with one_thread():
        used = count / _seconds_each(forward, SECONDS / 2, device)
    return NetworkRate(trained, used, count, megabytes, sum(p.numel() for p in network.parameters()))


def _detector_rate(training: DetectorTraining, compute: Compute) -> NetworkRate:
    device = pick_device(compute.device)
    spec = DetectorSpec(**training.model.model_dump(exclude={"architecture", "weights"}))
    detector: PersonDetector = build_detector(spec).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    count = training.batch_size if device.type == "cuda" else min(training.batch_size, 2)
    height, width = spec.min_size, min(spec.max_size, spec.min_size * 4 // 3)
    images = [torch.rand(3, height, width, device=device) for _ in range(count)]
    target = _target(height, width, spec.masks, device)
    scaler = torch.amp.GradScaler(device.type, enabled=compute.precision == "float16")

    def step() -> None:
        with autocast(compute, device):
            losses = detector(images, [target] * count)
        scaler.scale(sum(losses.values())).backward()
        detector.zero_grad(set_to_none=True)

    detector.train()
    trained = count / _seconds_each(step, SECONDS, device)
    megabytes = peak_megabytes(device)
    detector.eval()
    detector.drop_masks()

    def search() -> None:
        with torch.inference_mode(), autocast(compute, device):
            detector(images[:1])

    with one_thread():
        used = 1 / _seconds_each(search, SECONDS / 2, device)
    return NetworkRate(trained, used, count, megabytes, sum(p.numel() for p in detector.parameters()))


def _target(height: int, width: int, masks: bool, device: torch.device) -> dict[str, torch.Tensor]:
    """People side by side in an image, as torchvision's detectors take them."""
    left = torch.arange(_PEOPLE) * (width / _PEOPLE)
    boxes = torch.stack([left, torch.zeros(_PEOPLE), left + width / _PEOPLE / 2, torch.full((_PEOPLE,), height / 2)], 1)
    target = {"boxes": boxes.to(device), "labels": torch.ones(_PEOPLE, dtype=torch.int64, device=device)}
    if masks:
        target["masks"] = torch.ones(_PEOPLE, height, width, dtype=torch.uint8, device=device)
    return target


def crops_a_second(input_size: Sequence[int], training: Training) -> float:
    """Augmented training crops that one core cuts a second, measured."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    count = 256
    with tempfile.TemporaryDirectory() as folder:
        people = rendered_people(Path(folder), images=8)
        batches = training_batches(
            people, input_size=(input_size[0], input_size[1]), padding=training.padding,
            augmentation=training.augmentation, batch_size=32, seed=0, epoch=0, samples_per_epoch=count,
        )  # fmt: skip
        started = time.perf_counter()
        for _ in batches:
            pass
        return count / (time.perf_counter() - started)


def _fitting(batch_size: int, seconds: float) -> int:
    """The batch that is measured, a sample taking so many seconds: the params' own, or what the time allows of it."""
    return max(2, min(batch_size, int(SECONDS / _ROUNDS / seconds)))


def _seconds_each(call: Callable[[], Any], budget: float, device: torch.device) -> float:
    """Median seconds of a call: one to warm up, then as many as the budget allows, `_ROUNDS` at least."""
    call()
    times: list[float] = []
    while len(times) < _ROUNDS or sum(times) < budget:
        _synchronise(device)
        started = time.perf_counter()
        call()
        _synchronise(device)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print the rates as JSON."""
    bench_parser("python -m pipeline.benchmarks.rates", __doc__, "> rates.json").parse_args(argv)
    print(json.dumps(measure_rates(load_params(), Progress()).as_dict(), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
