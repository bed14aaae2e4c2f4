"""Who is who from frame to frame."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.predict.people import People
from pipeline.predict.tracking import OneEuro, Tracker
from pipeline.records.keypoints import load_keypoint_set

COCO = load_keypoint_set("coco")
SHAPE = np.random.default_rng(0).uniform(0, [40, 80], (17, 2))


def people(*places: tuple[float, float], scores: list[float] | None = None) -> People:
    """People of one shape at places (x, y)."""
    count = len(places)
    offsets = np.array(places, float).reshape(count, 2)
    return People(
        boxes=np.concatenate([offsets, np.tile([40.0, 80.0], (count, 1))], 1),
        box_scores=np.ones(count),
        keypoints=SHAPE[None] + offsets[:, None],
        keypoint_scores=np.ones((count, 17)),
        scores=np.asarray(scores or [0.9] * count),
        names=COCO.names,
        size=(200, 400),
    )


def ids(found: People) -> list[int]:
    assert found.ids is not None
    return found.ids.tolist()


def test_ids_stay_with_people_whatever_their_order() -> None:
    track = Tracker(COCO)
    assert ids(track(people((0, 0), (200, 0)))) == [1, 2]
    for step in range(1, 20):
        assert ids(track(people((200 - 2 * step, 0), (3 * step, 0)))) == [2, 1]


def test_two_who_cross_side_by_side_keep_theirs() -> None:
    track = Tracker(COCO)
    track(people((0, 0), (100, 60)))
    for step in range(1, 51):
        assert ids(track(people((2 * step, 0), (100 - 2 * step, 60)))) == [1, 2]


def test_who_was_hidden_comes_back_as_before_and_who_is_long_gone_does_not() -> None:
    track = Tracker(COCO)
    track(people((0, 0), (200, 0)))
    for _ in range(10):
        track(people((0, 0)))
    assert ids(track(people((205, 0), (0, 0)))) == [2, 1]
    for _ in range(40):
        track(people((0, 0)))
    assert ids(track(people((205, 0), (0, 0)))) == [3, 1]


def test_the_unsure_start_no_id() -> None:
    assert ids(Tracker(COCO)(people((0, 0), (200, 0), scores=[0.9, 0.05]))) == [1, 0]
    assert ids(Tracker(COCO)(people())) == []


def test_smoothing_stills_noise_and_follows_movement() -> None:
    """At rest the jitter falls by half or more; a quick walk lags by less than two pixels."""
    random = np.random.default_rng(1)
    track, smooth = Tracker(COCO), OneEuro(25.0)
    still = []
    for _ in range(60):
        noisy = people((100, 50))
        moved = People(**{**vars(noisy), "keypoints": noisy.keypoints + random.normal(0, 1, (1, 17, 2))})
        still.append(smooth(track(moved)).keypoints[0] - (SHAPE + np.array([100, 50])))
    assert np.std(still[20:]) < 0.5
    track, smooth = Tracker(COCO), OneEuro(25.0)
    for step in range(60):
        found = smooth(track(people((8.0 * step, 50))))
    assert np.abs(found.keypoints[0] - (SHAPE + np.array([8.0 * 59, 50]))).max() == pytest.approx(0, abs=6)
    assert np.abs(found.keypoints[0, :, 1] - (SHAPE[:, 1] + 50)).max() < 1e-9
