"""Parameters and multiply-accumulates of the paper's networks, measured, beside the figures that the paper prints.

ccm complexity [--json]
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import torch

from pipeline.benchmarks.networks import KEYPOINTS, OTHER_NETWORKS, PAPER_NETWORKS, size_of
from pipeline.benchmarks.parsing import bench_parser
from pipeline.report.paper_tables.published import published
from pipeline.report.paper_tables.rows import sized_network

NOTE = (
    "Measured: every parameter of a network; 10^9 multiply-accumulates of one crop, half of the operations that "
    "PyTorch's FlopCounterMode counts, each deconvolution as it is executed. The paper's GFLOPs use another counting, "
    "so the last difference says how far apart the two countings are, not the networks."
)
SECTION_6_2_1 = {"ccm hrnet_w32 256x192, K = 2": (28.58, 8.16), "ccm hrnet_w32 256x192, K = 3": (28.6, 8.4)}
"""The paper's millions of parameters and GFLOPs. For K = 1 it prints 25.56 there and 28.6 in Table 10, a
misprint."""


@dataclass(frozen=True)
class Row:
    """One network: parameters in millions, multiply-accumulates in 10^9; None where nobody printed or built it."""

    network: str
    where: str  # in the paper
    parameters: float | None
    paper_parameters: float | None
    macs: float | None
    paper_gflops: float | None

    @property
    def parameter_difference(self) -> float | None:
        return _difference(self.parameters, self.paper_parameters)

    @property
    def mac_difference(self) -> float | None:
        return _difference(self.macs, self.paper_gflops)


def run() -> Iterator[Row]:
    """Every row of Table 10, other people's networks included but not built; then section 6.2.1's, and ours as run."""
    for cells in published(10).rows:
        labels = published(10).labels(cells)
        paper = float(labels["#Params"].removesuffix("M")), float(labels["GFLOPs"])
        name = sized_network(labels)
        if name is None:
            other = f"{labels['Method'].split(' (')[0]} {labels['Backbone']} {labels['Input']}"
            yield Row(other, "Table 10, not built here", None, paper[0], None, paper[1])
        else:
            yield _measured(name, "Table 10", paper)
    for name in OTHER_NETWORKS:
        yield _measured(name, "section 6.2.1" if name in SECTION_6_2_1 else "-", SECTION_6_2_1.get(name))


def _measured(name: str, where: str, paper: tuple[float, float] | None) -> Row:
    size = size_of({**PAPER_NETWORKS, **OTHER_NETWORKS}[name])
    parameters, gflops = paper or (None, None)
    return Row(name, where, size["parameters"] / 1e6, parameters, size["macs"] / 1e9, gflops)


def _difference(ours: float | None, theirs: float | None) -> float | None:
    return None if ours is None or theirs is None else ours - theirs


def main(argv: Sequence[str] | None = None) -> int:
    parser = bench_parser("ccm complexity", __doc__, "ccm complexity --json")
    if parser.parse_args(argv).json:
        rows = [
            asdict(row) | {"parameter_difference": row.parameter_difference, "mac_difference": row.mac_difference}
            for row in run()
        ]
        print(json.dumps({"keypoints": KEYPOINTS, "torch": torch.__version__, "note": NOTE, "rows": rows}, indent=1))
        return 0
    print(f"{'':53} {'parameters, millions':^26} {'10^9 multiply-accumulates':^26}")
    print(f"{'network':53} " + 2 * f"{'ours':>8} {'paper':>8} {'diff':>8} " + " where")
    for row in run():  # as they are counted: HRNet takes a second or two
        print(line(row), flush=True)
    print(f"\n{KEYPOINTS} keypoints. {NOTE}")
    return 0


def line(row: Row) -> str:
    """A row of the printed table."""
    cells = (
        *(_cell(row.parameters), _cell(row.paper_parameters, "g"), _cell(row.parameter_difference, "+z.2f")),
        *(_cell(row.macs), _cell(row.paper_gflops, "g"), _cell(row.mac_difference, "+z.2f")),
    )
    return f"{row.network:53} {' '.join(cells)}  {row.where}"


def _cell(value: float | None, form: str = ".2f") -> str:
    return f"{'-' if value is None else format(value, form):>8}"


if __name__ == "__main__":
    raise SystemExit(main())
