import re
import shutil

import numpy as np
import pytest
import torch

from pipeline import layout
from pipeline.progress import Progress
from pipeline.records.artefacts import write_json, written
from pipeline.records.tables import TableInfo, read_table, table_from, table_info, to_numpy, write_table
from pipeline.report.page import SECTIONS, make_curves
from pipeline.report.people import _counted
from pipeline.settings import load_params
from pipeline.steps import ablate_postprocessing, evaluate, report
from tests.pipeline.workspace import ROOT, STRATEGY, make_workspace

torch.set_num_threads(1)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


def write_mined_sets() -> None:
    """H and U of `train`, as the stages that make them would leave them."""
    detections = read_table(layout.detections("train"), "detections")
    count, box = detections.num_rows, to_numpy(detections, "bbox")
    shared = {
        name: detections[name] for name in ("image_id", "source", "file_name", "width", "height", "bbox", "score")
    }
    random = np.random.default_rng(0)
    points = box[:, None, :2] + random.random((count, 17, 2)) * box[:, None, 2:]
    labels = np.concatenate([points, np.full((count, 17, 1), 2)], 2).reshape(count, 51).astype(np.float32)
    for letter, kind, keypoints in (("H", "hard_negative", np.zeros((count, 51), np.float32)), ("U", "pseudo", labels)):
        columns = {
            **shared,
            "instance_id": detections["detection_id"],
            "kind": [kind] * count,
            "area": box[:, 2] * box[:, 3],
            "iscrowd": np.zeros(count, bool),
            "keypoints": keypoints,
            "supervised": np.ones((count, 17), bool),
        }
        info = TableInfo("coco", table_info(detections).image_roots)
        write_table(layout.letter(letter, "train"), table_from("instances", columns, info))
    names = detections["file_name"].to_pylist()
    figures = {
        "rows": count, "people": count, "keypoints": 17 * count, "keypoints_per_row": 17.0,
        "person_threshold": 0.5, "person_threshold_mode": "precision", "matched_threshold": 0.5,
        "person_precision": 0.85, "labelled_people_per_image": 2.0, "keypoint_threshold": 0.6,
        "keypoint_threshold_mode": "precision", "calibration_people": 40, "calibration_error": 0.0125,
        "reliability": [{"count": 9, "probability": 0.4, "right": 0.5}, {"count": 3, "probability": 0.9, "right": 0.8}],
        "precision_reached": [{"target": 0.8, "kept": 0.625, "right": 0.81}, {"target": 0.9, "kept": 0, "right": None}],
        "person_calibration": {
            "detections": 1234, "measured_on": "val", "calibration_error": 0.021,
            "reliability": [{"count": 9, "probability": 0.4, "right": 0.5}],
            "precision_reached": [{"target": 0.8, "kept": 0.4, "right": 0.79}],
        },
        "score_quantiles": {"nose": {"0.05": 0.1, "0.5": 0.33}, "left_wrist": {"0.05": 0.0, "0.5": 0.44}},
        "share_of_keypoints_kept": 0.5,
        "score_histogram": list(range(50)), "disagreement_by_keypoint": {"nose": 0.1, "left_wrist": 0.2},
        "annotate_next": [
            {"file_name": names[0], "bbox": box[0].tolist(), "disagreement": 0.2, "keypoint": "left_wrist"}
        ],
    }  # fmt: skip
    write_json(layout.figures("pseudo_label", "train"), figures)
    with written(layout.curves("train_joint", STRATEGY)) as path:
        path.write_text("epoch,loss,main_loss,val_ap\n1,0.5,0.4,0.1\n2,0.3,0.2,0.2\n")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The page of a workspace in which nearly everything has run."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("report")
        patch.chdir(folder)
        params = make_workspace(folder)
        shutil.copy(ROOT / "dvc.yaml", folder)
        text = (folder / "params.yaml").read_text()
        text = re.sub(r"(pseudo_label:\n  sources: )\[\]", r"\1[train]", text)
        (folder / "params.yaml").write_text(text)
        params = load_params()
        write_mined_sets()
        evaluate.run(params, Progress(), STRATEGY)
        ablate_postprocessing.run(params, Progress(), STRATEGY)
        figures = report.run(params, Progress())
        yield (folder / layout.REPORT), figures


def test_the_page_has_every_section_and_needs_no_network(whole):
    path, figures = whole
    page = path.read_text()
    assert [name for name in SECTIONS if f'id="{name}"' not in page] == []
    assert figures["pictures"] > 20
    assert figures["tables"] > 13
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert {address[:1] if address.startswith("#") else address[:5] for address in addresses} == {"#", "data:"}
    assert "url(" not in page
    assert "boxes of made-up with score &gt;= 0.05, person AP" in page
    assert "26 of 26 rows measured" in page


def test_the_page_says_whether_probabilities_hold_and_which_scores_were_seen(whole):
    page = whole[0].read_text()
    assert "whom the curves were not fitted on; expected calibration error 0.013" in page
    assert "1,234 of val that the curve was not fitted on; expected calibration error 0.021" in page
    assert "mode precision 0.85" in page
    assert re.search(r"0\.8</t[dh]>\s*<td[^>]*>62 %</td>\s*<td[^>]*>0\.81", page)
    assert "quantiles of the keypoints&#39; scores" in page
    assert "0.44" in page


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        ([0.5], "1 person"),
        ([0.5, 0.2], "2 people"),
        ([0.131], "1 pose below 0.2, best 0.13"),
        ([0.9, 0.05, 0.19], "1 person; 2 poses below 0.2, best 0.19"),
    ],
)
def test_a_picture_says_why_a_pose_is_not_drawn(scores: list[float], text: str) -> None:
    assert _counted(np.array(scores)) == text


def test_the_page_says_how_to_use_the_model(whole):
    assert f"ccm predict photo.jpg --model models/final/{STRATEGY}" in whole[0].read_text()


def test_a_section_without_its_artefacts_says_which_stage_makes_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = make_workspace(tmp_path)
    for folder in ("data/results", "models", "data/detections", "data/tables", "data/figures"):
        shutil.rmtree(folder, ignore_errors=True)
    report.run(params, Progress())
    page = layout.REPORT.read_text()
    assert [name for name in SECTIONS if f'id="{name}"' not in page] == []
    assert f"<code>dvc repro evaluate@{STRATEGY}</code>" in page
    assert "<code>dvc repro ingest@train</code>" in page


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_opens_in_a_browser(whole, width):
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": width, "height": 844})
        errors, requests = [], []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: requests.append(request.url[:5]))
        page.goto(whole[0].as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
        assert errors == []
        assert set(requests) <= {"file:", "data:"}
        pictures = page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)")
        assert len(pictures) == whole[1]["pictures"]
        assert all(pictures)
        assert page.evaluate("document.querySelectorAll('table').length") == whole[1]["tables"]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        browser.close()


def test_the_curves_alone_are_a_page_that_asks_for_nothing(tmp_path, monkeypatch):
    """`ccm plots`: the lines are in the page itself, and nothing in it names another address."""
    monkeypatch.chdir(tmp_path)
    params = make_workspace(tmp_path)
    with written(layout.curves("train_joint", STRATEGY)) as path:
        path.write_text("epoch,loss,val_ap\n1,0.5,\n2,0.25,0.125\n3,0.2,0.25\n")
    page = make_curves(params)
    assert page.count("<polyline") == 2
    assert "C→C" in page
    assert not re.findall(r"""(?:src|href)=(?!["']?(?:#|data:))|url\(|@import|https?://(?!www\.w3\.org)""", page)
