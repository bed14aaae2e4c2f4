"""A teacher from outside, from its file to U: planted offsets and errors are found, and its people end up in U."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from model import build, checkpoints
from model.export import export
from pipeline import layout
from pipeline.learning.ensemble import FuseShard
from pipeline.progress import Progress
from pipeline.records.artefacts import read_json
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import TableInfo, read_table, table_from, to_numpy, write_table
from pipeline.settings import OutsideTeacher, Params, load_params
from pipeline.settings.profile import PROFILES
from pipeline.steps import ask_teachers, pseudo_label
from tests.model.conftest import with_random_statistics

COCO = load_keypoint_set("coco")
PEOPLE, OFFSET = 200, np.array([0.0, 0.04])  # lower, by a twenty-fifth of the person
BOX = np.array([10.0, 10, 100, 160])
SIZE = np.sqrt(BOX[2] * BOX[3])


@pytest.fixture
def truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Two sources, the second without labels, and a teacher that is right as often as its score says."""
    monkeypatch.chdir(tmp_path)
    random, found = np.random.default_rng(0), {}
    Path("card.yaml").write_text(f"names: [{', '.join(reversed(COCO.names[5:]))}]\nscore: its own\nlicence: CC0\n")
    Path("said").mkdir()
    for source in ("train", "unlabeled"):
        names = [f"{i:03d}.png" for i in range(PEOPLE)]
        Path(source).mkdir()
        for name in names:
            cv2.imwrite(f"{source}/{name}", np.zeros((180, 120), np.uint8))
        points = random.uniform(10, 110, (PEOPLE, 17, 2))
        found[source] = points
        scores = random.choice([0.5, 0.95], (PEOPLE, 17))
        wrong = random.random((PEOPLE, 17)) > scores
        said = points + OFFSET * SIZE + wrong[:, :, None] * np.array([0, 300.0]) + random.normal(0, 0.5, points.shape)
        triples = np.concatenate([said, scores[:, :, None]], 2)[:, :4:-1]
        records = [
            {"file_name": name, "bbox": BOX.tolist(), "keypoints": person.reshape(-1).tolist()}
            for name, person in zip(names, triples, strict=True)
        ]
        Path(f"said/{source}.json").write_text(json.dumps(records))
        info = TableInfo("coco", {source: source})
        common = {
            "image_id": [f"{source}:{name}" for name in names],
            "source": [source] * PEOPLE,
            "file_name": names,
            "width": [120] * PEOPLE,
            "height": [180] * PEOPLE,
        }
        write_table(layout.images(source), table_from("images", common, info))
        boxes = np.tile(BOX.astype(np.float32), (PEOPLE, 1))
        if source == "train":
            labelled = {
                "instance_id": [f"train:{i}" for i in range(PEOPLE)],
                "kind": ["labelled"] * PEOPLE,
                "area": np.full(PEOPLE, SIZE**2),
                "iscrowd": np.zeros(PEOPLE, bool),
                "keypoints": np.concatenate([points, np.full((PEOPLE, 17, 1), 2)], 2).reshape(PEOPLE, -1),
                "supervised": np.ones((PEOPLE, 17), bool),
                "bbox": boxes,
            }
            write_table(layout.instances(source), table_from("instances", common | labelled, info))
        else:
            detected = {
                "detection_id": [f"d{i}" for i in range(PEOPLE)],
                "bbox": boxes,
                "score": np.ones(PEOPLE),
                "detector": ["d"] * PEOPLE,
            }
            write_table(layout.detections(source), table_from("detections", common | detected, info))
    return found


def settings(threshold: object, weigh: bool = True) -> Params:
    built_in = load_params(PROFILES / "built-in.yaml")
    teacher = OutsideTeacher(
        card="card.yaml", path="said", files={"train": "train.json", "unlabeled": "unlabeled.json"}, weight=1.0
    )
    labels = built_in.pseudo_label.model_dump() | {
        "keypoint_threshold": threshold, "fusion": "agreement", "weigh": weigh,
    }  # fmt: skip
    return built_in.model_copy(
        update={
            "pseudo_label": type(built_in.pseudo_label)(**labels),
            "train_teachers": built_in.train_teachers.model_copy(update={"models": {}}),
            "ask_teachers": {"they": teacher},
        }
    )


def test_from_its_file_to_u(truth: dict[str, np.ndarray]):
    params = settings(0.3)
    ask_teachers.run(params, Progress(), "they")
    figures = read_json(layout.figures("ask_teachers", "they"))
    assert figures["keypoints"] == list(COCO.names[5:])
    for name in COCO.names[5:]:
        assert figures["offsets"][name] == pytest.approx([0, 0.04], abs=0.003)
    assert figures["offsets"]["nose"] == [0, 0]
    assert figures["right"] == pytest.approx(0.725, abs=0.03)
    assert figures["calibration_error"] < 0.05

    pseudo_label.run(params, Progress(), "unlabeled")
    u = read_table(layout.letter("U", "unlabeled"), "instances")
    supervised, weight = to_numpy(u, "supervised"), to_numpy(u, "weight")
    assert u.num_rows == PEOPLE
    assert not supervised[:, :5].any(), "it knows no face"
    assert (weight[~supervised] == 0).all()
    points = to_numpy(u, "keypoints").reshape(PEOPLE, 17, 3)[:, :, :2]
    right = np.hypot(*np.moveaxis(points - truth["unlabeled"], 2, 0)) < 10
    assert right[supervised].mean() == pytest.approx(weight[supervised].mean(), abs=0.03), "as likely as is said"
    sure = weight > 0.8
    assert right[sure].mean() == pytest.approx(0.95, abs=0.03)
    found = read_json(layout.figures("pseudo_label", "unlabeled"))
    assert found["calibration_error"] < 0.05
    assert found["score_quantiles"]["left_hip"]["0.95"] > found["score_quantiles"]["left_hip"]["0.05"]


@pytest.mark.parametrize("target", [0.8, 0.9])
def test_a_target_precision_is_met_where_nobody_knew(truth: dict[str, np.ndarray], target: float):
    params = settings({"mode": "precision", "value": target}, weigh=False)
    ask_teachers.run(params, Progress(), "they")
    pseudo_label.run(params, Progress(), "unlabeled")
    u = read_table(layout.letter("U", "unlabeled"), "instances")
    supervised = to_numpy(u, "supervised")
    assert (to_numpy(u, "weight") == supervised).all(), "chosen, not weighed"
    rows = [int(name.removeprefix("d")) for name in u["instance_id"].to_pylist()]
    points = to_numpy(u, "keypoints").reshape(len(rows), 17, 3)[:, :, :2]
    right = np.hypot(*np.moveaxis(points - truth["unlabeled"][rows], 2, 0)) < 10
    assert right[supervised].mean() == pytest.approx(target, abs=0.03)


def test_a_quantile_leaves_out_that_share_of_each_keypoint(truth: dict[str, np.ndarray]):
    scores = np.random.default_rng(0).random((100, 3)) * np.array([1, 0.1, 0.01])
    params = settings({"mode": "quantile", "value": 0.4})
    kept = pseudo_label.chosen_keypoints(params.pseudo_label.cut, scores, None)
    assert kept.sum(0).tolist() == [60, 60, 60]


SMALL = {"backbone": "resnet10t", "input_size": (96, 64), "mixers": (8, 8, 8), "auxiliary": False, "weights": "none"}
NETWORK = """\
network:
  {input: crops, input_size: [96, 64], layout: NCHW, channels: RGB, mean: [0, 0, 0], std: [1, 1, 1], padding: 1.25,
   fit: grow, output: heatmaps, outputs: [heatmaps]}
"""


@pytest.mark.slow
def test_a_network_of_ours_says_what_our_teacher_says(truth: dict[str, np.ndarray]):
    """Exported and asked as somebody else's, with the flip test; C's labels lie a known offset from what it says."""
    random = np.random.default_rng(0)
    for source in truth:
        for path in sorted(Path(source).iterdir()):
            coarse = random.integers(0, 255, (9, 6, 3), dtype=np.uint8)
            cv2.imwrite(str(path), cv2.resize(coarse, (120, 180), interpolation=cv2.INTER_CUBIC))
    torch.manual_seed(0)
    network = with_random_statistics(build(SMALL, 17)).eval()
    checkpoints.save(
        network, layout.teacher("own"), {"keypoint_names": list(COCO.names), "padding": 1.25, "trained_on": "nothing"}
    )
    export(network, "nets/own.onnx")
    Path("card.yaml").write_text(
        f"names: [{', '.join(COCO.names)}]\nscore: height of its heatmap\nlicence: CC0\n{NETWORK}"
    )
    params = settings(0.3)
    theirs = OutsideTeacher(card="card.yaml", path="nets", network="own.onnx", weight=1.0)
    params = params.model_copy(update={"ask_teachers": {"they": theirs}})
    params.data.labelled[:], params.data.validation[:], params.pseudo_label.sources[:] = (
        ["train"],
        ["train"],
        ["unlabeled"],
    )

    ours = {}
    for source, table in (("train", "instances"), ("unlabeled", "detections")):
        people = read_table(getattr(layout, table)(source), table)
        label = FuseShard(
            "own", people, (layout.teacher("own"),), COCO, params.pseudo_label.decoding, 32, params.compute, "agreement"
        )
        ours[source] = label.read([label((0, PEOPLE))]).points
    labelled = read_table(layout.instances("train"), "instances")
    columns = {name: labelled[name] for name in labelled.column_names}
    triples = np.concatenate([ours["train"] - OFFSET * SIZE, np.full((PEOPLE, 17, 1), 2)], 2)
    columns |= {"keypoints": triples.reshape(PEOPLE, -1).astype(np.float32)}
    write_table(layout.instances("train"), table_from("instances", columns, TableInfo("coco", {"train": "train"})))

    ask_teachers.run(params, Progress(), "they")
    figures = read_json(layout.figures("ask_teachers", "they"))
    for name in COCO.names:
        assert figures["offsets"][name] == pytest.approx(OFFSET, abs=0.001)
    assert figures["right"] == 1
    answers = read_table(layout.outside("they", "unlabeled"), "answers")
    said = to_numpy(answers, "keypoints").reshape(PEOPLE, 17, 3)
    np.testing.assert_allclose(said[:, :, :2], ours["unlabeled"] - OFFSET * SIZE, atol=0.5)
    assert (said[:, :, 2] > 0.99).all()
    assert read_table(layout.outside("they", "train"), "answers")["person_id"].to_pylist()[:2] == ["train:0", "train:1"]
