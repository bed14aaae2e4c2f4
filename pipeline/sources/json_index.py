"""Reading a JSON annotation file in pieces: a 200 MB file never stands in memory as Python objects."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

_PIECE = 4 << 20  # bytes of text that are looked at, or parsed, at a time
_QUOTE, _BACKSLASH = ord('"'), ord("\\")
_STEP = np.zeros(256, np.int8)
_STEP[list(b"{[")], _STEP[list(b"}]")] = 1, -1
_NUMBERS = rb'"%b"\s*:\s*(\[[\[\]0-9eE+\-., \t\r\n]*\])'  # ends at the last bracket before the next key or brace
_GZIP = b"\x1f\x8b"
_TIMES = 200  # that a packed file may grow, beside the first 64 MB: annotations grow 4 to 30 times
_KEY = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:\s*$')


class JsonIndex:
    """A JSON file, which may be packed by gzip, whose root is an array, or an object with arrays as members.

    ValueError names the file when it is missing, no file, empty, not JSON, or neither of the two.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            if not stat.S_ISREG(self.path.stat().st_mode):
                raise ValueError(f"{path}: not a file; JSON annotations belong there")
            self._data = self.path.read_bytes()
        except OSError as error:
            raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
        if self._data.startswith(_GZIP):
            self._data = _unpacked(self._data, path)
        start = len(self._data) - len(self._data.removeprefix(b"\xef\xbb\xbf").lstrip())
        end = len(self._data.rstrip())
        if start >= end:
            raise ValueError(f"{path}: the file is empty; expected JSON annotations")
        if self._data[start] not in b"{[":
            raise ValueError(f"{path}: not JSON annotations: it starts with {self._data[start : start + 20]!r}")
        self.is_array = self._data[start] == ord("[")
        self._closings, self.members = self._understood(start, end)

    def value(self, member: str) -> Any:
        """A whole member of the root, parsed."""
        start, end = self.members[member]
        try:
            return orjson.loads(self._data[start:end])
        except orjson.JSONDecodeError as error:
            raise ValueError(f"{self.path}: '{member}' is not valid JSON: {error}") from None

    def array(self, member: str) -> bool:
        """Whether the root has such an array; ValueError where it has the member, but no array."""
        if member in self.members:
            return True
        found = re.search(rb'(?<!\\)"%b"\s*:\s*' % member.encode(), self._between())
        if found is not None:
            value = self._between()[found.end() :][:40].split(b",")[0].decode(errors="replace").strip()
            raise ValueError(f"{self.path}: '{member}' is {value}; a list belongs there, [] where there are none")
        return False

    def _between(self) -> bytes:
        """What stands in the root beside its containers."""
        edges = [0, *itertools.chain.from_iterable(sorted(self.members.values())), len(self._data)]
        return b" ".join(self._data[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True))

    def batches(self, member: str, refuse: Callable[[str, str], None], raw: str | None = None) -> Iterator[list[Any]]:
        """The elements of an array member ("" is the root itself), parsed some thousand at a time.

        An element that is no JSON is left out and handed to `refuse` as (its position in words, its text). `NaN`, which
        JSON does not know but Python writes, is read as such. With `raw`, the nested lists of numbers that elements
        have under that key stay text (`Raw`): half of COCO's file is outlines that nobody needs as objects.
        """
        start, end = self.members[member]
        if self._data[start] != ord("["):
            raise ValueError(f"{self.path}: '{member}' is no array but {self._shown(start, end)}")
        closings = self._closings[(self._closings > start) & (self._closings < end - 1)]
        first, done = start + 1, 0
        while first < end:
            # A piece ends after the last element that closes within its reach, or after one huge element.
            reach = np.searchsorted(closings, [first, first + _PIECE])
            last = max(reach[1] - 1, reach[0])
            stop = int(closings[last]) + 1 if reach[1] < len(closings) else end - 1
            batch = self._parsed(first, stop, closings[reach[0] : last + 1], done, refuse, raw)
            done += len(batch)
            yield batch
            first = stop if stop < end - 1 else end

    def _parsed(
        self,
        start: int,
        stop: int,
        closings: np.ndarray,
        done: int,
        refuse: Callable[[str, str], None],
        raw: str | None,
    ) -> list[Any]:
        text = self._data[start:stop].strip(b", \t\r\n")
        try:
            if raw is not None and _may_stay_text(text):
                return _with_raw(text, raw)
            batch: list[Any] = orjson.loads(b"[" + text + b"]")
            return batch
        except orjson.JSONDecodeError:
            pass
        batch = []
        edges = [start, *(c + 1 for c in closings.tolist() if c + 1 < stop), stop]
        for a, b in itertools.pairwise(edges):
            text = self._data[a:b].strip(b", \t\r\n")
            if text:
                try:
                    batch += json.loads(b"[" + text + b"]")
                except (ValueError, RecursionError):
                    refuse(f"element {done + len(batch)}", self._shown(a, b))
        return batch

    def _understood(self, start: int, end: int) -> tuple[np.ndarray, dict[str, tuple[int, int]]]:
        """Where the elements of the arrays close, and the members that are containers, as (start, end)."""
        places, depths = _containers(np.frombuffer(self._data, np.uint8)[start:end])
        places += start
        if not len(places) or depths[-1] != 0 or places[-1] != end - 1 or (depths[:-1] == 0).any():
            self._explain(start, end)
        opens = _STEP[np.frombuffer(self._data, np.uint8)[places]] > 0
        if self.is_array:
            return places[~opens & (depths == 1)], {"": (start, end)}
        members = {}
        for begin, close in zip(places[opens & (depths == 2)], places[~opens & (depths == 1)], strict=True):
            key = _KEY.search(self._data[max(start, begin - 256) : begin])
            if key is not None:
                members[key[1].decode(errors="replace")] = (int(begin), int(close) + 1)
        return places[~opens & (depths == 2)], members

    def _explain(self, start: int, end: int) -> None:
        try:
            orjson.loads(self._data[start:end])
        except orjson.JSONDecodeError as error:
            raise ValueError(f"{self.path}: not valid JSON (cut off?): {error}") from None
        raise ValueError(f"{self.path}: not valid JSON annotations")

    def _shown(self, start: int, end: int) -> str:
        return self._data[start : min(end, start + 80)].decode(errors="replace").strip(", \t\r\n")


def _unpacked(data: bytes, path: str | Path) -> bytes:
    largest = (64 << 20) + _TIMES * len(data)
    try:
        with gzip.open(io.BytesIO(data)) as file:
            unpacked = file.read(largest + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: not a readable gzip file: {error}") from None
    if len(unpacked) > largest:
        raise ValueError(f"{path}: unpacks to more than {_TIMES} times its size, which no annotations do")
    return unpacked


class Raw(bytes):
    """A value that was left as JSON text."""


def _with_raw(text: bytes, key: str) -> list[Any]:
    """The elements, with lists of numbers under `key` as `Raw`."""
    mark = "#"  # stands for the text while the rest is parsed
    while mark.encode() in text:
        mark += "#"
    parts: list[bytes] = []
    texts: list[Raw] = []
    last = 0
    for match in re.finditer(_NUMBERS % re.escape(key).encode(), text):
        start, end = match.span(1)
        parts += [text[last:start], b'{"%b":%d}' % (mark.encode(), len(texts))]
        texts.append(Raw(text[start:end]))
        last = end
    batch: list[Any] = orjson.loads(b"[" + b"".join([*parts, text[last:]]) + b"]")
    for element in batch:
        place = element.get(key) if isinstance(element, dict) else None
        if isinstance(place, dict) and mark in place:
            element[key] = texts[place[mark]]
    return batch


def _may_stay_text(text: bytes) -> bool:
    """Whether no list has an empty place, such as [1,,2]; these are left to the parser to find."""
    bytes_of = np.frombuffer(text, np.uint8)
    comma, close = bytes_of == ord(","), bytes_of == ord("]")
    return not (comma[:-1] & (comma[1:] | close[1:]) | (bytes_of[:-1] == ord("[")) & comma[1:]).any()


def _containers(text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Brackets of the two outermost levels: their places, and the depth after each.

    Kept are openings up to depth 2 and closings down to depth 2, so the elements of the arrays in a root object too.
    """
    places, depths = [], []
    depth, in_string, escapes = 0, False, False
    for start in range(0, len(text), _PIECE):
        block = text[start : start + _PIECE]
        # With bit 0x20 set, brackets and the backslash are the three bytes from "{" on (and "|", which takes no step).
        at = np.flatnonzero((((block | 0x20) - np.uint8(ord("{"))) <= 2) | (block == _QUOTE))
        at, escapes = _without_escapes(block, at, escapes)
        found = block[at]
        quotes = np.cumsum(found == _QUOTE) + in_string
        outside = (quotes % 2 == 0) & (found != _QUOTE)
        in_string = bool(quotes[-1] % 2) if len(quotes) else in_string
        at, steps = at[outside], _STEP[found[outside]]
        after = depth + np.cumsum(steps, dtype=np.int64)
        depth = int(after[-1]) if len(after) else depth
        kept = (after <= 2) & (after >= 0) & (steps != 0)
        places.append(at[kept] + start)
        depths.append(after[kept])
    return np.concatenate(places), np.concatenate(depths)


def _without_escapes(block: np.ndarray, at: np.ndarray, escapes: bool) -> tuple[np.ndarray, bool]:
    """Places without backslashes and without what they escape; whether the block's end escapes what follows.

    `escapes` says so of the block before. In a run of backslashes the first, third, ... escape.
    """
    backslashes = at[block[at] == _BACKSLASH]
    if escapes:
        backslashes = np.concatenate([[-1], backslashes])
    if not len(backslashes):
        return at, False
    order = np.arange(len(backslashes))
    starts = np.concatenate([[True], np.diff(backslashes) > 1])
    escaping = (order - np.maximum.accumulate(np.where(starts, order, 0))) % 2 == 0
    escaped = backslashes[escaping] + 1
    kept = at[(block[at] != _BACKSLASH) & ~np.isin(at, escaped)]
    return kept, bool(escaped[-1] == len(block))
