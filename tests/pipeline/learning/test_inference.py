"""Inference by several threads on one network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model.network import build
from pipeline.evaluation import sets
from pipeline.learning import ensemble
from pipeline.learning.inference import predict, ready
from pipeline.records.tables import read_table
from pipeline.settings import Compute
from tests.pipeline.workspace import MODEL, STRATEGY, make_workspace

CPU = Compute(device="cpu", precision="float32", processes=1, workers=0, crop_store=False, compile=False)


def memory(network: torch.nn.Module) -> list[tuple[int, bool]]:
    """Where each weight lies, and whether its channels come last."""
    tensors = [*network.parameters(), *network.buffers()]
    last = [t.ndim < 4 or t.is_contiguous(memory_format=torch.channels_last) for t in tensors]
    return list(zip([t.data_ptr() for t in tensors], last, strict=True))


def test_prediction_leaves_a_networks_memory_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads share a network: one that moved its weights would have another read what has been freed."""
    monkeypatch.chdir(tmp_path)
    make_workspace(tmp_path)
    network = build(MODEL, 17).eval()
    before = memory(network)
    people = read_table("data/tables/val/instances.parquet", "instances")
    device = torch.device("cpu")
    list(predict(network, people, padding=1.25, batch_size=4, flip=True, compute=CPU, device=device))
    assert memory(network) == before


def test_what_threads_share_is_ready_when_it_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = make_workspace(tmp_path)
    folder = Path("models/final") / STRATEGY
    loaded = [sets.load_model(params, STRATEGY).network, ensemble.load_member(folder, "x", "cpu").network]
    for network in loaded:
        assert all(last for _, last in memory(network))
        assert not network.training
        before = memory(network)
        assert memory(ready(network, torch.device("cpu"))) == before
