"""`detect_people` and `mine_hard_negatives` on the miniature source of the detection tests."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from model.detector import DetectorSpec, build_detector, save_detector
from pipeline import layout
from pipeline.progress import Progress
from pipeline.records.tables import concatenate, read_table, table_info, to_numpy, write_table
from pipeline.settings import DetectPeople, MineHardNegatives, Params, Spread
from pipeline.steps import detect_people, mine_hard_negatives
from tests.pipeline.detection.conftest import COMPUTE, MODEL, workspace

__all__ = ["workspace"]

FILE = "detections.json"


def params(source: str, shard_images: int = 4, score_threshold: float = 0.0) -> Params:
    """The sections that the two steps read."""
    return cast(
        Params,
        SimpleNamespace(
            compute=COMPUTE,
            spread=Spread(runner="threads", workers=1, address=None, shard_images=shard_images),
            data=SimpleNamespace(keypoints="coco", labelled=["train"]),
            detect_people=DetectPeople(sources={"train": source}, score_threshold=score_threshold, nms_threshold=0.5),
            mine_hard_negatives=MineHardNegatives(
                sources=["train"], score_threshold=0.5, report_thresholds=[0.5, 0.7, 0.9]
            ),
        ),
    )


def write_detections() -> list[dict[str, Any]]:
    """The annotated boxes themselves, and in image 6, where nobody is, four detections of falling score."""
    people = read_table(layout.instances("train"), "instances")
    found = [
        {"image_id": int(name.split(":")[1]), "category_id": 1, "bbox": box, "score": 0.95}
        for name, box in zip(people["image_id"].to_pylist(), to_numpy(people, "bbox").tolist(), strict=True)
    ]
    for score in (0.91, 0.72, 0.5, 0.3):
        found.append({"image_id": 6, "category_id": 1, "bbox": [10.0, 10.0, 20.0, 30.0], "score": score})
    Path(FILE).write_text(json.dumps(found))
    return found


def test_the_detectors_boxes_are_the_same_bytes_for_any_shards(workspace: Path) -> None:
    torch.manual_seed(0)
    save_detector(
        build_detector(DetectorSpec(**MODEL.model_dump(exclude={"architecture"}))), "models/detectors/person", {}
    )
    written = []
    for shard_images in (1, 4, 100):
        figures = detect_people.run(params("models/detectors/person", shard_images), Progress(), "train")
        written.append(layout.detections("train").read_bytes())
    assert written[0] == written[1] == written[2]
    table = read_table(layout.detections("train"), "detections")
    assert table.num_rows == figures["detections"] > 0
    images = [int(name.split(":")[1]) for name in table["image_id"].to_pylist()]
    assert images == sorted(images)
    assert table["detection_id"].to_pylist() == [f"train:{i}" for i in range(table.num_rows)]
    assert set(table_info(table).made_by["inputs"]) == {"models/detectors/person", "data/tables/train/images.parquet"}
    assert not list(Path(".state/detect_people").iterdir())


def test_a_file_in_place_of_the_detector(workspace: Path) -> None:
    found = write_detections()
    figures = detect_people.run(params(FILE, score_threshold=0.4), Progress(), "train")
    assert figures["detections"] == len(found) - 1
    assert figures["AP50"] == pytest.approx(1.0)  # every person is found before the first mistake
    # Nine people beside the crowd in ten images; ten detections score 0.95, three others less.
    assert figures["labelled_people_per_image"] == pytest.approx(0.9)
    assert figures["matched_threshold"] == pytest.approx(0.95)
    metrics = json.loads(layout.figures("detect_people", "train").read_text())
    assert metrics["detections_at_threshold"] == {"0.05": 13, "0.5": 13, "0.7": 12, "0.9": 11, "0.9924": 0}
    assert sum(metrics["score_histogram"]) == 13


def test_hard_negatives_are_the_confident_ones_that_touch_nobody(workspace: Path) -> None:
    write_detections()
    settings = params(FILE)
    detect_people.run(settings, Progress(), "train")
    pictures: list[bytes] = []

    class Watched(Progress):
        def image(self, key: str, png: bytes, description: str = "") -> None:
            pictures.append(png)

    figures = mine_hard_negatives.run(settings, Watched(), "train")
    assert figures["rows"] == 3
    metrics = json.loads(layout.figures("mine_hard_negatives", "train").read_text())
    assert metrics["rows_at_threshold"] == {"0.5": 3, "0.7": 2, "0.9": 1}
    assert metrics["paper_rows_at_threshold"] == {"0.5": 11762, "0.7": 4359, "0.9": 952}
    table = read_table(layout.letter("H", "train"), "instances")
    assert to_numpy(table, "score").tolist() == pytest.approx([0.91, 0.72, 0.5])
    assert set(table["image_id"].to_pylist()) == {"train:6"}
    assert set(table["kind"].to_pylist()) == {"hard_negative"}
    assert to_numpy(table, "supervised").all()
    assert not to_numpy(table, "keypoints").any()
    assert to_numpy(table, "area").tolist() == [600.0] * 3
    assert pictures[0].startswith(b"\x89PNG")


def test_hard_negatives_join_the_labelled_rows(workspace: Path) -> None:
    write_detections()
    detect_people.run(params(FILE), Progress(), "train")
    mine_hard_negatives.run(params(FILE), Progress(), "train")
    tables = [read_table(path, "instances") for path in (layout.instances("train"), layout.letter("H", "train"))]
    write_table("joined.parquet", concatenate(tables, {}))
    assert read_table("joined.parquet", "instances").num_rows == sum(table.num_rows for table in tables)


def test_no_detections_give_an_empty_set(workspace: Path) -> None:
    write_detections()
    detect_people.run(params(FILE, score_threshold=1.0), Progress(), "train")
    figures = mine_hard_negatives.run(params(FILE), Progress(), "train")
    assert figures["rows"] == 0
    assert read_table(layout.letter("H", "train"), "instances").num_rows == 0
    assert np.isfinite(list(figures.values())).all()
