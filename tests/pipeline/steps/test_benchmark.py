import torch

from pipeline import layout
from pipeline.progress import Progress
from pipeline.records.artefacts import read_json
from pipeline.report.paper_tables import compare, workspace_run
from pipeline.steps import benchmark
from tests.pipeline.workspace import STRATEGY, make_workspace

torch.set_num_threads(1)


def test_sizes_and_times_fill_tables_9_and_10(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    figures = benchmark.run(make_workspace(tmp_path), Progress())
    written = read_json(layout.figures("benchmark"))
    assert figures["parameters"] == written["models"][STRATEGY]["parameters"]
    times = compare(9, [workspace_run()])
    assert times.measured == len(times.lines) == 7
    assert all(float(cell.ours) >= 0 for line in times.lines for cell in line.cells)
    sizes = next(
        line
        for line in compare(10, [workspace_run()]).lines
        if line.labels[2:4] == ("Baseline (Xiao et al., 2018)", "ResNet-50")
    )
    assert [cell.ours for cell in sizes.cells[:2]] == ["34.00", "5.43"]
