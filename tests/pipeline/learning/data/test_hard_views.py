from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.learning.data.augmentation import augmented, draws
from pipeline.learning.data.batches import cut
from pipeline.learning.data.hard_views import colour_maps, harden, is_hard, paired
from pipeline.records.tables import to_numpy
from pipeline.settings import Augmentation
from tests.pipeline.learning.data.people import noise_people
from tests.pipeline.learning.data.test_training import ALL, COCO, batches, content, half_pseudo

OFF = Augmentation(rotation=0.0, scale=0.0, flip=0.0, half_body=0.0, half_body_keypoints=8)
COLOUR = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.4, "hue": 20.0}
EVERY = {**COLOUR, "blur": 1.5, "noise": 20.0, "jpeg": 70, "cutout": 5, "occlusion": 2}
HEIGHT, WIDTH = 96, 72


def with_(**settings: Any) -> Augmentation:
    return OFF.model_copy(update=settings)


def people(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints [B, 17, 2] anywhere in the crop, every third one not present."""
    random = np.random.default_rng(seed)
    keypoints = random.uniform(-0.5, (WIDTH - 0.5, HEIGHT - 0.5), (count, 17, 2))
    return keypoints, np.tile(np.arange(17) % 3 > 0, (count, 1))


def traced(count: int) -> np.ndarray:
    """Crops whose pixels say where they are from: (sample, row, column)."""
    sample, row, column = np.meshgrid(np.arange(count), np.arange(HEIGHT), np.arange(WIDTH), indexing="ij")
    return np.stack([sample, row, column], 3).astype(np.uint8)


def hardened(crops: np.ndarray, settings: Augmentation, **changes: Any) -> np.ndarray:
    keypoints, present = people(len(crops))
    given = {"keypoints": keypoints, "present": present, "positions": np.arange(len(crops)), "seed": 1, "epoch": 2}
    result = crops.copy()
    harden(result, **(given | changes), settings=settings)
    return result


def extent(changed: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of the rectangle round what is set in [H, W]."""
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def inside(points: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    """Which points [K, 2] lie in the area of these pixels."""
    low = points >= (columns.start - 0.5, rows.start - 0.5)
    return (low & (points <= (columns.stop - 0.5, rows.stop - 0.5))).all(1)


def test_without_strength_batches_are_what_they_were(tmp_path: Path):
    table = noise_people(tmp_path, 8)
    assert not is_hard(ALL)
    (batch,) = batches(table, batch_size=8)
    rows = batch.rows.numpy()
    labels = to_numpy(table, "bbox"), to_numpy(table, "keypoints").reshape(-1, 17, 3), np.ones((8, 17), bool)
    arguments = (draws(3, 0, np.arange(8)), ALL, COCO, (96, 72), 1.25)
    sample = augmented(*(column[rows] for column in labels), np.ones((8, 17), np.float32), *arguments)
    crops = cut([str(tmp_path / table["file_name"][row].as_py()) for row in rows], sample.transforms, (96, 72))
    np.testing.assert_array_equal(batch.images.permute(0, 2, 3, 1).numpy(), crops)
    np.testing.assert_array_equal(batch.keypoints.numpy(), sample.keypoints.astype(np.float32))
    for series in ({}, {"series": 3}):
        np.testing.assert_array_equal(hardened(traced(8), OFF, **series), traced(8))


@pytest.mark.parametrize("name", EVERY)
def test_every_setting_changes_pixels_and_nothing_else(tmp_path: Path, name: str):
    table = noise_people(tmp_path, 32)
    plain, hard = (batches(table, augmentation=ALL.model_copy(update=more)) for more in ({}, {name: EVERY[name]}))
    assert not all(torch.equal(one.images, other.images) for one, other in zip(plain, hard, strict=True))
    for one, other in zip(plain, hard, strict=True):
        assert content(one)[1:] == content(other)[1:], "a covered keypoint stays labelled and supervised"


@pytest.mark.parametrize("size", [1, 3, 4])
def test_what_a_sample_gets_depends_on_its_position_alone(tmp_path: Path, size: int):
    table, hard = noise_people(tmp_path, 12), ALL.model_copy(update=EVERY)
    whole = torch.cat([batch.images for batch in batches(table, batch_size=12, augmentation=hard)])
    parts = batches(table, batch_size=size, augmentation=hard)
    assert [len(batch.images) for batch in parts] == [size] * (12 // size)
    assert torch.equal(torch.cat([batch.images for batch in parts]), whole)
    later = batches(table, batch_size=size, augmentation=hard, start_batch=2)
    assert torch.equal(torch.cat([batch.images for batch in later]), whole[2 * size :])


def test_neither_workers_nor_processes_change_it(tmp_path: Path):
    table = half_pseudo(tmp_path, 16)
    settings = {"augmentation": ALL.model_copy(update=EVERY)}
    alone = batches(table, **settings, batch_size=2, unlabelled_batch_size=2)
    many = batches(table, **settings, batch_size=2, unlabelled_batch_size=2, workers=2)
    assert [content(batch) for batch in many] == [content(batch) for batch in alone]
    ranks = [
        batches(table, **settings, batch_size=1, unlabelled_batch_size=1, rank=rank, world_size=2) for rank in (0, 1)
    ]
    for number, batch in enumerate(alone):
        one, two = (ranks[rank][number].images for rank in (0, 1))
        assert torch.equal(torch.stack([one[0], two[0], one[1], two[1]]), batch.images)


def test_seeds_epochs_and_series_differ():
    crops, settings = traced(8), with_(cutout=5)
    first = hardened(crops, settings)
    np.testing.assert_array_equal(hardened(crops, settings), first)
    for change in ({"seed": 2}, {"epoch": 3}, {"series": 3}):
        assert (hardened(crops, settings, **change) != first).any()
    keypoints, present = people(8)
    backwards = hardened(
        crops[::-1], settings, keypoints=keypoints[::-1], present=present[::-1], positions=np.arange(8)[::-1]
    )
    np.testing.assert_array_equal(backwards[::-1], first)


def test_a_plain_patch_lies_over_a_keypoint_that_is_present():
    crops = traced(120)
    after = hardened(crops, with_(cutout=1))
    keypoints, present = people(120)
    touched, middles = 0, []
    for i in range(120):
        changed = (after[i] != crops[i]).any(2)
        if not changed.any():
            continue
        touched += 1
        rows, columns = extent(changed)
        assert (after[i, rows, columns] == (124, 116, 104)).all()
        assert changed[rows, columns].all(), "one rectangle, and nothing beside it"
        assert inside(keypoints[i, present[i]], rows, columns).any()
        sides = rows.stop - rows.start, columns.stop - columns.start
        assert max(sides) <= np.ceil(0.2 * WIDTH)
        if rows.start > 0 and rows.stop < HEIGHT and columns.start > 0 and columns.stop < WIDTH:
            assert min(sides) >= np.floor(0.1 * WIDTH)
            found = keypoints[i, present[i]][inside(keypoints[i, present[i]], rows, columns)]
            if len(found) == 1:
                middles.append(found[0] - ((columns.start + columns.stop - 1) / 2, (rows.start + rows.stop - 1) / 2))
    assert 40 < touched < 80  # none or one, as often
    assert np.abs(middles).mean() > 1.5, "the middle of a patch does not say where the keypoint is"


def test_a_patch_of_another_comes_from_about_a_keypoint_of_the_neighbour():
    crops = traced(120)
    after = hardened(crops, with_(occlusion=1))
    keypoints, present = people(120)
    touched = 0
    for i in range(120):
        changed = (after[i] != crops[i]).any(2)
        if not changed.any():
            continue
        touched += 1
        rows, columns = extent(changed)
        assert changed[rows, columns].all()
        assert inside(keypoints[i, present[i]], rows, columns).any()
        sample, row, column = after[i, rows, columns].transpose(2, 0, 1)
        assert (sample == i ^ 1).all()
        assert (np.diff(row.astype(int), axis=0) == 1).all(), "as it is there, neither turned nor scaled"
        assert (np.diff(column.astype(int), axis=1) == 1).all()
        if rows.start == 0 or columns.start == 0 or rows.stop == HEIGHT or columns.stop == WIDTH:
            continue  # a part of the patch is cut off, maybe that with the keypoint
        there = slice(int(row.min()), int(row.max()) + 1), slice(int(column.min()), int(column.max()) + 1)
        assert inside(keypoints[i ^ 1, present[i ^ 1]], *there).any()
    assert 40 < touched < 80


def test_patches_are_taken_before_any_is_laid_down():
    after = hardened(traced(60), with_(occlusion=17, cutout=17))
    sample = after[:, :, :, 0]
    index = np.arange(60)[:, None, None]
    assert ((sample == index) | (sample == (index ^ 1)) | (sample == 124)).all()
    assert (sample == 124).any()
    own = sample == index
    rows, columns = np.arange(HEIGHT)[None, :, None], np.arange(WIDTH)[None, None]
    assert (np.where(own, after[:, :, :, 1], rows) == rows).all()
    assert (np.where(own, after[:, :, :, 2], columns) == columns).all()


def test_who_has_no_keypoints_gets_and_gives_no_patch():
    _, present = people(8)
    present[[0, 4]] = False
    crops = traced(8)
    many = [hardened(crops, with_(cutout=17, occlusion=17), present=present, epoch=epoch) for epoch in range(8)]
    assert all((after[[0, 4]] == crops[[0, 4]]).all() for after in many)
    assert not any((after[[1, 5], :, :, 0] == [[[0]], [[4]]]).any() for after in many)
    assert any((after[1] != crops[1]).any() for after in many)


def test_pairs():
    settings = with_(occlusion=1)
    assert paired(np.arange(4, 8), settings).tolist() == [4, 5, 6, 7]
    assert paired(np.arange(3, 6), settings).tolist() == [3, 4, 5, 2]
    assert paired(np.arange(3, 6), with_(cutout=1)).tolist() == [3, 4, 5]
    with pytest.raises(ValueError, match=r"positions \[3, 4, 5\]: allowed are both of each pair"):
        hardened(traced(3), settings, positions=np.arange(3, 6))


def test_brightness_and_contrast_by_hand():
    uniform = np.array([[0.5, 0.5, 0.5, 0.5], [1.0, 0.5, 0.5, 0.5], [0.5, 0.0, 0.5, 0.5]])
    maps = colour_maps(uniform, with_(brightness=0.2, contrast=0.4, saturation=0.3, hue=30.0))
    pixel = np.array([100.0, 50.0, 200.0])
    values = maps[:, :, :3] @ pixel + maps[:, :, 3]
    np.testing.assert_allclose(values[0], pixel)
    np.testing.assert_allclose(values[1], 1.2 * pixel)
    np.testing.assert_allclose(values[2], 0.6 * (pixel - 127.5) + 127.5)


def test_saturation_and_hue_keep_grey_and_luminance():
    random = np.random.default_rng(0)
    uniform, settings = random.random((200, 4)), with_(saturation=0.5, hue=40.0)
    maps = colour_maps(uniform, settings)
    np.testing.assert_allclose(maps[:, :, :3].sum(2), 1, atol=1e-9)  # grey is grey
    luminance = np.array([0.299, 0.587, 0.114])
    colours = random.uniform(0, 255, (3, 50))
    mapped = maps[:, :, :3] @ colours
    np.testing.assert_allclose(luminance @ mapped, np.tile(luminance @ colours, (200, 1)), atol=1e-6)

    def chroma(rgb: np.ndarray) -> np.ndarray:
        """I + iQ of YIQ."""
        real, imaginary = np.array([0.596, -0.274, -0.322]), np.array([0.211, -0.523, 0.312])
        return real @ rgb + 1j * (imaginary @ rgb)

    ratio = chroma(mapped) / chroma(colours)
    np.testing.assert_allclose(np.abs(ratio), np.tile(0.5 + uniform[:, 2:3], (1, 50)), atol=1e-6)
    np.testing.assert_allclose(np.rad2deg(np.angle(ratio)), np.tile(40 * (2 * uniform[:, 3:] - 1), (1, 50)), atol=1e-6)


def test_colours_of_a_crop_are_those_of_its_map():
    crops = np.random.default_rng(0).integers(0, 256, (16, HEIGHT, WIDTH, 3), dtype=np.uint8)
    after = hardened(crops, with_(brightness=0.5))
    factors = set()
    for one, other in zip(crops.astype(float), after.astype(float), strict=True):
        factor = np.median(other[other < 250] / np.maximum(one[other < 250], 1))
        np.testing.assert_allclose(other, np.minimum(factor * one, 255), atol=2.5)
        factors.add(round(float(factor), 2))
    assert len(factors) > 8
    assert 0.5 <= min(factors) < 0.8 < 1.2 < max(factors) <= 1.5


def test_every_fifth_crop_is_blurred_noisy_or_compressed():
    smooth = np.tile((np.arange(WIDTH) * 3)[None, None, :, None], (400, HEIGHT, 1, 3)).astype(np.uint8)
    for settings in ({"noise": 20.0}, {"blur": 2.0, "noise": 20.0, "jpeg": 90}):
        touched = (hardened(smooth, with_(**settings)) != smooth).any((1, 2, 3))
        assert 55 < touched.sum() < 105


def test_noise_has_the_deviation_asked_for():
    grey = np.full((200, HEIGHT, WIDTH, 3), 128, np.uint8)
    noise = hardened(grey, with_(noise=20.0)).astype(float)[:, 8:, 8:] - 128
    deviations = noise.std((1, 2, 3))
    there = deviations[deviations > 0]
    assert 18 < there.max() <= 20.5
    assert 8 < there.mean() < 12  # uniform from 0 to 20
    assert np.abs(noise.mean((1, 2, 3))).max() < 1


def test_blur_is_a_gaussian_of_at_most_that_deviation():
    lines = np.zeros((200, HEIGHT, WIDTH, 3), np.uint8)
    lines[:, :, 36] = 255
    after = hardened(lines, with_(blur=2.0)).astype(float)[:, 48, :, 0]
    after = after[after[:, 36] < 250]
    # A Gaussian's peak over what lies two pixels off is exp(2 / sigma^2).
    sigma = np.sqrt(2 / np.log(after[:, 36] / np.maximum(after[:, 38], 0.5)))
    assert 0.8 < np.median(sigma) < 1.4
    assert 1.8 < sigma.max() < 2.1
    np.testing.assert_array_equal(after[:, 36 - 30 : 36], after[:, 36 + 30 : 36 : -1], "it moves nothing")


def test_compression_takes_off_at_most_what_is_asked_for():
    crops = np.random.default_rng(0).integers(0, 256, (60, HEIGHT, WIDTH, 3), dtype=np.uint8)
    errors = [np.abs(hardened(crops, with_(jpeg=most)).astype(int) - crops).mean() for most in (1, 40, 95)]
    assert 0 < errors[0] < errors[1] < errors[2]
