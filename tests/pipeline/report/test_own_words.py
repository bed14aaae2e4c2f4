"""The page speaks of what the data show, and the paper's tables step back where the data are not COCO."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from pipeline.records.keypoints import load_keypoint_set
from pipeline.report.context import Context
from pipeline.report.page import in_words_for
from pipeline.report.provenance import on_coco


def test_words_for_the_subject() -> None:
    text = "People above it; the person detector finds a person, see `models/person` and person_threshold"
    assert in_words_for("people", text) == text
    assert in_words_for("animals", text) == (
        "Animals above it; the animal detector finds an animal, see `models/person` and person_threshold"
    )
    assert in_words_for("objects", "nobody") == "no object"


@pytest.mark.parametrize(
    ("keypoints", "files", "expected"),
    [
        ("coco", ["data/built-in/coco/annotations/person_keypoints_val2017.json"], True),
        ("coco", ["person_keypoints_val2017.json", "mine.json"], False),
        ("coco", ["person_keypoints_default.json"], False),
        ("lspe", ["person_keypoints_val2017.json"], False),
    ],
)
def test_what_counts_as_coco(keypoints: str, files: list[str], expected: bool) -> None:
    sources = {str(i): SimpleNamespace(index=file) for i, file in enumerate(files)}
    data = SimpleNamespace(validation=list(sources), sources=sources)
    context = SimpleNamespace(params=SimpleNamespace(data=data), keypoints=load_keypoint_set(keypoints))
    assert on_coco(cast(Context, context)) == expected
