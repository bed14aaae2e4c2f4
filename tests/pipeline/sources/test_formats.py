"""Every format from a small file of its own, written here as its publisher's documentation has it."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import to_numpy
from pipeline.settings import Source
from pipeline.sources.formats import yolo
from pipeline.sources.recognise import recognise
from tests.pipeline.sources.small import coco_content, ingested, write_coco, write_images

PARTS = ["snout", "left_ear", "right_ear"]


def own_set(folder: Path, names: list[str]) -> str:
    (folder / "own.yaml").write_text(yaml.safe_dump({"names": names}))
    return str(folder / "own.yaml")


def points(tables: dict[str, Any]) -> np.ndarray:
    """[N, K, 3]"""
    return to_numpy(tables["instances"], "keypoints").reshape(tables["instances"].num_rows, -1, 3)


def test_wholebody_joins_its_lists(tmp_path: Path):
    content = coco_content()
    first, *_ = content["annotations"]
    first |= {"foot_kpts": [5, 6, 2.0] * 6, "face_kpts": [7, 8, 0.9] * 68, "lefthand_kpts": [9, 9, 0] * 21}
    source = write_coco(tmp_path / "set", content)
    tables = ingested(source.model_copy(update={"format": "wholebody", "keypoints": "wholebody"}))
    triples = points(tables)
    assert triples.shape == (3, 133, 3)
    assert triples[0, 17:23].tolist() == [[5, 6, 2]] * 6
    assert triples[0, 23:91].tolist() == [[7, 8, 2]] * 68
    assert not triples[0, 91:].any()
    about = recognise(source.index)
    assert (about.format, about.people, about.images) == ("wholebody", 3, 3)
    assert about.names == load_keypoint_set("wholebody").names


@pytest.mark.parametrize(("format", "keypoints"), [("crowdpose", 14), ("ap10k", 17), ("halpe", 136)])
def test_dialects_of_coco(tmp_path: Path, format: str, keypoints: int):
    content = coco_content(keypoints=format)
    content["annotations"][1]["area"] = 0
    source = write_coco(tmp_path / "set", content).model_copy(update={"format": format, "keypoints": format})
    tables = ingested(source)
    assert points(tables).shape == (3, keypoints, 3)
    assert tables["figures"]["derived"] == {"areas of 0, taken as absent": 1}


def write_yolo(folder: Path) -> None:
    """Two pictures of 64 x 48, the first with a person from (16, 12) to (48, 36)."""
    for split in ("train", "val"):
        write_images(folder / "images" / split, 2)
        (folder / "labels" / split).mkdir(parents=True)
    (folder / "labels/train/1.txt").write_text("0 0.5 0.5 0.5 0.5 0.25 0.25 2 0.5 0.5 1 0 0 0\n1 0.5 0.5 1 1 0 0 0\n")
    about = {"path": "/elsewhere", "train": "images/train", "val": "images/val", "kpt_shape": [3, 3]}
    about |= {"flip_idx": [0, 2, 1], "names": {0: "dog", 1: "cat"}, "kpt_names": {0: PARTS}}
    (folder / "data.yaml").write_text(yaml.safe_dump(about))


@pytest.mark.parametrize(("index", "images"), [("labels/train", 2), ("data.yaml", 4), ("", 4)])
def test_yolo(tmp_path: Path, index: str, images: int):
    write_yolo(tmp_path / "set")
    keypoints = own_set(tmp_path, PARTS)
    source = Source(
        format="yolo", index=f"set/{index}".rstrip("/"), images="set/images", keypoints=keypoints, categories=["dog"]
    )
    tables = ingested(source)
    assert tables["images"].num_rows == images
    assert points(tables).tolist() == [[[16, 12, 2], [32, 24, 1], [0, 0, 0]]]
    assert to_numpy(tables["instances"], "bbox").tolist() == [[16, 12, 32, 24]]
    assert tables["figures"]["left_out"] == {"other_categories": 1}
    about = recognise("set")
    assert (about.format, about.names, about.categories, about.images) == ("yolo", tuple(PARTS), ("dog", "cat"), 4)


def test_yolo_names_a_line_that_is_none(tmp_path: Path):
    write_yolo(tmp_path / "set")
    (tmp_path / "set/labels/train/2.txt").write_text("0 0.5 0.5\n\n0 a b\n")
    source = Source(format="yolo", index="set/labels/train", images="set/images", keypoints=own_set(tmp_path, PARTS))
    aside = ingested(source)["quarantine"].to_pylist()
    assert [row["record"] for row in aside] == ["annotation train/1.jpg:2", "annotation train/2.jpg:1",
                                                "annotation train/2.jpg:3"]  # fmt: skip


def test_yolo_written_is_what_was_read(tmp_path: Path):
    tables = ingested(write_coco(tmp_path / "set", coco_content()))
    yolo.write_labels(tmp_path / "out/labels", tables["instances"])
    shutil.copytree(tmp_path / "set/images", tmp_path / "out/images")
    text = yolo.description(tables["instances"], "images", "images")
    (tmp_path / "out/data.yaml").write_text(text)
    assert yaml.safe_load(text)["flip_idx"] == load_keypoint_set("coco").mirror.tolist()
    again = ingested(Source(format="yolo", index="out/labels", images="out/images", keypoints="coco"))
    for column in ("bbox", "keypoints"):
        np.testing.assert_allclose(
            to_numpy(again["instances"], column), to_numpy(tables["instances"], column), atol=1e-3
        )


def test_mpii(tmp_path: Path):
    write_images(tmp_path / "images", 1)
    person = {"image": "1.jpg", "joints": [[11 + k, 21 + k] for k in range(16)], "joints_vis": [1] * 15 + [0]}
    broken = person | {"joints": [[1, 2]] * 15}
    (tmp_path / "mpii.json").write_text(json.dumps([person | {"center": [1, 2], "scale": 1.0}, broken]))
    tables = ingested(Source(format="mpii", index="mpii.json", images="images", keypoints="mpii"))
    assert points(tables)[0, 0].tolist() == [10, 20, 2]  # MPII counts from 1
    assert points(tables)[0, 15].tolist() == [0, 0, 0]
    assert tables["quarantine"].num_rows == 1
    assert tables["figures"]["derived"] == {"boxes derived from the keypoints": 1}
    about = recognise("mpii.json")
    assert (about.format, about.people, about.images) == ("mpii", 2, 1)


@pytest.mark.parametrize("format", ["deeplabcut", "lightning_pose"])
@pytest.mark.parametrize("split_path", [True, False])
def test_deeplabcut(tmp_path: Path, format: str, split_path: bool):
    write_images(tmp_path / "labeled-data/video", 2)
    leading = ["labeled-data", "video", "1.jpg"] if split_path else ["labeled-data/video/1.jpg"]
    blank = [""] * (len(leading) - 1)
    lines = [
        ["scorer", *blank, *["me"] * 6],
        ["bodyparts", *blank, *[part for part in PARTS[::-1] for _ in "xy"]],  # in another order than the set
        ["coords", *blank, *["x", "y"] * 3],
        [*leading, "30", "20", "", "", "10.5", "12"],
    ]
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    source = Source(format=format, index="labels.csv", images=".", keypoints=own_set(tmp_path, PARTS))
    assert points(ingested(source)).tolist() == [[[10.5, 12, 2], [0, 0, 0], [30, 20, 2]]]
    assert recognise("labels.csv").names == tuple(PARTS[::-1])
    other = source.model_copy(update={"keypoints": own_set(tmp_path, ["snout", "left_ear", "tail"])})
    with pytest.raises(ValueError, match=r"labels.csv: its body parts are not .*'right_ear' there is 'tail' here"):
        ingested(other)


def test_several_animals_of_deeplabcut(tmp_path: Path):
    write_images(tmp_path, 1)
    lines = [["scorer", *["me"] * 12], ["individuals", *["a"] * 6, *["b"] * 6],
             ["bodyparts", *[part for part in PARTS * 2 for _ in "xy"]], ["coords", *["x", "y"] * 6],
             ["1.jpg", *map(str, range(1, 7)), *[""] * 6]]  # fmt: skip
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    tables = ingested(Source(format="deeplabcut", index="labels.csv", images=".", keypoints=own_set(tmp_path, PARTS)))
    assert points(tables).tolist() == [[[1, 2, 2], [3, 4, 2], [5, 6, 2]]]


def test_label_studio(tmp_path: Path):
    write_images(tmp_path / "images", 1)

    def result(kind: str, identity: str, label: str, parent: str = "", **value: float) -> dict[str, Any]:
        size = {"original_width": 64, "original_height": 48}
        entry = {"id": identity, "type": kind, **size, "value": value | {kind: [label]}}
        return entry | ({"parentID": parent} if parent else {})

    results = [
        result("rectanglelabels", "r1", "dog", x=0, y=0, width=50, height=100),
        result("rectanglelabels", "r2", "dog", x=50, y=0, width=50, height=100),
        result("keypointlabels", "k1", "snout", x=25, y=50, width=1),
        result("keypointlabels", "k2", "snout", x=25, y=25, width=1, parent="r2"),
        result("keypointlabels", "k3", "tail", x=25, y=25, width=1),
    ]
    cancelled = {"was_cancelled": True, "result": []}
    task = {
        "id": 7,
        "data": {"image": "/data/upload/1/0123abcd-1.jpg"},
        "annotations": [cancelled, {"result": results}],
    }
    (tmp_path / "tasks.json").write_text(json.dumps([task]))
    source = Source(format="label_studio", index="tasks.json", images="images", keypoints=own_set(tmp_path, PARTS))
    tables = ingested(source)
    assert points(tables)[:, 0].tolist() == [[16, 24, 2], [16, 12, 2]]
    assert to_numpy(tables["instances"], "bbox").tolist() == [[0, 0, 32, 48], [32, 0, 32, 48]]
    assert tables["figures"]["left_out"] == {"points called tail": 1}
    assert recognise("tasks.json").names == ("snout", "tail")
