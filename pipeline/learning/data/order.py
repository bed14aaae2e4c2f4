"""Which row stands at which position of an epoch."""

from __future__ import annotations

import numpy as np


def epoch_rows(rows: int, seed: int, epoch: int, samples: int | None, weights: np.ndarray | None) -> np.ndarray:
    """Row numbers [samples] of an epoch, in the order they are trained on.

    Without weights, epochs follow each other through shuffled passes over all rows, so that short epochs still meet
    every row equally often. With `weights` [rows], each row comes as often as its share of the weight says, rounded
    up or down. ValueError when there are no rows, or the weights do not fit them.
    """
    if rows == 0:
        raise ValueError("the table has no rows to train on")
    count = rows if samples is None else samples
    if weights is None:
        return _passes(rows, seed, epoch * count, count)
    weights = np.asarray(weights, np.float64)
    if weights.shape != (rows,) or not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() <= 0:
        raise ValueError(f"sampling weights: expected {rows} numbers, none below 0, some above, got {weights!r}")
    generator = np.random.default_rng([seed, epoch, 0])
    shuffled = generator.permutation(rows)
    edges = np.cumsum(weights[shuffled])
    marks = (generator.random() + np.arange(count)) * (edges[-1] / count)
    chosen = np.minimum(np.searchsorted(edges, marks, side="right"), rows - 1)
    return generator.permutation(shuffled[chosen])


def _passes(rows: int, seed: int, start: int, count: int) -> np.ndarray:
    """Positions start .. start + count of an endless series of shuffled passes."""
    parts = []
    end = start + count
    while start < end:
        number, offset = divmod(start, rows)
        part = np.random.default_rng([seed, number, 2]).permutation(rows)[offset : offset + end - start]
        parts.append(part)
        start += len(part)
    return np.concatenate(parts)
