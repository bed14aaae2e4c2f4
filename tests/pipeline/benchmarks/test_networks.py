import pytest

from pipeline.benchmarks.networks import PAPER_NETWORKS, size_of
from pipeline.paper_tables.published import published


def test_there_is_a_network_for_every_row_of_table_10_that_is_not_other_peoples():
    rows = [row for row in published(10).rows if "Hourglass" not in row[2] and "CPN" not in row[2]]
    assert len(rows) == len(PAPER_NETWORKS) == 14


@pytest.mark.parametrize(
    ("name", "millions", "billions"),
    [
        ("simple_baseline resnet50 256x192", 34.00, 5.43),
        ("ccm resnet50 256x192", 40.67, 23.15),
        ("ccm shufflenet_v2_x1_5 256x192", 9.71, 2.34),
        ("ccm resnet152 384x288", 63.52, 35.61),
    ],
)
def test_networks_are_as_large_as_the_papers(name, millions, billions):
    size = size_of(PAPER_NETWORKS[name])
    assert round(size["parameters"] / 1e6, 2) == millions
    assert round(size["macs"] / 1e9, 2) == billions
