"""Files as people really have them: each case of `../shared/cases/field` gives what its `expect.json` says."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from pipeline.evaluation.average_precision import ten_stats
from pipeline.evaluation.people import Poses, read_truth
from pipeline.evaluation.results_file import source_id
from pipeline.records.images import ImageReader
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import table_info
from pipeline.settings import AlignLabels, Ingest, Params, Source
from pipeline.sources.check import findings
from pipeline.sources.detections import read_detections
from tests.pipeline.sources.small import ingested

FIELD = Path(__file__).resolve().parents[4] / "shared" / "cases" / "field"
CASES = sorted(FIELD.glob("*/expect.json")) if FIELD.is_dir() else []
needs_cases = pytest.mark.skipif(not CASES, reason="the field cases (../shared/cases/field) are not here")
ERRORS = {  # words that the one line must have
    "07": ["every keypoint is a category of its own", "Export skeletons"],
    "09": ["the image is missing", "a.jpg is there", "set `images`", "strip the folder"],
    "12": ["no detection of a person", "category 1 is asked for", "the file has category 0"],
    "14": ["0..1", "shares of the picture"],
}
WARNINGS = {
    "10": "boxes look like x1, y1, x2, y2",
    "16": "1 pictures of val are in it too, by content: same.jpg and a.jpg",
    "17": "1 crowd has labelled keypoints, which are not used; a tool may have set iscrowd everywhere",
}


def source_of(folder: Path, expect: dict[str, Any], labels: str = "labels.json") -> Source:
    if expect.get("format") == "folder":
        return Source(format="folder", index=str(folder), images=str(folder), keypoints="coco")
    index = folder / labels
    index = index if index.is_file() else folder / f"{labels}.gz"
    keypoints = str(folder / expect["keypoint_set"]) if "keypoint_set" in expect else "coco"
    return Source(format="coco", index=str(index), images=str(folder), keypoints=keypoints)


def told(sources: dict[str, Source]) -> list[str]:
    """What `ccm data check` warns of."""
    keypoints = sources["it"].keypoints
    content = {
        "data": SimpleNamespace(sources=sources, keypoints=keypoints, labelled=["it"], validation=list(sources)[1:]),
        "synthesize": {},
        "ingest": Ingest(check_images=True, max_bad_share=0.1),
        "align_labels": AlignLabels(sources=[], min_keypoints=1),
        "detect_people": SimpleNamespace(sources={}),
    }
    found = findings(cast(Params, SimpleNamespace(**content)))
    assert not [finding for finding in found if finding.level == "error"]
    return [finding.message for finding in found if finding.level == "warning"]


@needs_cases
@pytest.mark.parametrize("path", CASES, ids=[path.parent.name for path in CASES])
def test_a_case_gives_what_it_should(path: Path):
    folder, expect = path.parent, json.loads(path.read_text())
    source = source_of(folder, expect)
    if "error" in expect:
        with pytest.raises(ValueError, match=r"\w") as caught:
            read(source, folder, expect)
        assert "\n" not in str(caught.value)
        assert not [words for words in ERRORS[folder.name[:2]] if words not in str(caught.value)]
        return
    tables = ingested(source, check_images=True)
    people = tables["instances"].to_pylist()
    assert tables["images"].num_rows == expect["images"]
    assert len(people) == expect.get("people", 0)
    assert tables["quarantine"].num_rows == expect.get("quarantined", 0)
    for image in tables["images"].to_pylist():  # what is read has the size that the table says
        pixels = ImageReader().read(folder / image["file_name"])
        assert pixels.shape[:2] == (image["height"], image["width"])
    if "area" in expect:
        assert people[0]["area"] == pytest.approx(expect["area"], abs=0.1)
    if "box_covers" in expect:
        x, y, w, h = people[0]["bbox"]
        left, top, width, height = expect["box_covers"]
        assert x < left and y < top and x + w > left + width and y + h > top + height  # noqa: PT018
        assert x >= 0 and y >= 0 and x + w <= 160 and y + h <= 120  # noqa: PT018
    if "keypoints" in expect:
        assert tables["figures"]["keypoints"] == expect["keypoints"]
    if "left_out" in expect:
        assert tables["figures"]["left_out"] == expect["left_out"]
    if "image_id_in_results" in expect:
        about = table_info(tables["images"]).made_by
        assert source_id(people[0]["image_id"], about["text_ids"]) == expect["image_id_in_results"]
    if "warning" in expect:
        sources = {"it": source}
        if "validation" in expect:
            sources["val"] = source_of(folder, expect, expect["validation"])
        (warning,) = told(sources)
        assert WARNINGS[folder.name[:2]] in warning
    if "ap_of_the_truth" in expect:
        assert ap_of_the_truth(tables, source.keypoints) == pytest.approx(expect["ap_of_the_truth"], abs=1e-9)


def read(source: Source, folder: Path, expect: dict[str, Any]) -> None:
    tables = ingested(source, max_bad_share=0.1)
    if "detections" in expect:
        read_detections(folder / expect["detections"], tables["images"])


def ap_of_the_truth(tables: dict[str, Any], name: str) -> float:
    """AP of the annotated people themselves, given as if they had been predicted."""
    truth = read_truth(tables["images"], tables["instances"], load_keypoint_set(name))
    poses = Poses(truth.image, truth.keypoints[:, :, :2], np.ones(len(truth)))
    return ten_stats(truth, poses)["AP"]


@needs_cases
def test_left_out_files_are_counted_by_suffix():
    folder = FIELD / "15-a-folder-as-phones-leave-it"
    left_out = ingested(source_of(folder, {"format": "folder"}))["figures"]["left_out"]
    assert left_out == {".heic files": 2, "files without a suffix": 1, ".txt files": 1, ".json files": 1}
