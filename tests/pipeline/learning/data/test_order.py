from __future__ import annotations

import numpy as np
import pytest

from pipeline.learning.data.order import epoch_rows


def test_short_epochs_meet_every_row_equally_often():
    rows = np.concatenate([epoch_rows(10, 0, epoch, 4, None) for epoch in range(5)])
    assert np.bincount(rows, minlength=10).tolist() == [2] * 10
    assert rows[:10].tolist() != sorted(rows[:10].tolist())


def test_an_epoch_may_be_longer_than_the_table():
    assert np.bincount(epoch_rows(3, 0, 0, 9, None)).tolist() == [3, 3, 3]


def test_weights_decide_how_often_a_row_comes():
    weights = np.array([1.0, 1.0, 2.0, 4.0, 0.0])
    counts = np.bincount(epoch_rows(5, 0, 0, 80, weights), minlength=5)
    assert counts.tolist() == [10, 10, 20, 40, 0]
    fractional = np.bincount(epoch_rows(5, 0, 0, 81, weights), minlength=5)
    assert (np.abs(fractional - weights / 8 * 81) < 1).all()


def test_weighted_epochs_are_shuffled_and_differ():
    weights = np.ones(50)
    one, two = (epoch_rows(50, 0, epoch, None, weights) for epoch in (0, 1))
    assert sorted(one) == list(range(50))
    assert one.tolist() != two.tolist()
    assert one.tolist() == epoch_rows(50, 0, 0, None, weights).tolist()


@pytest.mark.parametrize("weights", [[1.0, 2.0], [1.0, -1.0, 1.0], [0.0, 0.0, 0.0], [1.0, np.nan, 1.0]])
def test_wrong_weights(weights: list[float]):
    with pytest.raises(ValueError, match="sampling weights"):
        epoch_rows(3, 0, 0, None, np.array(weights))


def test_no_rows():
    with pytest.raises(ValueError, match="no rows"):
        epoch_rows(0, 0, 0, None, None)
