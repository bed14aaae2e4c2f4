"""Which GPU a process has, and how processes speak to each other."""

from __future__ import annotations

import pytest
import torch

from pipeline.learning.training.distributed import backend, own_device


@pytest.mark.parametrize(
    ("gpus", "expected", "speaks"),
    [(4, ["cuda:0", "cuda:1", "cuda:2", "cuda:3"], "nccl"),
     (2, ["cuda:0", "cuda:1"] * 2, "gloo"), (1, ["cuda:0"] * 4, "gloo")],
)  # fmt: skip
def test_four_processes_share_the_gpus_there_are(
    gpus: int, expected: list[str], speaks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NCCL refuses two processes on one GPU; gloo takes them."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    for number, device in enumerate(expected):
        monkeypatch.setenv("LOCAL_RANK", str(number))
        assert own_device(torch.device("cuda", 0)) == torch.device(device)
    assert backend(torch.device("cuda", 0)) == speaks
    assert own_device(torch.device("cpu")) == torch.device("cpu")
    assert backend(torch.device("cpu")) == "gloo"


def test_a_process_alone_has_the_device_that_was_asked_for() -> None:
    assert own_device(torch.device("cuda", 3)) == torch.device("cuda", 3)
