"""Optimisers and schedules, after Xiao 2018 and Sun 2019: Adam, the rate times 0.1 at two milestones."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pipeline.settings import Optimizer


def make_optimizer(network: nn.Module, settings: Optimizer) -> torch.optim.Optimizer:
    """The optimiser of the settings over the trainable parameters; biases and norms are not decayed.

    Fused: on a GPU one kernel a step, which also takes the scaler's verdict without asking the host; on a CPU half the
    time, one pass over each tensor in place of a dozen.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.name == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9, fused=True)
    kind = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
    return kind(groups, lr=settings.learning_rate, fused=True)


@torch.no_grad()
def update_average(average: AveragedModel, network: nn.Module) -> None:
    """`average.update_parameters(network)`, which copies its counter to the GPU at every step and so waits for it."""
    if average.n_averaged == 0:
        average.update_parameters(network)
        return
    by_type: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
    for mean, current in zip(_tensors(average.module), _tensors(network), strict=True):
        means, currents = by_type.setdefault(mean.dtype, ([], []))
        means.append(mean)
        currents.append(current)
    assert average.multi_avg_fn is not None  # the trainer's
    for means, currents in by_type.values():
        average.multi_avg_fn(means, currents, average.n_averaged)  # type: ignore[misc]  # it always has one here
    average.n_averaged += 1


def _tensors(network: nn.Module) -> list[Tensor]:
    return list(itertools.chain(network.parameters(), network.buffers()))


def learning_rate(settings: Optimizer, step: int, total: int) -> float:
    """The rate of optimiser step `step` (from 0) of `total`: linear warm-up, then steps at milestones or a cosine."""
    warm = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    if settings.schedule == "cosine":
        return settings.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / total))
    passed = bisect_right(sorted(settings.milestones), step / total)
    return settings.learning_rate * warm * settings.factor**passed
