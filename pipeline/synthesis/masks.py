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
    width = part.shape[1] + 1  # lattice points are numbered y * width + x
    starts, ends = _edges(np.pad(part, 1).astype(np.int8), width)
    onward = dict(zip(starts.tolist(), ends.tolist(), strict=True))
    # Where the part touches itself at a corner two edges leave one point. The right turn stays with the same pixel.
    points, counts = np.unique(starts, return_counts=True)
    crossings = set(points[counts > 1].tolist())
    turn_right = {1: width, width: -1, -1: -width, -width: 1}
    path = [int(points[0])]  # the topmost point and of those the leftmost, which is no crossing
    here = onward[path[0]]
    while here != path[0]:
        following = onward[here]
        if here in crossings:
            following = here + turn_right[here - path[-1]]
        path.append(here)
        here = following
    lattice = np.array(path)
    corners = np.diff(lattice, append=lattice[:1]) != np.diff(lattice, prepend=lattice[-1:])
    y, x = np.divmod(lattice[corners], width)
    return np.stack([x + x0, y + y0], axis=1).ravel().astype(float).tolist()


def _edges(padded: NDArray[np.int8], width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts and ends of all unit edges between inside and outside, directed so that the inside is on the right.

    `padded`: a mask with a rim of zeros; `width`: of the lattice of its pixel corners.
    """
    change = np.diff(padded, axis=1)[1:-1]
    rows, columns = np.nonzero(change)
    down = change[rows, columns] < 0  # leaving the part on the way to the right
    top = rows * width + columns
    upright = np.where(down, top, top + width), np.where(down, top + width, top)
    change = np.diff(padded, axis=0)[:, 1:-1]
    rows, columns = np.nonzero(change)
    right = change[rows, columns] > 0  # entering the part on the way down
    left = rows * width + columns
    level = np.where(right, left, left + 1), np.where(right, left + 1, left)
    return np.concatenate([upright[0], level[0]]), np.concatenate([upright[1], level[1]])
