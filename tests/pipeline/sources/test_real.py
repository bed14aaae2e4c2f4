"""The real samples: counts as published with them, and one hand-checked person a source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.records.alignment import align
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import keypoint_set, to_numpy
from pipeline.settings import Source
from tests.pipeline.sources.small import REAL, ingested, needs_real

pytestmark = needs_real
AIC = Source(
    format="aic",
    index=f"{REAL}/aic/keypoint_train_annotations_20170902.json",
    images=f"{REAL}/aic/images",
    keypoints="aic",
)


def coco(split: str) -> Source:
    return Source(
        format="coco",
        index=f"{REAL}/coco/annotations/person_keypoints_{split}2017.json",
        images=f"{REAL}/coco/{split}2017",
        keypoints="coco",
    )


def person(tables: dict, identity: str) -> dict:
    (row,) = [r for r in tables["instances"].to_pylist() if r["instance_id"] == identity]
    names = keypoint_set(tables["instances"]).names
    triples = np.array(row["keypoints"]).reshape(-1, 3).round(2).tolist()
    return row | {"named": dict(zip(names, triples, strict=True))}


@pytest.mark.parametrize(
    ("split", "images", "people", "with_keypoints", "crowds"), [("train", 80, 172, 86, 5), ("val", 79, 118, 68, 1)]
)
def test_coco(split: str, images: int, people: int, with_keypoints: int, crowds: int):
    tables = ingested(coco(split), check_images=True, max_bad_share=0.0)
    figures = tables["figures"]
    assert tables["images"].num_rows == tables["manifest"].num_rows == images
    assert tables["instances"].num_rows == tables["masks"].num_rows == people
    assert (figures["people_with_keypoints"], figures["crowds"]) == (with_keypoints, crowds)
    assert figures["records"] == images + people
    assert tables["quarantine"].num_rows == 0


def test_a_coco_person_by_hand():
    found = person(ingested(coco("train")), "it:441444")
    assert found["image_id"] == "it:535506"
    assert found["file_name"] == "000000535506.jpg"
    np.testing.assert_allclose(found["bbox"], [120.46, 133.32, 212.31, 498.58], atol=1e-4)
    assert found["area"] == pytest.approx(52634.3678)
    assert found["named"]["nose"] == [281, 240, 2]
    assert found["named"]["left_shoulder"] == [231, 246, 2]
    assert found["named"]["left_ear"] == [0, 0, 0]
    assert sum(found["supervised"]) == 15


def test_aic_and_its_alignment():
    tables = ingested(AIC, max_bad_share=0.0)
    assert tables["images"].num_rows == tables["instances"].num_rows == 1500
    found = person(tables, "it:01379/human1")
    assert found["file_name"] == "01379.jpg"
    assert found["bbox"] == [18, 70, 119, 189]  # published as the corners 18, 70, 137, 259
    assert found["area"] == pytest.approx(0.53 * 119 * 189)
    assert found["named"]["right_shoulder"] == [54, 200, 2]
    assert found["named"]["left_knee"] == [0, 0, 0]  # published as 0, 0, 3
    assert found["named"]["neck"] == [70, 212, 2]
    aligned = align(tables["instances"], load_keypoint_set("coco"), {})
    row = next(r for r in aligned.to_pylist() if r["instance_id"] == "it:01379/human1")
    points = dict(zip(load_keypoint_set("coco").names, np.array(row["keypoints"]).reshape(17, 3).tolist(), strict=True))
    supervised = dict(zip(load_keypoint_set("coco").names, row["supervised"], strict=True))
    shared = [f"{side}_{joint}" for side in ("left", "right") for joint in
              ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")]  # fmt: skip
    for name in shared:
        assert points[name] == found["named"][name]
        assert supervised[name] == (points[name][2] > 0)
    for name in ("nose", "left_eye", "right_eye", "left_ear", "right_ear"):
        assert points[name] == [0, 0, 0]
        assert not supervised[name]


@pytest.mark.parametrize("keypoints", ["sports.yaml", "lspe"])
def test_anybodys_own_keypoint_set(tmp_path: Path, keypoints: str):
    built_in = Path(__file__).resolve().parents[3] / "pipeline/keypoint_sets/aic.yaml"
    (tmp_path / "sports.yaml").write_text(built_in.read_text().replace("top_of_head", "head_top"))
    for split, count in (("train", 1000), ("val", 800)):
        source = Source(
            format="coco",
            index=f"{REAL}/lspe/annotations/keypoints_{split}.json",
            images=f"{REAL}/lspe/{split}",
            keypoints=keypoints,
        )
        tables = ingested(source, max_bad_share=0.0)
        assert tables["images"].num_rows == tables["instances"].num_rows == count
        assert len(keypoint_set(tables["instances"])) == 14
        assert to_numpy(tables["instances"], "keypoints").shape == (count, 42)
        if split == "train":
            found = person(tables, "it:1")
            np.testing.assert_allclose(found["bbox"], [60.5, 20.5, 119.7, 154.4], atol=1e-4)
            np.testing.assert_allclose(found["named"]["head_top"], [117.1, 43.5, 2], atol=1e-3)


def test_declaring_the_wrong_set_stops():
    source = Source(
        format="coco", index=f"{REAL}/lspe/annotations/keypoints_val.json", images=f"{REAL}/lspe/val", keypoints="aic"
    )
    with pytest.raises(ValueError, match="'aic': 'head_top' there is 'top_of_head' here"):
        ingested(source)


def test_a_folder():
    folder = f"{REAL}/lspe/unlabeled"
    tables = ingested(Source(format="folder", index=folder, images=folder, keypoints="coco"), max_bad_share=0.0)
    assert tables["images"].num_rows == 2700
    assert tables["instances"].num_rows == 0
    first = tables["images"].to_pylist()[0]
    assert (first["image_id"], first["file_name"]) == ("it:00001.jpg", "00001.jpg")


def test_ochuman():
    tables = ingested(
        Source(
            format="ochuman",
            index=f"{REAL}/ochuman/ochuman_coco_format_val_range_0.00_1.00.json",
            images=f"{REAL}/ochuman/images",
            keypoints="coco",
        ),
        max_bad_share=0.0,
    )
    found = person(tables, "it:1")
    assert tables["instances"].num_rows == 1
    assert found["bbox"] == [250, 112, 475, 751]
    assert found["named"]["left_shoulder"] == [478, 258, 2]
    assert found["named"]["left_elbow"] == [577, 287, 1]
    assert tables["masks"].num_rows == 1


def test_posetrack():
    source = Source(
        format="posetrack",
        index=f"{REAL}/posetrack18/annotations/val",
        images=f"{REAL}/posetrack18",
        keypoints="posetrack",
    )
    tables = ingested(source, max_bad_share=0.0)
    assert tables["images"].to_pylist()[0]["file_name"] == "images/val/003418_mpii_test/000000.jpg"
    people = tables["instances"].to_pylist()
    assert [row["iscrowd"] for row in people] == [False] + [True] * 9  # nine regions to ignore
    found = person(tables, "it:1003418000000")
    assert sum(found["supervised"]) == 11
    assert found["named"]["head_bottom"] == [542.28, 599.29, 2]
    aligned = align(tables["instances"], load_keypoint_set("coco"), {})
    points = np.array(aligned.to_pylist()[0]["keypoints"]).reshape(17, 3)
    coco_set = load_keypoint_set("coco")
    assert points[coco_set.index("nose")].tolist() == [621, 471, 2]
    assert points[coco_set.index("left_hip")].tolist() == [968, 833, 2]
    assert points[coco_set.index("left_ear")].tolist() == [0, 0, 0]
    # 15 joints are labelled in PoseTrack18; all but head_bottom and head_top are COCO's
    posetrack = load_keypoint_set("posetrack")
    assert len(posetrack.positions_in(coco_set)) - 2 == 13  # less the ears, which are never labelled
