import json
import re
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from model.network import build
from model.spec import ModelSpec
from pipeline.benchmarks import train as bench
from pipeline.benchmarks.networks import PAPER_NETWORKS

TINY = ModelSpec(backbone="mobilenetv3_small_050", backbone_stride=16, input_size=(64, 48), mixers=(16,))


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny network, a few people, a small matrix; and no params.yaml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(bench.PAPER_NETWORKS, "tiny", TINY)
    rendered = bench.rendered_people
    monkeypatch.setattr(bench, "rendered_people", lambda folder: rendered(folder, images=2))


def test_prints_a_row_of_each_network_and_the_conditions(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--models", "tiny", "--device", "cpu", "--batch-size", "2", "--steps", "2", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    conditions, (row,) = printed["conditions"], printed["rows"]
    assert (conditions["batch size"], conditions["precision"], conditions["torch"]) == (2, "float32", torch.__version__)
    assert row["model"] == "tiny"
    assert row["best_step_ms"] <= row["step_ms"]
    assert row["step_samples_per_second"] == pytest.approx(2000 / row["step_ms"])
    assert row["samples_per_second"] == pytest.approx(2000 / (row["step_ms"] + row["data_ms"]))
    achieved = row["gigaflops_per_sample"] * 2000 / row["best_step_ms"]
    assert row["share_of_peak"] == pytest.approx(achieved / conditions["limit, GFLOP/s"], rel=0.02)
    assert 50 < row["peak_memory_mb"] < 50_000


@pytest.mark.slow
def test_the_table_has_the_same_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--models", "tiny", "--device", "cpu", "--batch-size", "2", "--steps", "1"]) == 0
    out = capsys.readouterr().out
    assert "data: augmented crops of rendered people" in out
    assert re.search(r"^tiny +\d+\.\d+ ", out, re.MULTILINE)


def test_operations_are_those_pytorch_counts_where_nothing_is_grouped() -> None:
    spec = PAPER_NETWORKS["simple_baseline resnet50 256x192"]
    with torch.device("meta"):
        network = build(spec, 17).train()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(2, 3, 256, 192))[0].sum().backward()
    of_the_images = 2 * 64 * 3 * 7 * 7 * 128 * 96  # a gradient that nobody asks for
    assert bench.training_operations(spec) == counter.get_total_flops() // 2 + of_the_images


def test_an_unknown_name_lists_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"no 'resnet'; allowed: simple_baseline shufflenet_v2_x1_5 256x192, "):
        bench.main(["--models", "resnet"])
    with pytest.raises(SystemExit):
        bench.main(["--batch-size", "1"])
    assert "whole numbers from 2 on" in capsys.readouterr().err
