from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest

from pipeline.settings import AlignLabels, Ingest, Params, Source
from pipeline.sources.check import check, findings
from tests.pipeline.sources.small import aic_content, coco_content, ingested, write_aic, write_coco


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def params(sources: dict[str, Source], **changes: Any) -> Params:
    content = {
        "data": SimpleNamespace(sources=sources, keypoints="coco", labelled=["it"], validation=["val"]),
        "synthesize": {},
        "ingest": Ingest(check_images=False, max_bad_share=0.1),
        "align_labels": AlignLabels(sources=[], min_keypoints=1),
        "detect_people": SimpleNamespace(sources={}),
    }
    return cast(Params, SimpleNamespace(**(content | changes)))


def told(found: list, level: str) -> list[str]:
    return [f"{finding.where}: {finding.message}" for finding in found if finding.level == level]


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Source]:
    return {name: write_coco(tmp_path / name, coco_content(), seed=seed) for seed, name in enumerate(["it", "val"])}


def test_good_sets(sources: dict[str, Source], capsys: pytest.CaptureFixture[str]):
    found = findings(params(sources))
    assert not told(found, "error")
    assert not told(found, "warning")
    assert "data.sources.it: 3 images, 3 people, 3 with keypoints" in told(found, "fine")
    assert check(params(sources)) == 0
    assert capsys.readouterr().out.endswith("0 errors, 0 warnings\n")


def test_bad_records_are_counted_and_named(sources: dict[str, Source], tmp_path: Path):
    (tmp_path / "it/images/2.jpg").unlink()
    found = findings(params(sources))
    warnings = told(found, "warning")
    assert any("1 x the image is missing: image 2" in line for line in warnings)
    assert any("2 of 6 records are bad" in line for line in told(found, "error"))
    assert check(params(sources)) == 1


def test_missing_files_and_roots(sources: dict[str, Source]):
    sources["it"] = sources["it"].model_copy(update={"images": "nowhere"})
    sources["val"] = sources["val"].model_copy(update={"index": "nothing.json"})
    errors = told(findings(params(sources)), "error")
    assert errors[0] == "data.sources.it: images = 'nowhere': no such folder"
    assert errors[1].startswith("data.sources.val: nothing.json: cannot be read")


def test_what_a_stage_still_renders_is_not_missed(sources: dict[str, Source]):
    sources["val"] = sources["val"].model_copy(update={"index": "data/built-in/coco/val.json"})
    assert told(findings(params(sources)), "error")
    found = findings(params(sources, synthesize={"built-in": None}))
    assert not told(found, "error")
    assert any("not rendered yet" in line for line in told(found, "fine"))


def test_images_that_changed_since_the_ingest(sources: dict[str, Source], tmp_path: Path):
    ingested(sources["it"])
    assert not told(findings(params(sources)), "warning")
    os.utime(tmp_path / "it/images/3.jpg", (1, 1))  # a copy of the data set is the same data
    assert not told(findings(params(sources)), "warning")
    shutil.copy(tmp_path / "it/images/2.jpg", tmp_path / "it/images/3.jpg")
    (warning,) = told(findings(params(sources)), "warning")
    assert "1 images changed since the last ingest, such as 3.jpg; `dvc repro -f ingest@it`" in warning


def test_lack_of_time_is_said(sources: dict[str, Source], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipeline.sources.check._AT_ONCE", 1)
    found = findings(params(sources), seconds=0)
    assert "data.sources.it: 3 images, 3 people, 3 with keypoints; 2 images not looked at, for lack of time" in told(
        found, "fine"
    )
    assert not told(found, "error")


def test_a_copy_that_was_compressed_again_is_found_in_the_validation(sources: dict[str, Source], tmp_path: Path):
    own = tmp_path / "it/images/2.jpg"
    coarse = np.random.default_rng(0).integers(0, 230, (6, 8, 3), np.uint8)
    shape = cv2.imread(str(own)).shape
    cv2.imwrite(str(own), cv2.resize(coarse, shape[1::-1], interpolation=cv2.INTER_CUBIC))
    copy = cv2.imread(str(own))
    cv2.imwrite(str(tmp_path / "val/images/3.jpg"), copy, [cv2.IMWRITE_JPEG_QUALITY, 60])
    found = findings(params(sources))
    (warning,) = told(found, "warning")
    assert warning == (
        "data.validation: 1 pictures of val look like pictures of it, as copies do that were scaled or compressed "
        "again: 3.jpg and 2.jpg; none that is trained on may validate"
    )
    assert any("6 pictures compared by content and by looks, 0." in line for line in told(found, "fine"))
    shutil.copy(own, tmp_path / "val/images/3.jpg")
    (warning,) = told(findings(params(sources)), "warning")
    assert warning.startswith("data.validation: 1 pictures of val are in it too, by content: 3.jpg and 2.jpg;")


def test_copies_that_a_split_of_one_file_parts(sources: dict[str, Source], tmp_path: Path):
    """Of two lists of one file, neither of which has a name of the other's."""
    shutil.copy(tmp_path / "it/images/2.jpg", tmp_path / "it/images/3.jpg")
    for name, pictures in {"train": "1.jpg\n2.jpg\n", "val": "3.jpg\n"}.items():
        (tmp_path / f"{name}.txt").write_text(pictures)
    parts = {
        "it": sources["it"].model_copy(update={"only": "train.txt"}),
        "val": sources["it"].model_copy(update={"only": "val.txt"}),
    }
    (warning,) = [text for text in told(findings(params(parts)), "warning") if text.startswith("data.validation")]
    assert warning.startswith("data.validation: 1 pictures of val are in it too, by content: 3.jpg and 2.jpg;")


@pytest.mark.parametrize("bits", [12, 14, 16])
def test_pictures_that_leave_most_of_their_bits_unused(sources: dict[str, Source], tmp_path: Path, bits: int):
    """Noise over 12 or 14 bits in files of 16, as scientific cameras write them, is next to black."""
    noise = np.random.default_rng(0).integers(0, 1 << bits, (48, 64, 3), np.uint16)
    cv2.imwrite(str(tmp_path / "it/images/2.png"), noise)
    content = json.loads(Path(sources["it"].index).read_text())
    content["images"][1]["file_name"] = "2.png"
    Path(sources["it"].index).write_text(json.dumps(content))
    found = told(findings(params(sources)), "warning")
    assert len(found) == (bits < 16)
    for text in found:
        assert text.startswith(
            "data.sources.it: 1 pictures have hardly any contrast, such as 2.png: empty, or 10 to 14"
        )


def test_boxes_as_corners_are_found_where_only_the_files_know_their_sizes(tmp_path: Path):
    content = coco_content()
    for image in content["images"]:
        del image["width"], image["height"]
    names = content["categories"][0]["keypoints"]
    for record in content["annotations"]:
        record["keypoints"] = [value for k in range(len(names)) for value in (30 + k, 25 + k, 2)]
        record["bbox"] = [28, 23, 50, 45]  # these are corners; as width and height they would end at 78, 68
    source = write_coco(tmp_path / "it", content)
    found = told(
        findings(params({"it": source, "val": write_coco(tmp_path / "val", coco_content(), seed=1)})), "warning"
    )
    assert any("boxes look like x1, y1, x2, y2 (3 of 3); x, y, width, height belong there" in text for text in found)


def test_detections_as_corners(sources: dict[str, Source], tmp_path: Path):
    ingested(sources["it"])
    boxes = [(30, 20, 25, 25), (5, 20, 20, 20), (20, 10, 30, 30)]  # in pictures of 64 x 48
    for name, corners in (("good", False), ("corners", True)):
        records = [
            {"image_id": i, "bbox": [x, y, x + w, y + h] if corners else [x, y, w, h], "score": 0.5}
            for i, (x, y, w, h) in enumerate(boxes, 1)
        ]
        (tmp_path / f"{name}.json").write_text(json.dumps(records))
        files = SimpleNamespace(sources={"it": f"{name}.json"})
        found = told(findings(params(sources, detect_people=files)), "warning")
        text = "detect_people.sources.it: boxes look like x1, y1, x2, y2 (3 of 3); x, y, width, height belong there"
        assert found == [text] * corners


def test_detection_files(sources: dict[str, Source], tmp_path: Path):
    ingested(sources["it"])
    boxes = [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]
    (tmp_path / "good.json").write_text(json.dumps(boxes))
    (tmp_path / "odd.json").write_text("{}")
    for path, level, text in [
        ("good.json", "fine", "1 boxes"),
        ("odd.json", "error", "odd.json: no COCO results file: expected a list of detections"),
        ("none.json", "error", "none.json: no such file"),
    ]:
        found = findings(params(sources, detect_people=SimpleNamespace(sources={"it": path})))
        assert f"detect_people.sources.it: {text}" in told(found, level)
    models = SimpleNamespace(sources={"it": "models/detectors/person"})
    assert not told(findings(params(sources, detect_people=models)), "error")


def test_sets_that_do_not_fit(sources: dict[str, Source], tmp_path: Path):
    sources["aic"] = write_aic(tmp_path / "aic", aic_content())
    found = findings(params(sources, align_labels=AlignLabels(sources=["aic"], min_keypoints=1)))
    assert "align_labels.sources.aic: 12 keypoints shared with coco" in told(found, "fine")
    same = {"it": sources["it"], "val": sources["it"]}
    assert any("validated on what they train on" in line for line in told(findings(params(same)), "error"))


def test_a_keypoint_set_that_dvc_does_not_watch(tmp_path: Path):
    names = [f"point_{k}" for k in range(17)]
    (tmp_path / "own.yaml").write_text(json.dumps({"names": names}))
    content = coco_content()
    content["categories"][0]["keypoints"] = names
    source = write_coco(tmp_path / "it", content).model_copy(update={"keypoints": "own.yaml"})
    found = findings(params({"it": source, "val": write_coco(tmp_path / "val", coco_content(), seed=1)}))
    assert told(found, "error") == ["data.sources.it: shares no keypoint with coco, the set of data.keypoints"]
    (warning,) = told(found, "warning")
    assert warning.startswith("data.sources.it.keypoints: DVC does not watch own.yaml, an edit of it reruns nothing; ")
