import json

import pytest

from flows.cli import main
from pipeline.benchmarks import complexity, networks


@pytest.fixture
def counted(monkeypatch) -> None:
    """Every network has 40.67 million parameters and 23.15 * 10^9 MACs: what they really have, test_networks asks."""
    monkeypatch.setattr(complexity, "size_of", lambda spec: {"parameters": 40_670_000, "macs": 23_150_000_000})


def test_every_network_stands_beside_the_papers_figures(counted, capsys):
    assert main(["complexity"]) == 0
    lines = capsys.readouterr().out.splitlines()
    networks_shown = lines[2 : lines.index("")]
    assert len(networks_shown) == 16 + len(networks.OTHER_NETWORKS)
    cells = [line.split() for line in networks_shown if line.startswith("ccm resnet50 256x192 ")]
    assert cells == [
        ["ccm", "resnet50", "256x192", "40.67", "40.7", "-0.03", "23.15", "45.4", "-22.25", "Table", "10"],
    ]
    other = next(line for line in networks_shown if line.startswith("Hourglass"))
    assert other.split()[3:] == ["-", "25.1", "-", "-", "14.3", "-", "Table", "10,", "not", "built", "here"]
    assert "paper's GFLOPs use another counting" in lines[-1]


def test_json_has_the_same_rows_as_numbers(counted, capsys):
    assert main(["complexity", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    further = {row["network"]: row for row in rows if row["where"] == "section 6.2.1"}
    assert list(further) == ["ccm hrnet_w32 256x192, K = 2", "ccm hrnet_w32 256x192, K = 3"]
    assert [row["paper_parameters"] for row in further.values()] == [28.58, 28.6]
    first = rows[0]
    assert first["parameter_difference"] == pytest.approx(40.67 - 8.78)
    assert first["mac_difference"] == pytest.approx(23.15 - 4.07)
    unpaired = [row for row in rows if row["where"] == "-"]
    assert len(unpaired) == 3
    assert all(row["paper_gflops"] is None and row["mac_difference"] is None for row in unpaired)


def test_what_it_counts_is_the_network_of_the_row(monkeypatch):
    specs = []
    monkeypatch.setattr(complexity, "size_of", lambda spec: specs.append(spec) or {"parameters": 0, "macs": 0})
    rows = [row for row in complexity.run() if row.macs is not None]
    assert [spec.backbone in row.network for spec, row in zip(specs, rows, strict=True)] == [True] * len(rows)
    assert [len(spec.widths) for spec, row in zip(specs, rows, strict=True) if "K =" in row.network] == [2, 3]
