from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.learning.data import batches, inference_batches
from pipeline.records.images import ImageReader
from postproc.coordinates import crop_transforms
from tests.pipeline.learning.data.people import noise_people

SETTINGS = {"input_size": (96, 72), "padding": 1.25}


def test_every_row_once_and_every_file_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    table = noise_people(tmp_path, 12)
    table = table.take(np.random.default_rng(0).permutation(12))
    reads = []
    read = ImageReader.read

    def counted(self: ImageReader, path: str, *arguments: int, **options: int) -> np.ndarray:
        reads.append(path)
        return read(self, path, *arguments, **options)

    monkeypatch.setattr(batches.ImageReader, "read", counted)
    made = list(inference_batches(table, input_size=(256, 192), padding=1.25, batch_size=5))
    rows = torch.cat([batch.rows for batch in made])
    assert sorted(rows.tolist()) == list(range(12))
    assert len(reads) == len(set(reads)) == 6
    boxes = np.stack(table["bbox"].to_numpy())
    transforms = torch.cat([batch.transforms for batch in made]).numpy()
    np.testing.assert_array_equal(transforms, crop_transforms(boxes[rows.numpy()], (256, 192), 1.25))


def test_a_crop_does_not_depend_on_its_company(tmp_path: Path):
    table = noise_people(tmp_path, 12)
    (together,) = inference_batches(table, **SETTINGS, batch_size=12)
    for row in (3, 7):
        (alone,) = inference_batches(table.slice(row, 1), **SETTINGS, batch_size=1)
        assert torch.equal(alone.images[0], together.images[together.rows.tolist().index(row)])


def test_a_crowd_larger_than_a_batch_and_no_rows(tmp_path: Path):
    table = noise_people(tmp_path, 2)
    crowd = table.take([0, 1, 0, 1, 0, 1, 0])
    sizes = [len(batch.rows) for batch in inference_batches(crowd, **SETTINGS, batch_size=3)]
    assert sizes == [3, 3, 1]
    assert len(inference_batches(table.slice(0, 0), **SETTINGS, batch_size=3)) == 0
    assert list(inference_batches(table.slice(0, 0), **SETTINGS, batch_size=3)) == []
