"""Videos, frame by frame: read, looked at, drawn, written, in constant memory.

OpenCV's reader and writer: it is in the project already, and decodes and encodes on threads of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

_RATE = 25.0  # frames a second, where a file does not say


class VideoReader:
    """The frames of a video, [H, W, 3] uint8 RGB. ValueError when the file is no video, or has no frame."""

    def __init__(self, path: str | Path) -> None:
        if not os.path.isfile(path):
            raise ValueError(f"{path}: no such file")
        self._capture = cv2.VideoCapture(str(path))
        self.path = path
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = float(rate) if 0 < rate < 1000 else _RATE
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.count = int(count) if 0 < count < 1e9 else None
        """How many frames the file says it has: a truncated one has fewer."""
        ok, first = self._capture.read() if self._capture.isOpened() else (False, None)
        if not ok:
            self._capture.release()
            raise ValueError(f"{path}: not a video that can be read")
        self._first = first
        self._last, self._gaps = self._capture.get(cv2.CAP_PROP_POS_MSEC), (np.inf, 0.0)

    @property
    def uneven(self) -> bool:
        """Did the frames that were read so far come at uneven times, the longest gap twice the shortest or more?"""
        return self._gaps[1] >= 2 * self._gaps[0]

    def _note_time(self) -> None:
        now = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        if (gap := now - self._last) > 0:  # some containers say no times
            self._gaps = min(self._gaps[0], gap), max(self._gaps[1], gap)
        self._last = now

    def __iter__(self) -> Iterator[np.ndarray]:
        frame: np.ndarray | None = self._first
        try:
            while frame is not None:
                yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
                ok, frame = self._capture.read()
                if not ok:
                    break
                self._note_time()
        finally:
            self._capture.release()


class VideoWriter:
    """Writes RGB frames of one size to an MP4 file; what is written so far is playable however the block ends."""

    def __init__(self, path: Path, rate: float) -> None:
        self.path, self.rate = path, rate
        self._writer: cv2.VideoWriter | None = None

    def __enter__(self) -> VideoWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def write(self, frame: np.ndarray) -> None:
        """Add a frame [H, W, 3]. ValueError where the file cannot be written."""
        if self._writer is None:
            size = (frame.shape[1], frame.shape[0])
            self._writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter.fourcc(*"mp4v"), self.rate, size)
            if not self._writer.isOpened():
                raise ValueError(f"{self.path}: a video cannot be written there")
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.release()  # writes the index, without which nothing plays it
