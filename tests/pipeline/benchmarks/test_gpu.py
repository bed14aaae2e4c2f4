"""The GPU's script on the CPU, at the smallest sizes: its parts run, and one that fails costs its own figures alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.benchmarks import gpu


def test_parts_run_and_the_json_holds_their_figures(tmp_path: Path) -> None:
    """One in a process of its own, as all are, and the others as that does, in this one."""
    out = tmp_path / "gpu.json"
    arguments = ["--small", "--device", "cpu", "--out", str(out)]
    assert gpu.main([*arguments, "--parts", "decoding"]) == 0
    parts = json.loads(out.read_text())["parts"]
    assert set(parts) == {"decoding"}
    assert parts["decoding"]["parabola"]["off_by_cells"] == 0  # the same code on the same device
    for part, figure in (("detector", "images_per_second, 8 at once"), ("pseudo-labels", "people_per_second")):
        assert gpu.main([*arguments, "--part", part]) == 0
        assert json.loads(out.read_text())[figure] > 0


@pytest.mark.slow
def test_a_part_that_fails_leaves_its_traceback_and_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gpu.PARTS, "detector", (gpu.detector, 0))  # seconds
    out = tmp_path / "gpu.json"
    assert gpu.main(["--small", "--device", "cpu", "--out", str(out), "--parts", "detector", "decoding"]) == 1
    parts = json.loads(out.read_text())["parts"]
    assert parts["detector"]["failed"] == "not done after 0 s"
    assert "failed" not in parts["decoding"]
    monkeypatch.setattr(gpu, "SMALL", None)  # in this process, so that a part cannot know its sizes
    monkeypatch.setitem(gpu.PARTS, "decoding", (gpu.decoding, 0))
    assert gpu.main(["--part", "decoding", "--small", "--device", "cpu", "--out", str(out)]) == 0
    assert "Traceback" in json.loads(out.read_text())["failed"]


def test_all_parts_together_take_nine_minutes_at_most() -> None:
    assert sum(seconds for _, seconds in gpu.PARTS.values()) <= 9 * 60


@pytest.mark.slow
def test_it_needs_neither_prefect_nor_dvc() -> None:
    script = "import sys; sys.modules['prefect'] = sys.modules['dvc'] = None; import pipeline.benchmarks.gpu"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[3])
