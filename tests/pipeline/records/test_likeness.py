"""Pictures that look the same."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pipeline.records.likeness import ALIKE, alike, difference_hash, look_alikes, reduction_for


def picture(seed: int) -> np.ndarray:
    """A smooth random picture [480, 640, 3]."""
    coarse = np.random.default_rng(seed).integers(0, 230, (12, 16, 3), np.uint8)
    return cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC)


def compressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


@pytest.mark.parametrize("copy", [
    compressed(picture(0), 40), compressed(cv2.resize(picture(0), (201, 150), interpolation=cv2.INTER_AREA), 70),
    cv2.convertScaleAbs(picture(0), alpha=1.0, beta=20),
], ids=["compressed", "scaled", "brighter"])  # fmt: skip
def test_hashes_tell_a_copy_from_another_picture(copy: np.ndarray) -> None:
    own = difference_hash(picture(0))
    assert alike(own, difference_hash(copy))
    assert not alike(difference_hash(picture(1)), difference_hash(copy))
    assert not alike(own, difference_hash(np.ascontiguousarray(picture(0)[:, ::-1])))


def test_a_hash_says_which_cells_are_darker_than_their_right_neighbours() -> None:
    ramp = np.repeat(np.arange(17, dtype=np.uint8)[None] * 10, 16, 0)
    assert difference_hash(np.repeat(ramp[:, :, None], 3, 2)) == (1 << 256) - 1
    assert difference_hash(np.repeat(ramp[:, ::-1, None], 3, 2)) == 0


def test_the_nearest_is_found_as_a_slow_loop_finds_it() -> None:
    random = np.random.default_rng(0)
    ones = [int.from_bytes(random.bytes(32), "little") for _ in range(400)]
    others = [h ^ sum(1 << int(b) for b in random.choice(256, random.integers(0, 50), replace=False)) for h in ones]
    expected = [
        (a, nearest)
        for a, own in enumerate(ones)
        for nearest in [min(range(400), key=lambda b: (own ^ others[b]).bit_count())]
        if (own ^ others[nearest]).bit_count() <= ALIKE
    ]
    assert 100 < len(expected) < 300
    assert look_alikes(ones, others) == expected
    assert look_alikes(ones, []) == look_alikes([], others) == []
    assert look_alikes([0, 1], [0]) == []  # a picture in which nothing is to be seen is like none


def test_pictures_are_reduced_as_far_as_their_hash_allows() -> None:
    sizes = [(640, 480), (150, 150), (63, 900), (6000, 4000), (128, 200)]
    assert [reduction_for(*size) for size in sizes] == [4, 2, 1, 8, 2]
