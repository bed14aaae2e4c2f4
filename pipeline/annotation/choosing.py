"""Whom to label next: where the teachers disagree most, spread over pictures, and no picture twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

ALIKE = 6  # of 64 bits of two pictures' hashes that may differ between near-duplicates


@dataclass(frozen=True)
class Candidate:
    """A person that could be labelled."""

    person: str
    picture: str
    disagreement: float


def chosen(candidates: Sequence[Candidate], count: int, hash_of: Callable[[str], int]) -> list[Candidate]:
    """Up to `count` candidates, the largest disagreement first.

    Every picture gives one person before any gives a second, and so on. Of pictures that look alike (`hash_of` gives a
    picture's `difference_hash`) the one with the largest disagreement is taken alone.
    """
    ordered = sorted(candidates, key=lambda c: (-c.disagreement, c.person))
    hashes: dict[str, int | None] = {}  # None: like one that was taken before
    taken: list[Candidate] = []
    turn = {c.person: turn for turn, c in _turns(ordered)}
    for candidate in sorted(ordered, key=lambda c: turn[c.person]):  # stable: by disagreement within a turn
        if len(taken) == count:
            break
        if candidate.picture not in hashes:
            own = hash_of(candidate.picture)
            alike = any(known is not None and (known ^ own).bit_count() <= ALIKE for known in hashes.values())
            hashes[candidate.picture] = None if alike else own
        if hashes[candidate.picture] is not None:
            taken.append(candidate)
    return taken


def _turns(ordered: Sequence[Candidate]) -> list[tuple[int, Candidate]]:
    """Each candidate with how many of its picture come before it."""
    seen: dict[str, int] = {}
    turns = []
    for candidate in ordered:
        turns.append((seen.get(candidate.picture, 0), candidate))
        seen[candidate.picture] = seen.get(candidate.picture, 0) + 1
    return turns


def difference_hash(pixels: np.ndarray) -> int:
    """64 bits that stay nearly the same when a picture [H, W, 3] is scaled, recompressed or a little brighter: whether
    each cell of an 8 by 9 grid is darker than its right neighbour (dHash, Krawetz 2013)."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(int)
    bits = (small[:, :-1] < small[:, 1:]).reshape(-1)
    return int(sum(1 << i for i, bit in enumerate(bits) if bit))
