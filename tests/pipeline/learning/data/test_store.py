from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pipeline.learning.data import packed, training_batches
from pipeline.settings import Augmentation
from tests.pipeline.learning.data.people import blob, misplaced, noise_people, people_table

ALL = Augmentation(rotation=40.0, scale=0.3, flip=0.5, half_body=0.5, half_body_keypoints=8)
SETTINGS = {"input_size": (96, 72), "padding": 1.25, "augmentation": ALL}


def test_samples_are_those_of_the_images(tmp_path: Path):
    table = noise_people(tmp_path, 20)
    store = packed(table, tmp_path / "crops", **SETTINGS)
    for epoch in range(3):
        settings = SETTINGS | {"batch_size": 20, "seed": 0, "epoch": epoch}
        (direct,) = training_batches(table, **settings)
        (stored,) = training_batches(table, **settings, store=store)
        assert torch.equal(direct.transforms, stored.transforms)
        assert torch.equal(direct.keypoints, stored.keypoints)
        difference = (direct.images.float() - stored.images.float()).abs()
        assert difference.mean() < 3  # a second JPEG compression
        shown = (direct.images > 0).any(1) == (stored.images > 0).any(1)
        assert shown.float().mean() > 0.999  # nothing that a sample shows is missing from the store


@pytest.mark.parametrize("input_size", [(96, 72), (256, 192)])
def test_keypoints_follow_the_stored_image(tmp_path: Path, input_size: tuple[int, int]):
    # 0.01 px as everywhere, as the root mean square over dots: the store's JPEG moves a soft dot by up to 0.02 px, one
    # way or the other, and by how much depends on the machine's decoder. What is moved wrongly is moved for all.
    random = np.random.default_rng(0)
    size, names, keypoints = 900, [], np.zeros((34, 17, 3))
    for i in range(34):
        x, y = random.uniform(0.45 * size, 0.55 * size, 2)
        names.append(f"{i}.png")
        cv2.imwrite(str(tmp_path / names[-1]), blob(size, size, x, y, 24))
        keypoints[i, i % 17] = x, y, 2
    table = people_table(tmp_path, names, np.tile([290.0, 250, 330, 400], (34, 1)), keypoints)
    settings = SETTINGS | {"input_size": input_size}
    store = packed(table, tmp_path / "crops", **settings)
    assert (store.scales < 0.7).all()  # large people are stored small
    (batch,) = training_batches(table, **settings, batch_size=34, seed=0, epoch=0, store=store)
    errors = []
    for i in range(34):
        (k,) = batch.present[i].nonzero().flatten().tolist()
        sigma = 24 * float(torch.linalg.det(batch.transforms[i, :, :2]).abs().sqrt())
        image = batch.images[i].permute(1, 2, 0).numpy()
        errors.append(misplaced(image, batch.keypoints[i, k].tolist(), sigma))
    assert np.sqrt(np.mean(np.square(errors))) < 0.01
    assert np.abs(errors).max() < 0.05


def test_a_store_is_made_once(tmp_path: Path):
    table = noise_people(tmp_path, 4)
    one = packed(table, tmp_path / "crops", **SETTINGS)
    written = one.path.stat().st_mtime_ns
    assert packed(table, tmp_path / "crops", **SETTINGS).path.stat().st_mtime_ns == written
    other = packed(table, tmp_path / "crops", **(SETTINGS | {"input_size": (128, 96)}))
    assert other.path != one.path
    spread = packed(table, tmp_path / "others", **SETTINGS, workers=2)
    assert spread.path.read_bytes() == one.path.read_bytes()


def test_a_changed_image_makes_another_store_and_old_ones_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipeline.learning.data.store._KEPT", 2)
    table, folder = noise_people(tmp_path, 4), tmp_path / "crops"
    stores = [packed(table, folder, **SETTINGS)]
    for moment in (1, 2):
        os.utime(tmp_path / "1.jpg", (moment, moment))
        stores.append(packed(table, folder, **SETTINGS))
    assert len({store.path for store in stores}) == 3
    assert [store.path.is_file() for store in stores] == [False, True, True]
    # One that is in use goes on after its files are gone.
    (batch,) = training_batches(table, **SETTINGS, batch_size=4, seed=0, epoch=0, store=stores[0])
    (same,) = training_batches(table, **SETTINGS, batch_size=4, seed=0, epoch=0, store=stores[2])
    assert torch.equal(batch.images, same.images)


def test_a_missing_image_is_named(tmp_path: Path):
    table = noise_people(tmp_path, 4)
    (tmp_path / "1.jpg").unlink()
    with pytest.raises(ValueError, match=r"1\.jpg: cannot be read: No such file"):
        packed(table, tmp_path / "crops", **SETTINGS)
