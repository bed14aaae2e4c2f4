import os

import numpy as np
import pytest

from pipeline.evaluation.average_precision import summarise
from pipeline.evaluation.bootstrap import image_weights, resampled_stats
from pipeline.evaluation.cores import over_cores
from pipeline.evaluation.matching import match_poses
from tests.pipeline.evaluation.generated import make_poses, make_truth


@pytest.mark.parametrize(("count", "least"), [(0, 1), (1, 1), (7, 2), (1000, 1), (1000, 999)])
@pytest.mark.parametrize("cores", [1, 2, 5])
def test_spans_are_the_range_once_each(monkeypatch, cores, count, least):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    seen = np.zeros(count, int)
    lengths = []

    def work(first, last):
        seen[first:last] += 1
        lengths.append(last - first)

    over_cores(work, count, least)
    assert (seen == 1).all()
    assert len(lengths) == 1 or min(lengths) >= least


def test_what_a_span_raises_is_raised(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})

    def work(first, last):
        if first <= 5 < last:
            raise MemoryError("five")

    with pytest.raises(MemoryError, match="five"):
        over_cores(work, 10)


def test_every_number_of_cores_gives_the_same_bits(monkeypatch):
    truth = make_truth(81, 900, 2000)
    poses = make_poses(82, truth, 6000)
    found = []
    for cores in (1, 2, 7):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)))
        matches = match_poses(truth, poses)
        samples = resampled_stats(matches, image_weights(matches.images, 100))
        found.append((matches.person.tobytes(), matches.skipped.tobytes(), summarise(matches), samples))
    for other in found[1:]:
        assert other[:3] == found[0][:3]
        for name, values in found[0][3].items():
            np.testing.assert_array_equal(other[3][name], values)
