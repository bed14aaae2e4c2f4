import pytest

from pipeline.benchmarks.networks import OTHER_NETWORKS, PAPER_NETWORKS, PAPER_SIZES, size_of
from pipeline.report.paper_tables.published import published
from pipeline.report.paper_tables.rows import sized_network

# Millions of parameters and 10^9 MACs, from a prototype that was built and counted apart from this code; the parameters
# are those of the paper's Table 10 and Section 6.2.1, to the digits that it prints.
COUNTED = {
    "simple_baseline shufflenet_v2_x1_5 256x192": (8.78, 1.51),
    "simple_baseline mobilenet_v2 256x192": (9.57, 1.57),
    "simple_baseline resnet50 256x192": (34.00, 5.43),
    "simple_baseline resnext50_32x4d 256x192": (33.47, 5.56),
    "simple_baseline resnet152 384x288": (68.64, 28.57),
    "hrnet hrnet_w32 256x192": (28.54, 7.65),
    "hrnet hrnet_w48 384x288": (63.60, 35.31),
    "ccm shufflenet_v2_x1_5 256x192": (9.71, 2.34),
    "ccm mobilenet_v2 256x192": (10.13, 2.39),
    "ccm resnet50 256x192": (40.67, 23.15),
    "ccm resnet50 256x192, no auxiliary decoder": (33.43, 14.94),
    "ccm resnext50_32x4d 256x192": (40.14, 23.15),
    "ccm resnet152 384x288": (63.52, 35.61),
    "ccm resnet152 384x288, no auxiliary decoder": (61.51, 33.20),
    "ccm hrnet_w32 256x192": (28.56, 7.74),
    "ccm hrnet_w32 256x192, K = 2": (28.58, 7.98),
    "ccm hrnet_w32 256x192, K = 3": (28.60, 8.22),
    "ccm hrnet_w48 384x288": (63.66, 35.79),
}


def test_there_is_a_network_for_every_row_of_table_10_that_is_not_other_peoples():
    table = published(10)
    names = [sized_network(table.labels(row)) for row in table.rows]
    assert [row[2].split()[0] for row, name in zip(table.rows, names, strict=True) if name is None] == [
        "Hourglass",
        "CPN",
    ]
    assert [name for name in names if name] == list(PAPER_NETWORKS)
    assert len(PAPER_NETWORKS) == 14


@pytest.mark.parametrize("name", COUNTED)
def test_networks_are_as_large_as_the_papers(name):
    size = size_of({**PAPER_NETWORKS, **OTHER_NETWORKS}[name])
    assert (round(size["parameters"] / 1e6, 2), round(size["macs"] / 1e9, 2)) == COUNTED[name]
    assert size == PAPER_SIZES.get(name, size)  # what is kept is what is counted


def test_every_network_of_the_paper_has_its_size_kept():
    assert list(PAPER_SIZES) == list(PAPER_NETWORKS)
