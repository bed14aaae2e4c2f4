import json
import math

import pytest
import torch

from pipeline.benchmarks import postproc as bench
from postproc.heatmaps import REFINEMENTS


@pytest.fixture(scope="module")
def rows() -> list[bench.Row]:
    return bench.run(sizes=[(64, 48)], batch=2, repeats=2)


def test_every_technique_and_crowd_has_a_row(rows: list[bench.Row]) -> None:
    names = {row.name for row in rows if row.part == "decode"}
    assert names.issuperset(REFINEMENTS)
    assert {f"flip, shift 0.8, GF, {refine}" for refine in REFINEMENTS} <= names
    assert {row.people for row in rows if row.part == "suppress"} == {5, 20, 100}
    assert all(math.isfinite(row.median_ms) and row.median_ms >= row.min_ms > 0 for row in rows)
    assert all(row.limit_ms for row in rows if row.part == "decode")


def test_paper_rows_are_table_9() -> None:
    # Each of the paper's settings is one that is timed, at the size that its model has.
    for size, name in bench.PAPER:
        assert name in bench.techniques(size)
    assert sorted(bench.PAPER.values()) == [3.81, 4.13, 4.73, 4.99, 7.53, 9.30]


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        bench.run(sizes=[], repeats=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_prints_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, rows: list[bench.Row]) -> None:
    monkeypatch.setattr(bench, "run", lambda device: rows)
    assert bench.main(["--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["conditions"]["torch"] == torch.__version__
    assert [row["name"] for row in printed["rows"]] == [row.name for row in rows]


def test_prints_the_paper_beside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    row = bench.Row("decode", "flip, shift 1, quarter", (64, 48), 32, 0.05, 0.04, 0.01, 3.81)
    monkeypatch.setattr(bench, "run", lambda device: [row])
    assert bench.main([]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.split() == ["64x48", "flip,", "shift", "1,", "quarter", "0.0500", "0.0400", "0.0100", "4.0", "3.81"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for a device that is there")
def test_missing_device_is_said(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        bench.main(["--device", "cuda"])
    assert "torch finds no CUDA device" in capsys.readouterr().err
