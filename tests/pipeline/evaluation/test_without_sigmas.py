"""A keypoint set without sigmas: PCK and the mean distance in place of OKS and AP, from validation to the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline import layout
from pipeline.evaluation.boxed import pck
from pipeline.evaluation.people import Poses
from pipeline.learning.training.validation import distances_to_truth, figures_without_oks
from pipeline.progress import Progress
from pipeline.records.artefacts import read_json
from pipeline.records.keypoints import load_keypoint_set
from pipeline.settings import Params, load_params
from pipeline.steps import ablate_postprocessing, benchmark, compare_strategies, evaluate, ingest, report
from tests.pipeline.evaluation.generated import make_truth
from tests.pipeline.workspace import STRATEGY, make_workspace


def test_validation_measures_by_the_box() -> None:
    """Three keypoints 0, 10 and 30 pixels off in a box of 100 by 40, one unlabelled."""
    truth = np.array([[[10, 10, 2], [20, 10, 1], [30, 10, 2], [0, 0, 0]]], float)
    points = truth[:, :, :2] + np.array([[0, 0], [0, 10], [30, 0], [99, 99]])
    distances = distances_to_truth(points, truth, np.array([[0, 0, 100, 40]]))
    np.testing.assert_allclose(distances, [[0, 0.1, 0.3, np.nan]])
    assert figures_without_oks(distances) == pytest.approx({"val_pck": 2 / 3, "val_distance": 0.4 / 3})
    assert figures_without_oks(distances[:0]) == {"val_pck": 0.0, "val_distance": 0.0}


@pytest.mark.parametrize("share", [0.0, 0.05, 0.15])
def test_a_known_shift_is_the_distance(share: float) -> None:
    truth = make_truth(5, 8, 20, crowds=0, unlabelled=0)
    side = truth.boxes[:, 2:].max(1)
    points = truth.keypoints[:, :, :2] + (share * side)[:, None, None] * np.array([0.6, 0.8])
    found = pck(truth, Poses(truth.image, points, np.ones(len(truth))), truth.boxes)
    assert found["distance"] == pytest.approx(share, abs=1e-6)
    assert found["PCK"] == 1.0


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """The miniature workspace, its keypoints without sigmas."""
    monkeypatch.chdir(tmp_path)
    made = make_workspace(tmp_path)
    content = {key: value for key, value in load_keypoint_set("coco").as_dict().items() if key != "sigmas"}
    Path("plain.yaml").write_text(yaml.safe_dump(content))
    text = Path("params.yaml").read_text().replace("keypoints: coco", "keypoints: plain.yaml")
    Path("params.yaml").write_text(text)
    loaded = load_params()
    assert loaded.data.keypoints == "plain.yaml" != made.data.keypoints
    for source in ("train", "val"):
        ingest.run(loaded, Progress(), source)
    return loaded


def test_it_comes_to_the_report(params: Params) -> None:
    evaluate.run(params, Progress(), STRATEGY)
    found = read_json(layout.figures("evaluate", STRATEGY))["val"]["ground_truth"]
    assert "AP" not in found
    assert 0 <= found["PCK"] <= 1
    assert found["distance"] > 0
    assert found["postprocessing"].endswith("no NMS")
    compare_strategies.run(params, Progress())
    headline = ablate_postprocessing.run(params, Progress(), STRATEGY)
    assert any(key.endswith(": PCK") for key in headline)
    benchmark.run(params, Progress())
    report.run(params, Progress())
    page = layout.REPORT.read_text()
    assert "PCK" in page
    assert "Traceback" not in page
