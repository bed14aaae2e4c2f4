"""Who is who from frame to frame: people are matched by OKS and box, and their keypoints smoothed on request."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from pipeline.predict.people import People
from pipeline.records.keypoints import KeypointSet

_FORGET = 30  # frames without a person after which an id is given up
_LEAST = 0.2  # of OKS and box overlap together, below which two are not the same
_NEW = 0.1  # a pose scored lower starts no id
_SIGMA = 0.079  # for keypoints whose set has none


@dataclass
class _Track:
    identity: int
    box: np.ndarray  # [4] x, y, w, h, when last seen
    keypoints: np.ndarray  # [K, 2]
    seen: int  # frame


@dataclass
class Tracker:
    """Gives people ids that stay, the pair that is most alike by OKS and box overlap (IoU) first."""

    keypoints: KeypointSet
    _tracks: list[_Track] = field(default_factory=list)
    _next: int = 1
    _frame: int = 0

    def __call__(self, people: People) -> People:
        """The people of the next frame, with ids; those who are too unsure to start one get 0."""
        self._frame += 1
        self._tracks = [track for track in self._tracks if self._frame - track.seen <= _FORGET]
        ids = np.zeros(len(people), np.int64)
        alike = self._likeness(people)
        while alike.size and alike.max() >= _LEAST:
            t, n = np.unravel_index(alike.argmax(), alike.shape)
            ids[n] = self._tracks[t].identity
            self._tracks[t] = _Track(int(ids[n]), people.boxes[n], people.keypoints[n], self._frame)
            alike[t], alike[:, n] = 0, 0
        for n in np.flatnonzero((ids == 0) & (people.scores >= _NEW)):
            ids[n] = self._next
            self._tracks.append(_Track(self._next, people.boxes[n], people.keypoints[n], self._frame))
            self._next += 1
        return replace(people, ids=ids)

    def _likeness(self, people: People) -> np.ndarray:
        """[tracks, N], 0 to 1."""
        result = np.zeros((len(self._tracks), len(people)))
        sigmas = np.asarray(self.keypoints.sigmas or (_SIGMA,) * len(people.names))
        for t, track in enumerate(self._tracks):
            area = max(float(track.box[2] * track.box[3]), 1.0)
            distance = ((people.keypoints - track.keypoints) ** 2).sum(2)
            oks = np.exp(-distance / (2 * area * (2 * sigmas) ** 2)).mean(1)
            result[t] = (oks + _overlap(track.box, people.boxes)) / 2
        return result


def _overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """[N] IoU of a box with others, x, y, w, h."""
    low = np.maximum(boxes[:, :2], box[:2])
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], box[:2] + box[2:])
    inner = np.clip(high - low, 0, None).prod(1)
    union = boxes[:, 2:].prod(1) + box[2:].prod() - inner
    return np.asarray(inner / np.maximum(union, 1e-9))


@dataclass
class OneEuro:
    """The One-Euro filter (Casiez 2012) on each person's keypoints: steady when still, quick when moving.

    `least` is the cutoff in hertz at rest, `speed` how it grows with the speed in person heights a second.
    """

    rate: float  # frames a second
    least: float = 1.0
    speed: float = 6.0
    _known: dict[int, tuple[np.ndarray, np.ndarray, int]] = field(default_factory=dict)
    _frame: int = 0

    def __call__(self, people: People) -> People:
        """The people of the next frame, their keypoints smoothed by id."""
        assert people.ids is not None
        self._frame += 1
        points = people.keypoints.copy()
        self._known = {key: value for key, value in self._known.items() if self._frame - value[2] <= _FORGET}
        for n, identity in enumerate(people.ids.tolist()):
            if identity:
                points[n] = self._smoothed(identity, points[n], float(max(people.boxes[n, 2:].max(), 1.0)))
        return replace(people, keypoints=points)

    def _smoothed(self, identity: int, points: np.ndarray, height: float) -> np.ndarray:
        if identity not in self._known:
            self._known[identity] = (points, np.zeros_like(points), self._frame)
            return points
        before, slope, seen = self._known[identity]
        seconds = (self._frame - seen) / self.rate
        slope = slope + _share(1.0, seconds) * ((points - before) / seconds - slope)
        cutoff = self.least + self.speed * np.hypot(slope[:, :1], slope[:, 1:]) / height
        smooth = before + _share(cutoff, seconds) * (points - before)
        self._known[identity] = (smooth, slope, self._frame)
        return np.asarray(smooth)


def _share(cutoff: np.ndarray | float, seconds: float) -> np.ndarray | float:
    """The weight of the new value in a low-pass filter of this cutoff."""
    turn = 2 * math.pi * cutoff * seconds
    return turn / (turn + 1)
