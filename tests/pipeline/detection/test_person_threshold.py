"""A target precision of people against detections whose scores are, by construction, as often right as they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline import layout
from pipeline.detection.person_threshold import person_thresholds
from pipeline.records.tables import TableInfo, read_table, table_from, write_table
from pipeline.settings import Params, load_params
from pipeline.settings.profile import PROFILES

PICTURE = 10  # people, side by side, each with the one detection that is meant for it


def asked(value: float) -> Params:
    """The built-in params with this precision of people."""
    built_in = load_params(PROFILES / "built-in.yaml")
    threshold = built_in.pseudo_label.person_threshold.model_copy(update={"mode": "precision", "value": value})
    return built_in.model_copy(
        update={"pseudo_label": built_in.pseudo_label.model_copy(update={"person_threshold": threshold})}
    )


def write_source(source: str, count: int, seed: int, highest: float = 1.0) -> np.ndarray:
    """So many people and detections, of uniform scores that are right as often as they say, or beside. Which are."""
    random = np.random.default_rng(seed)
    scores = (random.random(count) * highest).astype(np.float32)
    right = random.random(count) < scores
    place = np.arange(count) // PICTURE
    pictures = {
        "image_id": [f"{source}:{i}" for i in place], "source": [source] * count,
        "file_name": [f"{i}.jpg" for i in place], "width": [300] * count, "height": [100] * count,
    }  # fmt: skip
    ids = [f"{source}:{i}" for i in range(count)]
    boxes = np.stack(
        [30.0 * (np.arange(count) % PICTURE), np.full(count, 10), np.full(count, 20), np.full(count, 40)], 1
    )
    people = {
        "instance_id": ids, "kind": ["labelled"] * count, "bbox": boxes,
        "area": [800.0] * count, "iscrowd": [False] * count, "keypoints": np.zeros((count, 51)),
        "supervised": np.ones((count, 17), bool),
    }  # fmt: skip
    found = {
        "detection_id": ids, "bbox": np.where(right[:, None], boxes, boxes + np.array([0, 45, 0, 0])), "score": scores,
        "detector": ["person"] * count,
    }  # fmt: skip
    info = TableInfo("coco", {source: "images"})
    write_table(
        layout.images(source),
        table_from("images", {name: column[::PICTURE] for name, column in pictures.items()}, info),
    )
    write_table(layout.instances(source), table_from("instances", pictures | people, info))
    write_table(layout.detections(source), table_from("detections", pictures | found, info))
    return right


@pytest.fixture
def unlabelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Which detections on the unlabelled pictures are right, which nobody is told."""
    monkeypatch.chdir(tmp_path)
    write_source("train", 10, 0)
    write_source("val", 6000, 1)
    return write_source("unlabeled", 6000, 2)


@pytest.mark.parametrize("value", [0.6, 0.8, 0.9])
def test_as_many_are_right_as_were_asked_for(unlabelled: np.ndarray, value: float) -> None:
    """Of uniform scores from t on that are as often right as they say, (1 + t) / 2 are: t is 2 value - 1."""
    detections = read_table(layout.detections("unlabeled"), "detections")
    figures = person_thresholds(asked(value), detections, "unlabeled")
    kept = detections["score"].to_numpy() >= figures["person_threshold"]
    assert figures["person_threshold"] == pytest.approx(2 * value - 1, abs=0.06)
    assert unlabelled[kept].mean() == pytest.approx(value, abs=0.03), "which nobody has told it"
    assert (figures["person_threshold_mode"], figures["person_precision"]) == ("precision", value)
    measured = figures["person_calibration"]
    assert (measured["detections"], measured["measured_on"]) == (6000, "val")
    assert measured["right"] == pytest.approx(0.5, abs=0.03)
    assert measured["calibration_error"] < 0.05
    assert measured["precision_reached"][0]["right"] == pytest.approx(0.8, abs=0.03)


def test_the_detectors_own_training_is_no_witness(unlabelled: np.ndarray) -> None:
    """What it finds on C, which it has learnt by heart, does not move the threshold."""
    detections = read_table(layout.detections("unlabeled"), "detections")
    before = person_thresholds(asked(0.8), detections, "unlabeled")["person_threshold"]
    write_source("train", 10, 3, highest=0.0)
    assert person_thresholds(asked(0.8), detections, "unlabeled")["person_threshold"] == before


def test_what_cannot_be_calibrated_is_said(unlabelled: np.ndarray) -> None:
    detections = read_table(layout.detections("unlabeled"), "detections")
    write_source("val", 3000, 4, highest=0.5)
    with pytest.raises(
        ValueError, match=r"value = 0\.9: nobody detected on unlabeled .* val .*; allowed: at most 0\."
    ) as e:
        person_thresholds(asked(0.9), detections, "unlabeled")
    most = float(str(e.value).rsplit(" ", 1)[1])
    assert 0.4 < most < 0.6
    assert person_thresholds(asked(most), detections, "unlabeled")["person_threshold"] <= 1.0
    write_source("val", 19, 4)
    with pytest.raises(ValueError, match=r"19 detections on val to calibrate .*; allowed: at least 20"):
        person_thresholds(asked(0.9), detections, "unlabeled")
    write_source("val", 0, 4)
    with pytest.raises(ValueError, match=r"0 detections on val to calibrate"):
        person_thresholds(asked(0.9), detections, "unlabeled")


def test_nobody_detected_is_nobody_kept(unlabelled: np.ndarray) -> None:
    nobody = read_table(layout.detections("unlabeled"), "detections").slice(0, 0)
    assert person_thresholds(asked(0.9), nobody, "unlabeled")["person_threshold"] == 0.0
