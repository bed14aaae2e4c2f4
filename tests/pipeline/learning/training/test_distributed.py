"""Which GPU a process has, and how processes speak to each other."""

from __future__ import annotations

import time

import pytest
import torch

from pipeline.learning.training import distributed
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


def meet() -> None:
    """What each of the processes of the test below does."""
    with distributed.process_group(torch.device("cpu")):
        number = distributed.rank()
        assert distributed.from_all(10 * number, "numbers") == [0, 10]
        first, last = distributed.share_of(5)
        shares = distributed.from_all(list(range(first, last)), "shares")
        assert [thing for share in shares for thing in share] == [0, 1, 2, 3, 4]
        assert distributed.of_first(lambda: f"made by {number}", "it") == "made by 0"
        distributed.check_alike({"settings": {"seed": 0}, "code": "a"}, "the check")
        with pytest.raises(
            ValueError, match=r"^process 1 \(.*\) and process 0 \(.*\) do not have the same table 0; give"
        ):
            distributed.check_alike({"settings": {"seed": 0}, "table 0": f"hash {number}"}, "the check")
        norm = torch.nn.BatchNorm1d(3)
        norm.running_mean = mean = torch.full((3,), 1.0 + number)
        distributed.take_buffers(norm)
        assert mean.tolist() == [1.0, 1.0, 1.0]
        if number == 1:
            time.sleep(8)
            return
        distributed.WAIT_SECONDS = 2.0
        with pytest.raises(RuntimeError, match=r"process 0 of 2 has waited up to 2 s for the figures: .*Ranks? 1"):
            distributed.wait_for_all("the figures")


@pytest.mark.slow
def test_processes_share_work_and_say_who_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    distributed.launch(meet, (), 2)
