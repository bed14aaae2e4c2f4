from __future__ import annotations

import math

import pytest
import torch

from pipeline.learning.training.optimisation import learning_rate, make_optimizer
from pipeline.settings import Optimizer


def settings(**changes: object) -> Optimizer:
    values = {
        "name": "adam",
        "learning_rate": 0.001,
        "weight_decay": 0.01,
        "schedule": "step",
        "milestones": [90 / 140, 120 / 140],
        "factor": 0.1,
        "warmup_steps": 0,
        "clip_norm": None,
    }
    return Optimizer.model_validate(values | changes)


def test_simple_baselines_schedule() -> None:
    """Xiao 2018: 140 epochs, the rate times 0.1 at 90 and 120."""
    rates = {epoch: learning_rate(settings(), epoch * 100, 14_000) for epoch in (0, 89, 90, 119, 120, 139)}
    expected = {0: 1e-3, 89: 1e-3, 90: 1e-4, 119: 1e-4, 120: 1e-5, 139: 1e-5}
    assert rates == pytest.approx(expected)


def test_cosine_and_warm_up() -> None:
    chosen = settings(schedule="cosine", warmup_steps=10)
    assert learning_rate(chosen, 0, 100) == pytest.approx(0.0001)
    assert learning_rate(chosen, 50, 100) == pytest.approx(0.0005)
    assert learning_rate(chosen, 75, 100) == pytest.approx(0.0005 * (1 + math.cos(0.75 * math.pi)))


def test_norms_and_biases_are_not_decayed() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    decayed, kept = make_optimizer(network, settings()).param_groups
    assert [p.ndim for p in decayed["params"]] == [4]
    assert decayed["weight_decay"] == 0.01
    assert [p.ndim for p in kept["params"]] == [1, 1, 1]
    assert kept["weight_decay"] == 0.0


def test_adamw_decays_beside_the_gradient() -> None:
    """Without a gradient AdamW shrinks a weight by rate times decay, and Adam's decay is part of the gradient."""
    moved = {}
    for name in ("adamw", "adam"):
        network = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(network.weight, 2.0)
        optimizer = make_optimizer(network, settings(name=name))
        network.weight.grad = torch.zeros(1, 1)
        optimizer.step()
        moved[name] = network.weight.item()
    assert moved["adamw"] == pytest.approx(2.0 * (1 - 0.001 * 0.01))
    assert moved["adam"] == pytest.approx(2.0 - 0.001, abs=1e-6)  # Adam's first step is as long as the rate
