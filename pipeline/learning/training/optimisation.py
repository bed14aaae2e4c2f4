"""Optimisers and schedules, after Xiao 2018 and Sun 2019: Adam, the rate times 0.1 at two milestones."""

from __future__ import annotations

import math
from bisect import bisect_right

import torch
from torch import nn

from pipeline.settings import Optimizer


def make_optimizer(network: nn.Module, settings: Optimizer) -> torch.optim.Optimizer:
    """The optimiser of the settings over the trainable parameters; biases and norms are not decayed."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if settings.name == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9)
    kind = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
    return kind(groups, lr=settings.learning_rate)


def learning_rate(settings: Optimizer, step: int, total: int) -> float:
    """The rate of optimiser step `step` (from 0) of `total`: linear warm-up, then steps at milestones or a cosine."""
    warm = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
    if settings.schedule == "cosine":
        return settings.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / total))
    passed = bisect_right(sorted(settings.milestones), step / total)
    return settings.learning_rate * warm * settings.factor**passed
