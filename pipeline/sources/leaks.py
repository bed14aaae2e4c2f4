"""Pictures that a model is validated on and has seen: the same files in two sources, and copies that look the same."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from pipeline.records.images import ImageReader
from pipeline.records.likeness import difference_hash, look_alikes, reduction_for
from pipeline.settings import Source
from pipeline.sources.image_files import Found

_NAMED = 3  # pairs of each two sources
_DIM = 64  # steps between the darkest and the brightest pixel; 14 bits in a file of 16 have so many


@dataclass
class Seen:
    """The pictures below a root that were looked at: names, hashes of the files, and hashes of what is to be seen."""

    root: str
    names: list[str] = field(default_factory=list)
    contents: list[str] = field(default_factory=list)
    looks: list[int] = field(default_factory=list)  # 0 for a file that is no use
    dim: list[str] = field(default_factory=list)  # those in which hardly anything is to be seen
    seconds: float = 0.0  # of CPU time that the looks cost

    def add(self, name: str, found: Found) -> None:
        """Add a picture, where its file is one."""
        if found.content:
            self.names.append(name)
            self.contents.append(found.content)
            started = time.process_time()
            self.looks.append(self._look(name, found))
            self.seconds += time.process_time() - started

    def _look(self, name: str, found: Found) -> int:
        path, reduction = os.path.join(self.root, name), reduction_for(found.width, found.height)
        try:
            pixels = ImageReader().read(path, reduction)
            if np.ptp(pixels) <= _DIM:
                self.dim.append(name)
            return difference_hash(pixels)
        except ValueError:  # of a JPEG its head and end were looked at; it may be damaged between
            return 0


def leaks(validation: Collection[str], sources: Mapping[str, Source], seen: Mapping[str, Seen]) -> list[str]:
    """A sentence for each validation source and other one that share pictures, whatever these are called there."""
    found = []
    for one in seen:
        for other in seen:
            parts = sources[one].only is not None and sources[other].only is not None  # of a file: copies may part
            if one in validation and other not in validation and (parts or sources[one].index != sources[other].index):
                found += _shared(one, seen[one], other, seen[other])
    return found


def _shared(one: str, own: Seen, other: str, its: Seen) -> list[str]:
    place = {content: position for position, content in enumerate(its.contents)}
    same = [(position, place[content]) for position, content in enumerate(own.contents) if content in place]
    known = {position for position, _ in same}
    copies = [pair for pair in look_alikes(own.looks, its.looks) if pair[0] not in known]
    found = []
    for pairs, what in (
        (same, f"are in {other} too, by content"),
        (copies, f"look like pictures of {other}, as copies do that were scaled or compressed again"),
    ):
        if pairs:
            named = "; ".join(f"{own.names[a]} and {its.names[b]}" for a, b in pairs[:_NAMED])
            more = " ..." if len(pairs) > _NAMED else ""
            found.append(f"{len(pairs)} pictures of {one} {what}: {named}{more}; none that is trained on may validate")
    return found
