"""The evaluator against pycocotools on real annotation files, read by each in its own way."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from pipeline import layout
from pipeline.evaluation.average_precision import ten_stats
from pipeline.evaluation.people import Poses, read_truth
from pipeline.evaluation.postprocess import people_to_find
from pipeline.evaluation.results_file import source_id
from pipeline.progress import Progress
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import read_table
from pipeline.settings import load_params
from pipeline.steps import ingest
from tests.pipeline.evaluation.generated import pycocotools_stats
from tests.pipeline.workspace import ROOT

REAL = ROOT.parent / "shared" / "real"
COCO_VAL = REAL / "coco/annotations/person_keypoints_val2017.json"
POSETRACK = sorted((REAL / "posetrack18/annotations/val").glob("*.json"))


def ingested(source: dict[str, str]):
    params = load_params(ROOT / "params.yaml")
    known = params.data.sources["val"].model_copy(update=source)
    params = params.model_copy(update={"data": params.data.model_copy(update={"sources": {"real": known}})})
    ingest.run(params, Progress(), "real")
    instances = read_table(layout.instances("real"), "instances")
    return instances, read_truth(read_table(layout.images("real"), "images"), instances, load_keypoint_set("coco"))


@pytest.mark.skipif(not COCO_VAL.is_file(), reason="no real sample beside the project")
def test_ten_stats_on_real_annotations_equal_pycocotools(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = REAL / "coco/val2017"
    _, truth = ingested({"format": "coco", "index": str(COCO_VAL), "images": str(images)})
    random = np.random.default_rng(0)
    source = random.integers(len(truth), size=3 * len(truth))
    points = (
        truth.keypoints[source, :, :2]
        + random.normal(size=(len(source), 17, 2))
        * random.exponential(0.03, (len(source), 1, 1))
        * np.sqrt(truth.area[source])[:, None, None]
    )
    poses = Poses(truth.image[source], points, random.random(len(source)))
    results = [
        {
            "image_id": source_id(truth.images[image]),
            "category_id": 1,
            "keypoints": np.c_[pose, np.ones(17)].reshape(-1).tolist(),
            "score": float(score),
        }
        for image, pose, score in zip(poses.image, poses.points, poses.scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO(str(COCO_VAL))
    expected = pycocotools_stats(reference, results)
    assert 0.1 < expected[0] < 0.95
    assert list(ten_stats(truth, poses).values()) == expected


@pytest.mark.skipif(not POSETRACK, reason="no real sample beside the project")
def test_posetracks_people_are_matched_by_keypoint_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = {
        "format": "posetrack",
        "index": str(POSETRACK[0]),
        "images": str(REAL / "posetrack18"),
        "keypoints": "posetrack",
    }
    instances, truth = ingested(source)
    names = {name.lower() for name in json.loads(POSETRACK[0].read_text())["categories"][0]["keypoints"]}
    assert set(truth.names) <= names & set(load_keypoint_set("coco").names)
    assert "nose" in truth.names
    assert truth.sigmas is not None
    people = people_to_find(instances)
    found = np.flatnonzero(np.isin(truth.row, people) & ~truth.ignored)
    poses = Poses(truth.image[found], truth.keypoints[found, :, :2], np.ones(len(found)))
    assert ten_stats(truth, poses)["AP"] == pytest.approx(1.0)
