"""A teacher's heatmaps in the student's view against heatmaps drawn there from the keypoints themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.learning.data.augmentation import augmented, plain
from pipeline.learning.data.easy_views import easy_views, seen_in_the_hard_view
from pipeline.records.keypoints import load_keypoint_set
from pipeline.settings import Augmentation
from postproc.codec import encode

COCO = load_keypoint_set("coco")
SIZE, STRIDE = (128, 96), 4
MIRROR = torch.tensor(COCO.mirror)


def views(people: int, seed: int, settings: Augmentation):
    """Easy and hard samples of people in boxes of 100 to 200 pixels."""
    random = np.random.default_rng(seed)
    boxes = np.concatenate([random.uniform(0, 50, (people, 2)), random.uniform(100, 200, (people, 2))], 1)
    points = boxes[:, None, :2] + random.uniform(0.2, 0.8, (people, 17, 2)) * boxes[:, None, 2:]
    keypoints = np.concatenate([points, np.full((people, 17, 1), 2)], 2)
    rows = boxes, keypoints, np.ones((people, 17), bool), np.ones((people, 17), np.float32)
    draws = random.random((people, 4)), random.standard_normal((people, 2))
    return plain(*rows, COCO, SIZE, 1.25), augmented(*rows, draws, settings, COCO, SIZE, 1.25)


def maps_of(sample) -> torch.Tensor:
    cells = torch.from_numpy(sample.keypoints).float() / STRIDE
    return encode(cells, torch.from_numpy(sample.present), (SIZE[0] // STRIDE, SIZE[1] // STRIDE), 1.5)


def centres(maps: torch.Tensor) -> torch.Tensor:
    """[B, K, 2] centres of mass in cells."""
    rows, columns = torch.arange(maps.shape[2]).float(), torch.arange(maps.shape[3]).float()
    mass = maps.sum((2, 3)).clamp(min=1e-6)
    return torch.stack([(maps.sum(2) * columns).sum(2) / mass, (maps.sum(3) * rows).sum(2) / mass], 2)


@pytest.mark.parametrize("flip", [0.0, 0.5, 1.0])
def test_a_peak_lies_where_its_keypoint_lies_in_the_hard_view(flip: float):
    settings = Augmentation(rotation=40, scale=0.3, flip=flip, half_body=0, half_body_keypoints=8)
    easy, hard = views(40, 0, settings)
    found = seen_in_the_hard_view(
        maps_of(easy), easy_views(np.zeros((40, *SIZE, 3), np.uint8), easy, hard), MIRROR, STRIDE
    )
    expected = torch.from_numpy(hard.keypoints).float() / STRIDE
    limits = torch.tensor([SIZE[1] / STRIDE, SIZE[0] / STRIDE])
    inside = ((expected > 8) & (expected < limits - 8)).all(2)  # whole bells, enlarged ones too
    assert inside.sum() > 150
    away = (centres(found) - expected).norm(dim=2)[inside]
    assert away.max() < 0.05


def test_without_a_difference_the_maps_are_the_same():
    settings = Augmentation(rotation=0, scale=0, flip=0, half_body=0, half_body_keypoints=8)
    easy, hard = views(5, 1, settings)
    found = seen_in_the_hard_view(
        maps_of(easy), easy_views(np.zeros((5, *SIZE, 3), np.uint8), easy, hard), MIRROR, STRIDE
    )
    torch.testing.assert_close(found, maps_of(easy), atol=1e-5, rtol=0)
