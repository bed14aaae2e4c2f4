from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from pipeline import layout
from pipeline.progress import Progress
from pipeline.records.tables import read_table, table_info, to_numpy
from pipeline.settings import AlignLabels, Params
from pipeline.steps import align_labels
from tests.pipeline.sources.small import aic_content, ingested, write_aic


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(min_keypoints: int) -> dict:
    params = SimpleNamespace(
        data=SimpleNamespace(keypoints="coco"),
        align_labels=AlignLabels(sources=["it"], min_keypoints=min_keypoints),
    )
    return align_labels.run(cast(Params, params), Progress(), "it")


def test_a_holds_the_people_with_enough_shared_keypoints(tmp_path: Path):
    content = aic_content()
    content[2]["keypoint_annotations"]["human1"][2::3] = [3] * 12 + [1, 1]  # head top and neck only
    ingested(write_aic(tmp_path / "set", content))
    figures = run(1)
    aligned = read_table(layout.letter("A", "it"), "instances")
    assert aligned["instance_id"].to_pylist() == ["it:1/human1", "it:1/human2", "it:2/human1"]
    # AI Challenger's visibility goes 1, 2, 3, 1, 2, 3, ...: two of three shared joints are labelled.
    assert to_numpy(aligned, "supervised").sum(1).tolist() == [8, 8, 8]
    assert figures == {"instances": 3, "left_out": 1, "shared_keypoints": 8, "labels": 24}
    assert set(np.unique(to_numpy(aligned, "keypoints")[:, 2::3])) == {0, 1, 2}
    info = table_info(aligned)
    assert (info.keypoint_set.name, dict(info.image_roots)) == ("coco", {"it": f"{tmp_path}/set/images"})
    assert info.made_by["settings"] == {"keypoints": "coco", "min_keypoints": 1}


def test_too_few_keypoints_leave_a_person_out(tmp_path: Path):
    ingested(write_aic(tmp_path / "set", aic_content()))
    assert run(8)["instances"] == 4
    assert run(9)["instances"] == 0
