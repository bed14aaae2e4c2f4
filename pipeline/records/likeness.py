"""Whether two pictures look the same: copies that were scaled, recompressed or made a little brighter."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from pipeline.records.images import REDUCTIONS

# Of 256 bits, how many may differ between copies. Of 19 million pairs of real photographs five are that near, all of
# them copies; the first that is none is at 25, two figures before a plain sky.
ALIKE = 24
_SIDE = 16
_LEAST = 64  # pixels of the shorter side that a picture is reduced to for its hash
_AT_ONCE = 256


def difference_hash(pixels: np.ndarray) -> int:
    """256 bits that stay nearly the same when a picture [H, W, 3] is scaled, recompressed or a little brighter: whether
    each cell of a 16 by 17 grid is darker than its right neighbour (dHash, Krawetz 2013). 0: nothing is to be seen."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (_SIDE + 1, _SIDE), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(small[:, :-1] < small[:, 1:]).tobytes(), "little")


def reduction_for(width: int, height: int) -> int:
    """By how much a picture may be reduced while decoding, which is cheaper, and still give its hash."""
    return max(r for r in REDUCTIONS if r == 1 or min(width, height) >= r * _LEAST)


def alike(one: int, other: int) -> bool:
    """Whether two hashes are of pictures that look the same."""
    return bool(one) and bool(other) and (one ^ other).bit_count() <= ALIKE


def look_alikes(ones: Sequence[int], others: Sequence[int]) -> list[tuple[int, int]]:
    """Of each of `ones` that is `alike` to one of `others`: its position, and the position of the nearest."""
    bits, others_bits = _words(ones), _words(others)
    pairs: list[tuple[int, int]] = []
    if not len(others_bits):
        return pairs
    for start in range(0, len(bits), _AT_ONCE):
        some = bits[start : start + _AT_ONCE]
        apart = np.zeros((len(some), len(others_bits)), np.uint16)
        for word in range(some.shape[1]):
            apart += np.bitwise_count(some[:, word, None] ^ others_bits[None, :, word])
        apart[~some.any(1)] = apart[:, ~others_bits.any(1)] = 4 * _SIDE * _SIDE
        nearest = apart.argmin(1)
        near = np.flatnonzero(apart[np.arange(len(some)), nearest] <= ALIKE)
        pairs += [(start + int(row), int(nearest[row])) for row in near]
    return pairs


def _words(hashes: Sequence[int]) -> np.ndarray:
    """Hashes as [N, 4] words of 64 bits."""
    return np.frombuffer(b"".join(h.to_bytes(_SIDE * _SIDE // 8, "little") for h in hashes), "<u8").reshape(-1, 4)
