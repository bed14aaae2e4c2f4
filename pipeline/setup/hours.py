"""About how long a run will take: the samples that it trains on, at the rate that is measured here."""

from __future__ import annotations

import time

import torch

from model.network import build
from pipeline.settings import KeypointModel, Params, Training
from pipeline.setup.facts import Machine

_TIMED = 2  # steps, after one that warms up
_OTHER = 1.5  # a run is so much longer than its keypoint trainings: validation, detection, evaluation


def hours(params: Params, machine: Machine) -> str:
    """A line for people: samples, rate and hours."""
    runs: list[tuple[KeypointModel, Training]] = [(params.train_joint.model, params.train_joint.training)]
    runs.append((params.train_joint.model, params.fine_tune.training))
    runs *= len(params.strategies)
    teachers = params.train_teachers.models.values()
    runs += [(teacher.model, teacher.training) for teacher in teachers if teacher.training is not None]
    runs += [(student.model, student.training) for student in params.students.values()]
    rates: dict[str, float] = {}
    samples, seconds = 0, 0.0
    for model, training in runs:
        count = training.epochs * (training.samples_per_epoch or 0)
        if not count:
            return "hours: not estimated, for epochs are passes over the whole set; `ccm bench train` measures the rate"
        key = str(model)
        rates.setdefault(key, rate(model, len_of(params), machine))
        samples += count
        seconds += count / rates[key]
    slowest = min(rates.values())
    return (
        f"about {_text(seconds * _OTHER)}: {samples:,} samples of keypoint training at {slowest:.0f} a second "
        "(measured here on random pixels), half as much again for all else"
    )


def len_of(params: Params) -> int:
    """K of the models."""
    from pipeline.records.keypoints import load_keypoint_set

    return len(load_keypoint_set(params.data.keypoints))


def rate(model: KeypointModel, keypoints: int, machine: Machine) -> float:
    """Samples a second of forward and backward passes, measured."""
    device = torch.device("cuda" if machine.gpus else "cpu")
    network = build(model.model_dump() | {"weights": "none"}, keypoints).to(device).train()
    batch = torch.rand(8, 3, *model.input_size, device=device)
    started = 0.0
    for step in range(_TIMED + 1):
        if step == 1:
            _wait(device)
            started = time.monotonic()
        output = network(batch)
        heatmaps = output[0] if isinstance(output, tuple) else output
        heatmaps.square().mean().backward()
    _wait(device)
    return len(batch) * _TIMED / (time.monotonic() - started)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _text(seconds: float) -> str:
    if seconds < 5400:
        return f"{max(1, round(seconds / 60))} minutes"
    return f"{seconds / 3600:.1f} hours"
