"""Box AP against what follows from its definition."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.detection.average_precision import box_figures
from pipeline.records.tables import read_table, to_numpy
from tests.pipeline.detection.conftest import IMAGES

NAMES = [f"train:{i}" for i in range(IMAGES)]


def test_the_annotations_themselves_are_perfect_and_crowds_do_not_count(workspace: object) -> None:
    people = read_table("data/tables/train/instances.parquet", "instances")
    boxes, ids = to_numpy(people, "bbox"), people["image_id"].to_pylist()
    figures = box_figures(NAMES, people, ids, boxes, np.linspace(1, 0.5, len(boxes)))
    assert [figures[name] for name in ("AP", "AP50", "AP75", "AR")] == [1.0] * 4
    assert "AP_L" not in figures  # nobody is that large
    # A detection in the crowd's region is neither right nor wrong.
    kept = ~to_numpy(people, "iscrowd")
    alone = box_figures(NAMES, people, list(np.asarray(ids)[kept]), boxes[kept], np.linspace(1, 0.5, kept.sum()))
    assert alone["AP"] == 1.0


def test_half_of_the_people_found_without_mistakes(workspace: object) -> None:
    people = read_table("data/tables/train/instances.parquet", "instances")
    crowd = to_numpy(people, "iscrowd")
    boxes, ids = to_numpy(people, "bbox")[~crowd], np.asarray(people["image_id"].to_pylist())[~crowd]
    half = len(boxes) // 2
    figures = box_figures(NAMES, people, ids[:half].tolist(), boxes[:half], np.ones(half))
    reached = np.linspace(0, 1, 101) <= half / len(boxes)  # precision is 1 up to that recall and 0 beyond
    assert figures["AP50"] == pytest.approx(reached.mean(), abs=1e-9)


def test_nothing_found_is_zero_and_nobody_annotated_is_nothing(workspace: object) -> None:
    people = read_table("data/tables/train/instances.parquet", "instances")
    none = np.zeros((0, 4))
    assert box_figures(NAMES, people, [], none, np.zeros(0))["AP"] == 0.0
    assert box_figures(NAMES, people.slice(0, 0), [], none, np.zeros(0)) == {}
