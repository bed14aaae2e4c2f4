"""Whom to label next: where the teachers disagree most, spread over pictures, and no picture twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.records.likeness import alike


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
            again = any(known is not None and alike(known, own) for known in hashes.values())
            hashes[candidate.picture] = None if again else own
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
