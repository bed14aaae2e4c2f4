"""What the detector trains on: each image's people, whole batches, the same whoever makes them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from pipeline import layout
from pipeline.detection.annotated import (
    AnnotatedImages,
    DetectorBatch,
    annotated,
    detector_batches,
    rasterised,
    read_annotated,
)
from pipeline.records.tables import read_table, write_table


def batches(data: AnnotatedImages, **changes: int) -> list[DetectorBatch]:
    settings = {"batch_size": 2, "flip": 0.5, "seed": 0, "epoch": 0, "start_batch": 0, "workers": 0}
    return list(detector_batches(data, **{**settings, **changes}))  # type: ignore[arg-type]


def same(one: DetectorBatch, other: DetectorBatch) -> bool:
    return (
        one.rows.tolist() == other.rows.tolist()
        and all(torch.equal(a, b) for a, b in zip(one.images, other.images, strict=True))
        and all(torch.equal(a[k], b[k]) for a, b in zip(one.targets, other.targets, strict=True) for k in a)
    )


def test_images_without_people_and_crowds_are_left_out(workspace: object) -> None:
    data = read_annotated("train", masks=True)
    assert data.ids == [f"train:{i}" for i in (1, 2, 4, 5, 7, 8)]
    assert np.diff(data.edges).tolist() == [1, 2, 1, 2, 1, 2]
    assert data.portrait.tolist() == [False, False, True, False, False, True]


def test_boxes_masks_and_pixels_stay_together_when_flipped(workspace: object) -> None:
    data = read_annotated("train", masks=True)
    flipped = 0
    for batch in batches(data, epoch=1):
        for image, target, row in zip(batch.images, batch.targets, batch.rows, strict=True):
            unchanged = torch.from_numpy(data.boxes[data.edges[row] : data.edges[row + 1]])
            flipped += not torch.equal(target["boxes"], unchanged)
            for (x1, y1, x2, y2), mask in zip(target["boxes"].int().tolist(), target["masks"], strict=True):
                inside = torch.zeros_like(mask)
                inside[y1:y2, x1:x2] = 1
                assert torch.equal(mask, inside)
                assert image[:, y1:y2, x1:x2].float().median() > 150  # the drawn person is bright, the rest is dark
    assert 0 < flipped < 6


def test_an_epoch_holds_every_image_in_full_batches_of_one_shape(workspace: object) -> None:
    data = read_annotated("train", masks=False)
    made = batches(data)
    assert [len(batch.rows) for batch in made] == [2, 2, 2]
    assert sorted(np.concatenate([batch.rows for batch in made]).tolist()) == [0, 1, 2, 3, 4, 5]
    assert all(len({image.shape for image in batch.images}) == 1 for batch in made)
    assert all("masks" not in target for batch in made for target in batch.targets)
    orders = [[batch.rows.tolist() for batch in batches(data, epoch=epoch)] for epoch in range(4)]
    assert len({str(order) for order in orders}) > 1


def test_a_batch_depends_on_its_number_alone(workspace: object) -> None:
    data = read_annotated("train", masks=True)
    whole = batches(data, epoch=3)
    assert all(same(a, b) for a, b in zip(whole[1:], batches(data, epoch=3, start_batch=1), strict=True))
    assert all(same(a, b) for a, b in zip(whole, batches(data, epoch=3, workers=2), strict=True))


@pytest.mark.parametrize("epoch", range(4))
def test_two_processes_share_every_batch(workspace: object, epoch: int) -> None:
    """The same images, flipped where one process flips them."""
    data = read_annotated("train", masks=True)
    together = batches(data, batch_size=2, epoch=epoch)
    apart = [batches(data, batch_size=1, rank=rank, world_size=2, epoch=epoch) for rank in range(2)]
    for batch, *parts in zip(together, *apart, strict=True):
        images = [image for part in parts for image in part.images]
        targets = [target for part in parts for target in part.targets]
        assert same(batch, DetectorBatch(images, targets, np.concatenate([part.rows for part in parts])))


def test_polygons_and_run_lengths_are_the_same_region() -> None:
    polygon = [[2.0, 3.0, 12.0, 3.0, 12.0, 9.0, 2.0, 9.0]]
    expected = np.zeros((16, 20), np.uint8)
    expected[3:9, 2:12] = 1
    packed = coco_mask.encode(np.asfortranarray(expected))
    flat = expected.ravel(order="F")
    runs = np.diff(np.flatnonzero(np.r_[True, flat[1:] != flat[:-1], True])).tolist()
    outlines = [polygon, {"size": [16, 20], "counts": runs}, {"size": [16, 20], "counts": packed["counts"].decode()}]
    for outline in outlines:
        assert np.array_equal(rasterised(json.dumps(outline), 16, 20), expected)


def test_people_without_a_mask_are_named(workspace: object) -> None:
    table = read_table(layout.masks("train"), "masks")
    write_table(layout.masks("train"), table.slice(1))
    with pytest.raises(ValueError, match=r"1 of 9 people have no mask, such as train:10; set .*masks to false"):
        read_annotated("train", masks=True)
    assert len(read_annotated("train", masks=False)) == 6


@pytest.mark.parametrize(
    "segmentation",
    ["[[1, 2, 3]]", "[[1, 1, 5, 5]]", '{"counts": "x", "size": [4, 4]}', '{"counts": [3], "size": [4, 4]}', "{}", "3",
     '{"counts": [16], "size": [4, 4]}', "null", '[["a", 1, 2, 3, 4, 5]]', "[[1e30, 1, 5, 5, 1, 9]]", "[]",
     "[[NaN, 1, 5, 5, 1, 9]]"],
)  # fmt: skip
def test_an_outline_that_is_none_ends_in_a_line_or_encloses_nothing(segmentation: str) -> None:
    problem, mask = "", np.zeros((0, 0))
    try:
        mask = rasterised(segmentation, 8, 8)
    except ValueError as error:
        problem = str(error)
    assert "\n" not in problem
    assert problem.startswith("a segmentation") or mask.shape == (8, 8)


def test_several_sources_are_one_set(workspace: object) -> None:
    one = read_annotated("train", masks=True)
    two = annotated([one, one])
    assert two.ids == one.ids * 2
    for image in range(len(one)):
        rows = [slice(*two.edges[[i, i + 1]]) for i in (image, image + len(one))]
        assert np.array_equal(two.boxes[rows[0]], one.boxes[slice(*one.edges[[image, image + 1]])])
        assert np.array_equal(two.boxes[rows[0]], two.boxes[rows[1]])
    assert two.outlines == [*(one.outlines or []), *(one.outlines or [])]
