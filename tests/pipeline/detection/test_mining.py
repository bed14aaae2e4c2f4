"""Mining against a loop over every pair."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.detection import mining
from pipeline.detection.mining import touches_anyone


def by_loop(
    detection_images: list[str], detections: np.ndarray, person_images: list[str], people: np.ndarray
) -> list[bool]:
    touched = []
    for image, (x, y, w, h) in zip(detection_images, detections.tolist(), strict=True):
        shared = [
            max(0.0, min(x + w, a + c) - max(x, a)) * max(0.0, min(y + h, b + d) - max(y, b))
            for other, (a, b, c, d) in zip(person_images, people.tolist(), strict=True)
            if other == image
        ]
        touched.append(any(area > 0 for area in shared))
    return touched


@pytest.mark.parametrize("pairs", [1, 7, 4_000_000])
def test_as_a_loop_over_pairs_however_they_are_cut(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mining, "_PAIRS", pairs)
    random = np.random.default_rng(0)
    images = [f"s:{i}" for i in range(12)]
    detection_images = random.choice(images, 150).tolist()
    person_images = random.choice(images[2:], 40).tolist()  # nobody in two of the images
    detections = np.concatenate([random.uniform(0, 90, (150, 2)), random.uniform(1, 30, (150, 2))], 1)
    people = np.concatenate([random.uniform(0, 90, (40, 2)), random.uniform(1, 30, (40, 2))], 1)
    found = touches_anyone(detection_images, detections, person_images, people)
    expected = by_loop(detection_images, detections, person_images, people)
    assert found.tolist() == expected
    assert 20 < sum(expected) < 130


def test_edges_may_touch_and_the_least_overlap_counts() -> None:
    person = np.array([[10.0, 10.0, 20.0, 20.0]])
    boxes = np.array(
        [[30.0, 10.0, 5.0, 5.0], [29.99, 10.0, 5.0, 5.0], [0.0, 0.0, 100.0, 100.0], [12.0, 12.0, 1.0, 1.0]]
    )
    assert touches_anyone(["s:1"] * 4, boxes, ["s:1"], person).tolist() == [False, True, True, True]


def test_nobody_annotated_and_nothing_detected() -> None:
    box = np.array([[0.0, 0.0, 5.0, 5.0]])
    assert touches_anyone(["s:1"], box, [], np.zeros((0, 4))).tolist() == [False]
    assert touches_anyone([], np.zeros((0, 4)), ["s:1"], box).tolist() == []
