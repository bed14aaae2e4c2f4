"""Gaps of labels filled in by a teacher: labelled keypoints stay to the bit, the others are marked and weighed."""

from __future__ import annotations

import re

import numpy as np
import pytest

from pipeline import layout
from pipeline.progress import Progress
from pipeline.records.artefacts import read_json
from pipeline.records.tables import read_table, table_from, table_info, to_numpy, write_table
from pipeline.settings import parse_params
from pipeline.settings.profile import PROFILES
from pipeline.settings.reading import load_yaml
from pipeline.steps import ask_teachers, fill_in
from tests.pipeline.steps.test_ask_teachers import PEOPLE, settings, truth  # noqa: F401

HIPS = [11, 12]


@pytest.fixture
def unlabelled_hips(truth: dict[str, np.ndarray]) -> np.ndarray:  # noqa: F811
    """C without hips in every second row, and without the nose, which the teacher does not know; where they are."""
    table = read_table(layout.instances("train"), "instances")
    triples = to_numpy(table, "keypoints").reshape(PEOPLE, 17, 3).copy()
    triples[::2, [0, *HIPS]] = 0
    columns = {name: table[name] for name in table.column_names if name != "weight"}
    columns |= {"keypoints": triples.reshape(PEOPLE, -1), "supervised": triples[:, :, 2] > 0}
    write_table(layout.instances("train"), table_from("instances", columns, table_info(table)))
    return truth["train"]


def test_gaps_alone_are_filled_in(unlabelled_hips: np.ndarray):
    params = settings(0.3)
    ask_teachers.run(params, Progress(), "they")
    fill_in.run(params, Progress(), "train")
    before = read_table(layout.instances("train"), "instances")
    after = read_table(layout.filled("train"), "instances")
    for column in ("instance_id", "image_id", "kind", "bbox", "area"):
        assert after[column].to_pylist() == before[column].to_pylist()
    had, has = (to_numpy(table, "supervised") for table in (before, after))
    filled = has & ~had
    assert filled[:, HIPS].sum(0).min() > 80
    assert filled.sum() == filled[::2, HIPS].sum(), "no nose: nobody knows it"
    was, now = (to_numpy(table, "keypoints").reshape(PEOPLE, 17, 3) for table in (before, after))
    assert (was[~filled] == now[~filled]).all()
    weight, scores = to_numpy(after, "weight"), to_numpy(after, "keypoint_scores")
    assert (weight[~filled] == had[~filled]).all()
    assert ((scores > 0) == filled).all(), "the mark"
    right = np.hypot(*np.moveaxis(now[:, :, :2] - unlabelled_hips, 2, 0)) < 10
    assert right[filled].mean() == pytest.approx(weight[filled].mean(), abs=0.08), "as likely as is said"
    assert [bool(name) for name in after["teacher"].to_pylist()] == filled.any(1).tolist()
    figures = read_json(layout.figures("fill_in", "train"))
    assert figures["keypoints_filled_in"] == filled.sum()
    assert figures["keypoints_labelled"] == (was[:, :, 2] > 0).sum()
    assert figures["people_filled_in"] == filled.any(1).sum()


TEACHER = "ask_teachers: {x: {card: c, path: p, weight: 1.0"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("fill_in: []", "fill_in: [val]", "pseudo_label.fill_in: 'val' is no source of C or A; allowed: train, "),
        ("fill_in: []", "fill_in: [nobody]", "pseudo_label.fill_in: no source 'nobody' in data.sources"),
        ("ask_teachers: {}", TEACHER + "}}", "ask_teachers.x: has neither of files and network; allowed: one of them"),
        (
            "ask_teachers: {}",
            TEACHER + ", network: ../n.onnx}}",
            "ask_teachers.x.network = '../n.onnx': allowed: a file in ask_teachers.x.path, which DVC watches",
        ),
    ],
)
def test_settings_that_lead_nowhere_are_refused(old: str, new: str, message: str):
    text = (PROFILES / "built-in.yaml").read_text()
    assert old in text
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_params(load_yaml(text.replace(old, new), "params.yaml"), "params.yaml")
