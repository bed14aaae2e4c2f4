from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline import layout
from pipeline.learning.ensemble import FusedPoses, FuseShard
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import TableInfo, table_from, to_numpy, write_table
from pipeline.settings import Params, load_params
from pipeline.settings.profile import PROFILES
from pipeline.steps import pseudo_label
from pipeline.steps.pseudo_label import label_figures, labelled_by_hand, pseudo_labels

SCORES = np.array([[0.95] * 6 + [0.1] * 11, [0.95] * 3 + [0.899] * 14, [0.9] * 17])


@pytest.fixture
def params(monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.setattr(pseudo_label, "provenance", lambda settings, inputs: {})
    built_in = load_params(PROFILES / "built-in.yaml")
    settings = built_in.pseudo_label.model_copy(update={"keypoint_threshold": 0.9, "min_keypoints": 4})
    return built_in.model_copy(update={"pseudo_label": settings})


def detections(images: list[str]) -> pa.Table:
    rows = len(images)
    columns = {
        "detection_id": [f"d{i}" for i in range(rows)],
        "image_id": images,
        "source": ["unlabeled"] * rows,
        "file_name": [f"{name}.jpg" for name in images],
        "width": [100] * rows,
        "height": [100] * rows,
        "bbox": np.tile(np.float32([0, 0, 20, 80]), (rows, 1)),
        "score": np.linspace(0.99, 0.999, rows),
        "detector": ["d"] * rows,
    }
    return table_from("detections", columns, TableInfo("coco", {"unlabeled": "images"}))


def poses(spread: np.ndarray | None = None) -> FusedPoses:
    points = np.arange(3 * 17 * 2, dtype=float).reshape(3, 17, 2)
    return FusedPoses(np.arange(3), points, SCORES, np.zeros((3, 17)) if spread is None else spread)


def test_keypoints_below_the_threshold_are_neither_labelled_nor_supervised(params: Params) -> None:
    table = pseudo_labels(params, detections(["a", "a", "b"]), poses(), ["t:1", "s:2"])
    assert table["instance_id"].to_pylist() == ["d0", "d2"], "the second has three keypoints, four are required"
    assert (to_numpy(table, "supervised") == (SCORES[[0, 2]] >= 0.9)).all()
    triples = to_numpy(table, "keypoints").reshape(2, 17, 3)
    assert ((triples[:, :, 2] > 0) == (SCORES[[0, 2]] >= 0.9)).all()
    assert (triples[0, 5, :2] == [10, 11]).all()
    assert (triples[0, 6] == 0).all()
    assert (to_numpy(table, "weight") == to_numpy(table, "supervised")).all(), "the paper's keypoints all count alike"
    assert to_numpy(table, "keypoint_scores") == pytest.approx(SCORES[[0, 2]])
    assert set(table["teacher"].to_pylist()) == {"t:1 s:2"}
    assert set(table["kind"].to_pylist()) == {"pseudo"}


def test_no_people_make_an_empty_table(params: Params) -> None:
    names, settings = load_keypoint_set(params.data.keypoints), params.pseudo_label.decoding
    nobody = FuseShard("none", detections([]), (), names, settings, 1, params.compute).read([])
    table = pseudo_labels(params, detections([]), nobody, [])
    assert table.num_rows == 0
    assert label_figures(params, table, nobody, detections([]))["rows"] == 0


def test_what_to_annotate_next_is_where_teachers_disagree(params: Params) -> None:
    spread = np.zeros((3, 17))
    spread[1, 9] = 40.0
    people = detections(["a", "a", "b"])
    table = pseudo_labels(params, people, poses(spread), [])
    figures = label_figures(params, table, poses(spread), people)
    first = figures["annotate_next"][0]
    assert (first["keypoint"], first["file_name"]) == ("left_wrist", "a.jpg")
    assert first["disagreement"] == pytest.approx(40 / np.sqrt(20 * 80) / 17, rel=1e-4)
    assert max(figures["disagreement_by_keypoint"], key=figures["disagreement_by_keypoint"].get) == "left_wrist"
    assert sum(figures["score_histogram"]) == 3 * 17


def test_people_labelled_by_hand_are_left_out(params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """IoU of 20 x 80 with the same moved by x: (20 - x) / (20 + x). By 6 it is 0.54, by 8 it is 0.43; crowds count."""
    monkeypatch.chdir(tmp_path)
    boxes = np.float32([[6, 0, 20, 80], [8, 0, 20, 80], [0, 0, 20, 80]])
    columns = {
        "instance_id": ["c:1", "c:2", "c:3"], "image_id": ["c:a", "c:b", "c:c"], "source": ["c"] * 3,
        "file_name": ["a.jpg", "b.jpg", "c.jpg"], "kind": ["labelled"] * 3, "width": [100] * 3, "height": [100] * 3,
        "bbox": boxes, "area": [1600.0] * 3, "iscrowd": [False, False, True], "keypoints": np.zeros((3, 51)),
        "supervised": np.ones((3, 17), bool),
    }  # fmt: skip
    for name, root in (("c", "images"), ("elsewhere", "others")):  # the same names in another folder are other pictures
        write_table(layout.instances(name), table_from("instances", columns, TableInfo("coco", {"c": root})))
    corrected = params.model_copy(update={"data": params.data.model_copy(update={"corrected": ["c"]})})
    assert labelled_by_hand(corrected, detections(["a", "b", "c", "d"])).tolist() == [True, False, True, False]
    other = params.model_copy(update={"data": params.data.model_copy(update={"corrected": ["elsewhere"]})})
    assert not labelled_by_hand(other, detections(["a", "b", "c", "d"])).any()


def test_a_person_labelled_by_hand_is_known_by_id_too(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The box was drawn anew, 8 to the right (IoU 0.43) or nowhere near: the latter is another detector's person."""
    monkeypatch.chdir(tmp_path)
    people = detections(["a", "b"])
    columns = {
        "instance_id": [f"c:{person}" for person in people["detection_id"].to_pylist()], "image_id": ["c:a", "c:b"],
        "source": ["c"] * 2, "file_name": ["a.jpg", "b.jpg"], "kind": ["labelled"] * 2, "width": [100] * 2,
        "height": [100] * 2, "bbox": np.float32([[8, 0, 20, 80], [60, 0, 20, 80]]), "area": [1600.0] * 2,
        "iscrowd": [False] * 2, "keypoints": np.zeros((2, 51)), "supervised": np.ones((2, 17), bool),
    }  # fmt: skip
    write_table(layout.instances("c"), table_from("instances", columns, TableInfo("coco", {"c": "images"})))
    corrected = params.model_copy(update={"data": params.data.model_copy(update={"corrected": ["c"]})})
    assert labelled_by_hand(corrected, people).tolist() == [True, False]
