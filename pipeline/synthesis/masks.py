"""Pixel masks in COCO's two notations: polygons along pixel edges, and run lengths."""

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def bounding_box(mask: Mask) -> tuple[int, int, int, int]:
    """x, y, width, height of the pixels that are set, in image pixels. The mask must not be empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x, y = int(columns[0]), int(rows[0])
    return x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y


def run_lengths(mask: Mask) -> dict[str, list[int]]:
    """COCO's uncompressed RLE: lengths of alternating runs of 0 and 1, down the columns, beginning with 0."""
    flat = np.concatenate([[False], mask.ravel(order="F"), [False]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    ends = np.concatenate([[0], changes, [mask.size]])
    counts = np.diff(ends)
    if counts[-1] == 0:
        counts = counts[:-1]
    return {"counts": counts.tolist(), "size": list(mask.shape)}


def polygons(mask: Mask) -> list[list[float]]:
    """Closed outlines [x1, y1, x2, y2, ...] along pixel edges whose union is exactly `mask`.

    Polygons can't have holes, so a part that has one is cut in two down the hole's first column.
    """
    x, y, width, height = bounding_box(mask)
    found: list[list[float]] = []
    pending = [(mask[y : y + height, x : x + width], x, y)]
    while pending:
        patch, x0, y0 = pending.pop()
        count, labels, stats, _ = cv2.connectedComponentsWithStats(patch.astype(np.uint8), connectivity=4)
        for k in range(1, count):
            left, top, wide, high = (int(v) for v in stats[k, :4])
            part = labels[top : top + high, left : left + wide] == k
            cut = _first_hole(part)
            if cut is None:
                found.append(_outline(part, x0 + left, y0 + top))
            else:
                pending.append((part[:, :cut], x0 + left, y0 + top))
                pending.append((part[:, cut:], x0 + left + cut, y0 + top))
    return sorted(found)


def _first_hole(part: Mask) -> int | None:
    """Column of a pixel that `part` encloses, or None."""
    around = np.pad(~part, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(around, connectivity=8)
    enclosed = (labels > 0) & (labels != labels[0, 0])
    columns = np.flatnonzero(enclosed.any(axis=0))
    return int(columns[0]) - 1 if len(columns) else None


def _outline(part: Mask, x0: int, y0: int) -> list[float]:
    """The one closed edge path of a 4-connected part without holes, corners only."""
    padded = np.pad(part, 1).astype(np.int8)
    step: dict[tuple[int, int], list[tuple[int, int]]] = {}
    # Walk with the part on the right: an edge between two pixels of one row is vertical, of one column horizontal.
    for (y, x), change in _changes(padded, axis=1):
        start, end = ((x, y), (x, y + 1)) if change < 0 else ((x, y + 1), (x, y))
        step.setdefault(start, []).append(end)
    for (y, x), change in _changes(padded, axis=0):
        start, end = ((x, y), (x + 1, y)) if change > 0 else ((x + 1, y), (x, y))
        step.setdefault(start, []).append(end)
    start = min(step)
    path, here, heading = [start], step[start][0], (0, 0)
    heading = (here[0] - start[0], here[1] - start[1])
    while here != start:
        # Where the part touches itself at a corner there are two ways on; the right turn stays with the same pixel.
        ways = step[here]
        right = (here[0] - heading[1], here[1] + heading[0])
        following = right if len(ways) > 1 and right in ways else ways[0]
        turn = (following[0] - here[0], following[1] - here[1])
        if turn != heading:
            path.append(here)
        here, heading = following, turn
    return [float(v) for x, y in path for v in (x + x0, y + y0)]


def _changes(padded: NDArray[np.int8], axis: int) -> list[tuple[tuple[int, int], int]]:
    """Where a padded mask changes along `axis`: ((row, column) of the edge without the padding, +1 on entering)."""
    difference = np.diff(padded, axis=axis)
    rows, columns = np.nonzero(difference)
    shift_y, shift_x = (1, 0) if axis == 1 else (0, 1)
    values = difference[rows, columns]
    places = zip((rows - shift_y).tolist(), (columns - shift_x).tolist(), strict=True)
    return list(zip(places, values.tolist(), strict=True))
