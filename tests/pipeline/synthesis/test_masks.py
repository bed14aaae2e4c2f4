import numpy as np
import pytest
from pycocotools import mask as coco_mask

from pipeline.synthesis.masks import bounding_box, polygons, run_lengths


def blobs(seed: int, height: int = 41, width: int = 53) -> np.ndarray:
    """A mask with holes, islands, corners that touch, and pixels at the border."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((height // 3, width // 3)) < 0.6
    mask = np.kron(coarse, np.ones((3, 3), bool))
    return mask ^ (rng.random(mask.shape) < 0.05)


def decode(segmentation, height: int, width: int) -> np.ndarray:
    runs = coco_mask.frPyObjects(segmentation, height, width)
    return coco_mask.decode(coco_mask.merge(runs) if isinstance(runs, list) else runs).astype(bool)


@pytest.mark.parametrize("seed", range(12))
def test_pycocotools_draws_the_polygons_as_the_same_pixels(seed):
    mask = blobs(seed)
    assert np.array_equal(decode(polygons(mask), *mask.shape), mask)


@pytest.mark.parametrize("seed", range(12))
def test_polygons_enclose_as_many_units_of_area_as_the_mask_has_pixels(seed):
    mask = blobs(seed)
    area = 0.0
    for outline in polygons(mask):
        x, y = np.array(outline).reshape(-1, 2).T
        area += abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
    assert area == mask.sum()


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_pycocotools_reads_the_run_lengths_back(seed, value):
    mask = blobs(seed)
    mask[0, 0] = value
    assert np.array_equal(decode(run_lengths(mask), *mask.shape), mask)


def test_a_single_pixel_is_a_unit_square():
    mask = np.zeros((5, 7), bool)
    mask[2, 4] = True
    assert bounding_box(mask) == (4, 2, 1, 1)
    (outline,) = polygons(mask)
    assert sorted(zip(outline[::2], outline[1::2], strict=True)) == [(4, 2), (4, 3), (5, 2), (5, 3)]
