from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.records.alignment import align
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import TableInfo, table_from, table_info, to_numpy

AIC, COCO = load_keypoint_set("aic"), load_keypoint_set("coco")


def aic_people(rows: int = 4):
    random = np.random.default_rng(0)
    keypoints = random.uniform(0, 100, (rows, 14, 3)).astype(np.float32)
    keypoints[:, :, 2] = random.integers(0, 3, (rows, 14))
    columns = {
        "instance_id": [f"a:{i}" for i in range(rows)],
        "image_id": ["a:0"] * rows,
        "source": ["a"] * rows,
        "file_name": ["0.jpg"] * rows,
        "kind": ["labelled"] * rows,
        "width": [640] * rows,
        "height": [480] * rows,
        "bbox": np.tile(np.float32([1, 2, 3, 4]), (rows, 1)),
        "area": np.full(rows, 12.0),
        "iscrowd": np.zeros(rows, bool),
        "keypoints": keypoints.reshape(rows, -1),
        "supervised": keypoints[:, :, 2] > 0,
        "keypoint_scores": random.uniform(0, 1, (rows, 14)).astype(np.float32),
    }
    return table_from("instances", columns, TableInfo("aic", {"a": "images"})), keypoints


def test_every_keypoint_by_name():
    table, keypoints = aic_people()
    aligned = align(table, COCO, {"made": "by"})
    points = to_numpy(aligned, "keypoints").reshape(-1, 17, 3)
    supervised, scores = to_numpy(aligned, "supervised"), to_numpy(aligned, "keypoint_scores")
    for k, name in enumerate(COCO.names):
        if name in AIC.names:
            own = AIC.names.index(name)
            np.testing.assert_array_equal(points[:, k], keypoints[:, own])
            np.testing.assert_array_equal(supervised[:, k], keypoints[:, own, 2] > 0)
            np.testing.assert_array_equal(scores[:, k], to_numpy(table, "keypoint_scores")[:, own])
        else:
            assert not points[:, k].any()
            assert not supervised[:, k].any()
            assert np.isnan(scores[:, k]).all()
    assert table_info(aligned) == TableInfo("coco", {"a": "images"}, {"made": "by"})
    assert aligned["bbox"].to_pylist() == table["bbox"].to_pylist()


def test_there_and_back_keeps_what_both_have():
    table, keypoints = aic_people()
    back = align(align(table, COCO, {}), AIC, {})
    shared = [i for i, name in enumerate(AIC.names) if name in COCO.names]
    returned = to_numpy(back, "keypoints").reshape(-1, 14, 3)
    np.testing.assert_array_equal(returned[:, shared], keypoints[:, shared])


def test_sets_without_a_common_name(tmp_path: Path):
    (tmp_path / "bird.yaml").write_text("names: [beak]")
    with pytest.raises(ValueError, match=r"share no name: right_shoulder.*against beak"):
        align(aic_people()[0], load_keypoint_set(str(tmp_path / "bird.yaml")), {})


def test_no_rows():
    assert align(aic_people()[0].slice(0, 0), COCO, {}).num_rows == 0
