from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.learning.data import Batch, pace, training_batches
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import table_from, table_info
from pipeline.settings import Augmentation
from postproc.coordinates import crop_transforms
from tests.pipeline.learning.data.people import blob, centroid, noise_people, people_table

ALL = Augmentation(rotation=40.0, scale=0.3, flip=0.5, half_body=0.3, half_body_keypoints=8)
COCO = load_keypoint_set("coco")


def batches(table: pa.Table, **changes: Any) -> list[Batch]:
    settings = {
        "input_size": (96, 72),
        "padding": 1.25,
        "augmentation": ALL,
        "batch_size": 4,
        "seed": 3,
        "epoch": 0,
    }
    return list(training_batches(table, **(settings | changes)))


def content(batch: Batch) -> list[bytes]:
    names = ("images", "keypoints", "present", "supervised", "weight", "rows", "transforms")
    return [getattr(batch, name).numpy().tobytes() for name in names]


@pytest.mark.parametrize(("sigma", "size", "side", "suffix"), [(6, 200, 90, "png"), (24, 900, 330, "jpg")])
def test_keypoints_follow_the_image(tmp_path: Path, sigma: float, size: int, side: int, suffix: str):
    random = np.random.default_rng(0)
    names, boxes, keypoints = [], [], np.zeros((34, 17, 3))
    for i in range(34):
        x, y = random.uniform(0.45 * size, 0.55 * size, 2)
        names.append(f"{i}.{suffix}")
        quality = [cv2.IMWRITE_JPEG_QUALITY, 100] if suffix == "jpg" else []
        cv2.imwrite(str(tmp_path / names[-1]), blob(size, size, x, y, sigma), quality)
        boxes.append([0.5 * size - side / 2 + random.uniform(-3, 3), 0.5 * size - side / 2, side, side])
        keypoints[i, i % 17] = x, y, 2
    table = people_table(tmp_path, names, np.array(boxes), keypoints)
    turned, flipped, largest = 0, 0, 0.0
    for batch in batches(table, epoch=1):
        for i, row in enumerate(batch.rows.tolist()):
            linear = batch.transforms[i, :, :2]
            mirrored = bool(torch.linalg.det(linear) < 0)
            expected = COCO.mirror[row % 17] if mirrored else row % 17
            assert batch.present[i].nonzero().flatten().tolist() == [expected]
            found = centroid(batch.images[i].permute(1, 2, 0).numpy())
            error = np.abs(np.array(found) - batch.keypoints[i, expected].numpy()).max()
            largest = max(largest, float(error))
            turned += bool(abs(linear[0, 1]) > 0.05)
            flipped += mirrored
    assert turned > 8
    assert flipped > 8
    assert largest < 0.01


def test_the_mirror_of_the_mirror_is_the_sample(tmp_path: Path):
    plain = noise_people(tmp_path)
    weight = np.arange(10 * 17, dtype=np.float32).reshape(10, 17)
    columns = {name: plain[name] for name in plain.column_names} | {"weight": weight}
    table = table_from("instances", columns, table_info(plain))
    straight = ALL.model_copy(update={"flip": 0.0})
    one = batches(table, augmentation=straight)
    two = batches(table, augmentation=straight.model_copy(update={"flip": 1.0}))
    swap = torch.from_numpy(COCO.mirror)
    for a, b in zip(one, two, strict=True):
        back = b.images.flip(3).int()
        assert (a.images.int() - back).abs().max() <= 2  # the warp rounds its weights
        assert (a.images.int() - back).abs().float().mean() < 0.1
        returned = b.keypoints[:, swap].clone()
        returned[:, :, 0] = 71 - returned[:, :, 0]
        torch.testing.assert_close(returned, a.keypoints, atol=1e-4, rtol=0)
        assert torch.equal(b.present[:, swap], a.present)
        assert torch.equal(b.supervised[:, swap], a.supervised)
        assert torch.equal(b.weight[:, swap], a.weight)


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_change_nothing(tmp_path: Path, workers: int):
    table = noise_people(tmp_path)
    alone = [content(batch) for batch in batches(table)]
    assert [content(batch) for batch in batches(table)] == alone
    assert [content(batch) for batch in batches(table, workers=workers)] == alone
    assert [content(batch) for batch in batches(table, seed=4)] != alone
    assert [content(batch) for batch in batches(table, epoch=1)] != alone


def test_an_epoch_goes_on_in_the_middle(tmp_path: Path):
    table = noise_people(tmp_path)
    whole = batches(table)
    rest = batches(table, start_batch=1)
    assert [content(batch) for batch in rest] == [content(batch) for batch in whole[1:]]
    assert batches(table, start_batch=len(whole)) == []


def test_what_stands_at_a_position_does_not_depend_on_the_batches(tmp_path: Path):
    table = noise_people(tmp_path, 8)
    small = torch.cat([batch.images for batch in batches(table, batch_size=2)])
    large = torch.cat([batch.images for batch in batches(table, batch_size=8)])
    assert torch.equal(small, large)


def test_processes_share_an_epoch(tmp_path: Path):
    table = noise_people(tmp_path, 8)
    alone = batches(table, batch_size=4)
    ranks = [batches(table, batch_size=2, rank=rank, world_size=2) for rank in (0, 1)]
    for number, batch in enumerate(alone):
        shared = torch.cat([ranks[0][number].images, ranks[1][number].images])
        assert torch.equal(shared, batch.images)


def half_pseudo(root: Path, count: int) -> pa.Table:
    """People of whom every second one is pseudo-labelled."""
    plain = noise_people(root, count)
    columns = {name: plain[name] for name in plain.column_names}
    columns["kind"] = ["pseudo" if i % 2 else "labelled" for i in range(count)]
    return table_from("instances", columns, table_info(plain))


def test_unlabelled_rows_come_on_top_of_a_batch(tmp_path: Path):
    table = half_pseudo(tmp_path, 20)
    labelled = table.filter(pa.array([i % 2 == 0 for i in range(20)]))
    alone = batches(labelled, batch_size=4, epoch=1)
    made = batches(table, batch_size=4, unlabelled_batch_size=3, epoch=1)
    assert len(made) == len(alone), "the schedule counts labelled people"
    for batch, without in zip(made, alone, strict=True):
        assert (len(batch.rows), batch.added, without.added) == (7, 3, 0)
        assert torch.equal(batch.images[:4], without.images), "U changes nothing of the labelled samples"
        assert (batch.rows[:4] % 2 == 0).all()
        assert (batch.rows[4:] % 2 == 1).all()
    drawn = torch.cat([b.rows[4:] for epoch in range(10) for b in batches(table, unlabelled_batch_size=3, epoch=epoch)])
    counts = torch.bincount(drawn)[1::2]
    assert counts.max() - counts.min() <= 1, "passes over U follow each other through the epochs"


def test_rows_on_top_depend_on_their_position_alone(tmp_path: Path):
    table = half_pseudo(tmp_path, 16)
    settings = {"batch_size": 4, "unlabelled_batch_size": 2}
    alone = batches(table, **settings)
    assert [content(b) for b in batches(table, **settings, start_batch=1)] == [content(b) for b in alone[1:]]
    assert [content(b) for b in batches(table, **settings, workers=2)] == [content(b) for b in alone]
    shared = [batches(table, batch_size=2, unlabelled_batch_size=1, rank=rank, world_size=2) for rank in (0, 1)]
    for number, batch in enumerate(alone):
        pair = [ranks[number].images for ranks in shared]
        assert torch.equal(torch.cat([pair[0][:2], pair[1][:2], pair[0][2:], pair[1][2:]]), batch.images)


def test_rows_of_one_kind_have_nothing_on_top(tmp_path: Path):
    table = noise_people(tmp_path)
    plain = [content(batch) for batch in batches(table)]
    assert [content(batch) for batch in batches(table, unlabelled_batch_size=3)] == plain
    columns = {name: table[name] for name in table.column_names} | {"kind": ["pseudo"] * table.num_rows}
    pseudo = table_from("instances", columns, table_info(table))
    assert [content(batch) for batch in batches(pseudo, unlabelled_batch_size=3)] == plain


def test_every_row_once_and_all_batches_full(tmp_path: Path):
    made = batches(noise_people(tmp_path, 10), batch_size=4)
    rows = torch.cat([batch.rows for batch in made])
    assert [len(batch.rows) for batch in made] == [4, 4, 4]
    assert sorted(rows[:10].tolist()) == list(range(10))


def test_crops_without_augmentation_are_the_convention(tmp_path: Path):
    table = noise_people(tmp_path, 4)
    (batch,) = batches(table, augmentation=None)
    boxes = np.stack(table["bbox"].to_numpy())[batch.rows.numpy()]
    np.testing.assert_array_equal(batch.transforms.numpy(), crop_transforms(boxes, (96, 72), 1.25))
    for i, row in enumerate(batch.rows.tolist()):
        image = cv2.imread(str(tmp_path / table["file_name"][row].as_py()))[:, :, ::-1]
        expected = cv2.warpAffine(np.ascontiguousarray(image), batch.transforms[i].numpy(), (72, 96))
        difference = np.abs(batch.images[i].permute(1, 2, 0).numpy().astype(int) - expected)
        assert difference.mean() < 2  # the fast inverse DCT


def test_a_keypoint_outside_the_crop_is_not_absent(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((100, 100, 3), np.uint8))
    keypoints = np.zeros((1, 17, 3))
    keypoints[0, 0] = 50, 50, 2
    keypoints[0, 1] = 99, 99, 2  # far outside a box of 20 pixels
    table = people_table(tmp_path, ["a.png"], np.array([[40, 40, 20, 20]]), keypoints)
    (batch,) = batches(table, augmentation=None, batch_size=1)
    assert batch.present[0].nonzero().flatten().tolist() == [0]
    assert batch.supervised[0].nonzero().flatten().tolist() == [0]


def test_hard_negatives_stay_supervised(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((100, 100, 3), np.uint8))
    nothing, everything = np.zeros((1, 17, 3)), np.ones((1, 17), bool)
    table = people_table(tmp_path, ["a.png"], np.array([[40, 40, 20, 20]]), nothing, everything)
    (batch,) = batches(table, batch_size=1)
    assert not batch.present.any()
    assert batch.supervised.all()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_image_that_cannot_be_read_is_named(tmp_path: Path, workers: int):
    table = noise_people(tmp_path, 4)
    whole = (tmp_path / "1.jpg").read_bytes()
    (tmp_path / "1.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"1\.jpg: not a readable JPEG: Premature end"):
        batches(table, workers=workers)


def test_data_seconds_are_the_time_waited(tmp_path: Path):
    assert all(0 < batch.data_seconds < 10 for batch in batches(noise_people(tmp_path, 4)))


def test_pace_in_words():
    words = pace(samples=640, batches=20, seconds=8.0, waited=2.0)
    assert words == "80.0 samples/s; a batch takes 400 ms, 100 ms of it waiting for data (25%)"
    assert pace(0, 0, 0.0, 0.0).startswith("0.0 samples/s")
