"""Detection: the same boxes however the images are cut into shards, and nothing done twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model.detector import DetectorSpec, build_detector, load_detector, save_detector
from pipeline.detection import detect
from pipeline.detection.detect import DetectShard, read_shards
from pipeline.records.artefacts import file_hash
from tests.pipeline.detection.conftest import COMPUTE, IMAGES, MODEL


@pytest.fixture
def shard(workspace: Path) -> DetectShard:
    torch.manual_seed(0)
    save_detector(
        build_detector(DetectorSpec(**MODEL.model_dump(exclude={"architecture"}))), "models/detectors/person", {}
    )
    files = tuple(f"pictures/{i}.png" for i in range(IMAGES))
    return DetectShard(Path("models/detectors/person"), file_hash("models/detectors/person"), files, 0.0, 0.5, COMPUTE)


@pytest.mark.parametrize("size", [1, 3])
def test_boxes_do_not_depend_on_the_shards(shard: DetectShard, size: int) -> None:
    whole = read_shards([shard((0, IMAGES))])
    cut = read_shards([shard((first, min(first + size, IMAGES))) for first in range(0, IMAGES, size)])
    assert all(np.array_equal(a, b) for a, b in zip(whole, cut, strict=True))
    counts, boxes, scores = whole
    assert len(counts) == IMAGES
    assert counts.sum() == len(scores) == len(boxes) > 0
    for part in np.split(scores, counts.cumsum()[:-1]):
        assert (np.diff(part) <= 0).all()


def test_boxes_lie_in_their_image_and_beside_each_other(shard: DetectShard) -> None:
    counts, boxes, _ = read_shards([shard((0, IMAGES))])
    sizes = np.repeat([[80, 64] if i % 4 else [64, 80] for i in range(IMAGES)], counts, axis=0)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= sizes + 1e-3).all()
    image = np.repeat(np.arange(IMAGES), counts)
    for i in range(IMAGES):
        assert _largest_iou(boxes[image == i].astype(float)) <= 0.5 + 1e-4


def _largest_iou(boxes: np.ndarray) -> float:
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum((boxes[:, :2] + boxes[:, 2:])[:, None], (boxes[:, :2] + boxes[:, 2:])[None])
    shared = np.clip(high - low, 0, None).prod(2)
    area = boxes[:, 2:].prod(1)
    iou = shared / (area[:, None] + area[None] - shared)
    return float(np.triu(iou, 1).max(initial=0.0))


def test_a_shard_that_is_whole_is_not_searched_again_until_a_file_changes(
    shard: DetectShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = shard((0, 2))
    monkeypatch.setattr(detect, "boxes_in", lambda *a: pytest.fail("searched"))
    assert shard((0, 2)) == first
    picture = Path("pictures/1.png")
    picture.write_bytes(picture.read_bytes() + b"\0")
    with pytest.raises(pytest.fail.Exception, match="searched"):
        shard((0, 2))


def test_an_unreadable_image_is_named(shard: DetectShard) -> None:
    Path("pictures/3.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"pictures/3\.png"):
        shard((2, 5))
    Path("pictures/3.png").unlink()
    with pytest.raises(ValueError, match=r"pictures/3\.png: cannot be read"):
        shard((2, 5))


def test_batches_of_like_shape_find_the_boxes_that_one_by_one_does(
    shard: DetectShard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes that differ by less than the padding go together: 64x80 and 64x79, but not 80x64."""
    detector = load_detector(shard.folder)
    detector.drop_masks()
    detector.set_thresholds(0.05, 0.5)
    random = np.random.default_rng(0)
    sizes = [(64, 80), (80, 64), (64, 79), (64, 80), (79, 64), (64, 80), (40, 90)]
    images = [random.integers(0, 255, (*size, 3), dtype=np.uint8) for size in sizes]
    groups = list(detect._alike(detector, images, 3))
    assert groups == [[0, 2, 3], [5, 6], [1, 4]]
    seen: list[torch.Size] = []
    handle = detector.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[2:]))
    for group in groups:
        together = detect.boxes_in_batch(detector, [images[i] for i in group], COMPUTE, torch.device("cpu"))
        for i, (boxes, scores) in zip(group, together, strict=True):
            alone, alone_scores = detect.boxes_in_pixels(detector, images[i], COMPUTE, torch.device("cpu"))
            assert len(boxes) > 0
            assert np.abs(boxes - alone).max() <= 1e-3
            assert np.abs(scores - alone_scores).max() <= 1e-5
            assert seen[-1] == detect._padded_size(detector, images[i].shape[:2])
    handle.remove()
