"""Files of every format with odd values anywhere: read, or refused in a line that names the file; never a traceback."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.settings import Source
from pipeline.sources import read_records
from pipeline.sources.recognise import recognise
from tests.pipeline.odd import ODD, PLENTY, changed, places
from tests.pipeline.sources.small import aic_content, coco_content, write_images

PARTS = ["snout", "left_ear", "right_ear"]


def result(kind: str, identity: str, label: str, **value: float) -> dict[str, Any]:
    size = {"original_width": 64, "original_height": 48}
    return {"id": identity, "type": kind, **size, "value": value | {kind: [label]}}


LABEL_STUDIO = [
    {
        "id": 7,
        "data": {"image": "/data/upload/1/0123abcd-1.jpg"},
        "annotations": [
            {"was_cancelled": True, "result": []},
            {
                "result": [
                    result("rectanglelabels", "r1", "dog", x=0, y=0, width=50, height=100),
                    result("keypointlabels", "k1", "snout", x=25, y=50, width=1),
                    result("keypointlabels", "k2", "left_ear", x=25, y=25, width=1) | {"parentID": "r1"},
                ]
            },
        ],
    }
]
MPII = [{"image": "1.jpg", "joints": [[11 + k, 21 + k] for k in range(16)], "joints_vis": [1] * 15 + [0]}]
JSON = {
    "label_studio": (LABEL_STUDIO, "own.yaml"),
    "mpii": (MPII, "mpii"),
    "aic": (aic_content(), "aic"),
    **{name: (coco_content(keypoints=name), name) for name in ("coco", "posetrack", "crowdpose", "halpe")},
}
ABOUT = {"train": "images", "kpt_shape": [3, 3], "flip_idx": [0, 2, 1], "names": {0: "dog"}, "kpt_names": {0: PARTS}}


def read_or_refused(source: Source, said_by: str = "") -> None:
    for read in (lambda: recognise(source.index), lambda: read_records(source)):
        problem = said_by or source.index
        try:
            read()
        except ValueError as error:
            problem = str(error)
        assert (said_by or source.index) in problem
        assert "\n" not in problem
        assert len(problem) < 2000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "images", 1)
    Path("own.yaml").write_text(yaml.safe_dump({"names": PARTS}))
    Path("labels").mkdir()
    return tmp_path


@pytest.mark.parametrize("format", JSON)
@PLENTY
@given(data=st.data())
def test_json(folder: Path, format: str, data: st.DataObject) -> None:
    content, keypoints = JSON[format]
    for place in data.draw(st.lists(st.sampled_from(places(content)), min_size=1, max_size=2)):
        with contextlib.suppress(LookupError, TypeError):  # the first change may take the second's place away
            content = changed(content, place, data.draw(ODD))
    Path("a.json").write_text(json.dumps(content))
    read_or_refused(Source(format=format, index="a.json", images="images", keypoints=keypoints))


CELLS = st.sampled_from(["nan", "inf", "1e400", "", "x", "a" * 200_000, '"', "2", "bodyparts", "1.jpg", "\x1b"])


@PLENTY
@given(row=st.integers(0, 3), column=st.integers(0, 6), cell=CELLS)
def test_deeplabcut(folder: Path, row: int, column: int, cell: str) -> None:
    table = [["scorer", *["me"] * 6], ["bodyparts", *[part for part in PARTS for _ in "xy"]],
             ["coords", *["x", "y"] * 3], ["1.jpg", *map(str, range(6))]]  # fmt: skip
    table[row][column] = cell
    Path("a.csv").write_text("\n".join(map(",".join, table)))
    read_or_refused(Source(format="deeplabcut", index="a.csv", images="images", keypoints="own.yaml"))


@PLENTY
@given(place=st.sampled_from(places(ABOUT)), value=ODD)
@example(place=("kpt_shape", 0), value=2**31)  # once 17 GB
@example(place=("names",), value=3)
def test_the_description_of_a_yolo_set(folder: Path, place: tuple[Any, ...], value: Any) -> None:
    Path("data.yaml").write_text(yaml.safe_dump(changed(ABOUT, place, value)))
    source = Source(format="yolo", index="data.yaml", images="images", keypoints="own.yaml", categories=["dog"])
    read_or_refused(source, said_by="data.yaml")


@PLENTY
@given(place=st.integers(0, 13), word=CELLS)
def test_labels_of_a_yolo_set(folder: Path, place: int, word: str) -> None:
    words = ["0", "0.5", "0.5", "0.5", "0.5", "0.25", "0.25", "2", "0.5", "0.5", "1", "0", "0", "0"]
    words[place] = word
    Path("data.yaml").write_text(yaml.safe_dump(ABOUT))
    Path("labels/1.txt").write_text(" ".join(words))
    source = Source(format="yolo", index="data.yaml", images="images", keypoints="own.yaml", categories=["dog"])
    assert len(read_records(source).people) + len(read_records(source).quarantine) <= 1
