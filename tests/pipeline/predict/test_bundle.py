"""`ccm export`: detector and keypoint network as a folder that needs nothing of this project."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from ruamel.yaml import YAML

from flows.cli import main
from pipeline import layout
from pipeline.predict import Predictor, bundle
from pipeline.predict.project import project_predictor
from pipeline.progress import Progress
from pipeline.records.images import turned_name
from pipeline.records.tables import read_table, write_table
from pipeline.settings import Params, load_params
from tests.pipeline.workspace import STRATEGY, make_workspace

PERSON = Path("models/detectors/person")


@pytest.fixture
def project(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(tmp_path)
    return make_project(models, tmp_path)


def make_project(models: Path, folder: Path) -> Params:
    """Untrained networks, of which the detector's every box counts; the truth lies near what they find."""
    make_workspace(folder)
    (folder / "dvc.yaml").write_text("stages: {}\n")
    shutil.copytree(models / "person", PERSON)
    raw = YAML(typ="safe", pure=True).load(Path("params.yaml").read_text())
    raw["detect_people"]["score_threshold"] = raw["evaluate"]["box_threshold"] = 0.01
    with Path("params.yaml").open("w") as file:
        YAML().dump(raw, file)
    return load_params()


def smooth(rows: int, columns: int) -> np.ndarray:
    noise = np.random.default_rng(rows).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return cv2.resize(noise, (columns, rows), interpolation=cv2.INTER_CUBIC)


def same(found: tuple[np.ndarray, ...], predictor: Predictor, pixels: np.ndarray, boxes: np.ndarray | None) -> int:
    expected = predictor(pixels, boxes)
    np.testing.assert_allclose(found[0], expected.boxes, rtol=0, atol=0.01)
    np.testing.assert_allclose(found[1], expected.keypoints, rtol=0, atol=0.05)
    np.testing.assert_allclose(found[2], expected.keypoint_scores, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found[3], expected.scores, rtol=0, atol=1e-4)
    return len(expected)


def turn_a_picture() -> None:
    """The first validation picture is one that its set reads as its EXIF tag says."""
    images = read_table(layout.images("val"), "images")
    names = images["file_name"].to_pylist()
    names[0] = turned_name(names[0], 6)
    place = images.schema.get_field_index("file_name")
    turned = images.set_column(place, images.schema.field(place), pa.array(names, images.schema.field(place).type))
    write_table(layout.images("val"), turned)


@pytest.fixture(scope="module")
def exported(models: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Params]:
    """A project's folder and params, and in `exports` what `ccm export --fast` has made of its model."""
    folder = tmp_path_factory.mktemp("exported")
    with contextlib.chdir(folder):
        params = make_project(models, folder)
        turn_a_picture()
        assert main(["export", str(layout.final(STRATEGY)), "--fast"]) == 0
    return folder, params


def finds_what_the_model_finds(folder: Path, project: Params, fast: bool) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "card.json", "detector.onnx", "keypoints.onnx", "predict.py",
    ]  # fmt: skip
    with zipfile.ZipFile(f"{folder}.zip") as archive:
        assert archive.testzip() is None
        assert {Path(name).name for name in archive.namelist()} >= {"card.json", "predict.py"}
    card = json.loads((folder / "card.json").read_text())
    assert card["check"]["AP of the bundle"] == pytest.approx(card["check"]["AP of the model"], abs=1e-3)
    assert (card["check"]["images"], card["flip_test"]) == (6, not fast)
    ours = bundle._loaded(folder / "predict.py").Bundle(folder)
    predictor = project_predictor(project, layout.final(STRATEGY), PERSON, fast=fast, stored=True)
    boxes = np.array([[10.0, 5, 40, 60], [50, 20, 30, 50], [0, 0, 300, 200], [12, 6, 41, 60]])
    for pixels in (smooth(96, 128), smooth(901, 1203)):  # people of the second are cut from a reduced picture
        same(ours(pixels), predictor, pixels, None)
        assert same(ours(pixels, boxes), predictor, pixels, boxes) >= 3


def test_the_bundle_finds_what_the_model_finds(exported: tuple[Path, Params], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exported[0])
    finds_what_the_model_finds(Path("exports") / STRATEGY, exported[1], fast=True)


@pytest.mark.slow
def test_with_the_flip_test_and_elsewhere(project: Params, capsys: pytest.CaptureFixture) -> None:
    turn_a_picture()
    assert main(["export", str(layout.final(STRATEGY)), "--output", "away/net"]) == 0
    assert "AP of the bundle" in capsys.readouterr().out
    finds_what_the_model_finds(Path("away/net"), project, fast=False)


def test_the_program_stands_alone(
    exported: tuple[Path, Params], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = bundle.PROGRAM.read_text()
    assert len(source.splitlines()) <= 120
    imported = {
        name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert imported <= {"json", "sys", "pathlib", "cv2", "numpy", "onnxruntime"}
    monkeypatch.chdir(exported[0])
    shutil.copytree(Path("exports") / STRATEGY, tmp_path / "away/net")
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    pixels = smooth(96, 128)
    cv2.imwrite(str(elsewhere / "ä 1.png"), pixels)
    ran = subprocess.run(
        [sys.executable, str(tmp_path / "away/net/predict.py"), "ä 1.png"],
        cwd=elsewhere, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    line = json.loads(ran.stdout)
    found = tuple(np.array(line[name]) for name in ("boxes", "keypoints", "keypoint_scores", "scores"))
    predictor = project_predictor(exported[1], layout.final(STRATEGY), PERSON, fast=True, stored=True)
    assert same(found, predictor, np.ascontiguousarray(pixels[:, :, ::-1]), None) == len(found[0])
    broken = subprocess.run(
        [sys.executable, str(tmp_path / "away/net/predict.py"), "none.jpg"],
        cwd=elsewhere, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (broken.returncode, broken.stderr.splitlines()[-1]) == (1, "none.jpg: not a readable image")


@pytest.mark.slow
def test_a_bundle_that_loses_is_not_written(project: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a folder nor what was there of it, where 0.11 points of AP are gone."""
    aps = iter([0.5, 0.4989])
    monkeypatch.setattr(bundle, "_ap", lambda truth, ids, found: next(aps))
    predictor = project_predictor(project, layout.final(STRATEGY), whole=True, stored=True)
    with pytest.raises(ValueError, match=r"the bundle loses 0\.11 AP on val \(50\.00 to 49\.89\); allowed: 0\.1 "):
        bundle.export_bundle(predictor, layout.final(STRATEGY), None, project, Path("exports/x"), Progress())
    assert list(Path("exports").iterdir()) == []


def test_what_may_be_lost() -> None:
    bundle.refuse_loss({"set": "val", "AP of the model": 0.5, "AP of the bundle": 0.4991})
    bundle.refuse_loss({"set": "val"})  # no sigmas, no AP
    with pytest.raises(ValueError, match=r"loses 50\.00 AP"):
        bundle.refuse_loss({"set": "val", "AP of the model": 0.5, "AP of the bundle": 0.0})
    bundle.refuse_loss({"set": "val", "AP of the model": 0.5, "AP of the bundle": 0.0}, allowed=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_smaller_networks(project: Params, capsys: pytest.CaptureFixture, precision: str) -> None:
    """A bundle that runs, and a card that says what it costs."""
    model = str(layout.final(STRATEGY))
    assert main(["export", model, "--precision", precision, "--accept-loss", "100"]) == 0
    assert f"ms a person, {precision}, a core" in capsys.readouterr().out
    folder = Path("exports") / f"{STRATEGY}-{precision}"
    card = json.loads((folder / "card.json").read_text())
    assert card["precision"] == precision
    assert card["detector_precision"] == ("int8" if precision == "int8" else "float32")
    assert ("calibrated_on" in card) is (precision == "int8")
    assert {"AP of the model", "AP of the bundle", "ms a person, float32, a core"} <= card["check"].keys()
    assert len(bundle._loaded(folder / "predict.py").Bundle(folder)(smooth(96, 128))) == 4


def test_a_loss_is_points_of_ap(project: Params, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        main(["export", "models/final/C-C", "--accept-loss", "-1"])
    assert "allowed: points of AP from 0 to 100" in capsys.readouterr().err


def test_boxes_are_paired_with_their_like() -> None:
    ours = np.array([[0.0, 0, 100, 100], [50, 50, 20, 20], [300, 0, 10, 10]])
    theirs = np.array([[51.0, 50, 20, 20], [0, 0, 109, 100], [302, 0, 10, 10]])
    rows, same_rows = bundle._same_boxes(ours, theirs)
    assert (rows.tolist(), same_rows.tolist()) == ([0, 1], [1, 0])  # the last is off by a fifth of its size
    assert len(bundle._same_boxes(ours, np.zeros((0, 4)))[0]) == 0
