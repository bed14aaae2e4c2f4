"""What `ccm show` says and draws of an artefact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from model import checkpoints
from model.network import build
from pipeline.progress import Progress
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import TableInfo, table_from, write_table
from pipeline.report.drawing import GREEN, RED
from pipeline.report.show.describe import describe
from pipeline.report.show.pictures import draw_rows
from tests.pipeline.odd import ODD, PLENTY, changed, places
from tests.pipeline.workspace import MODEL

COCO = load_keypoint_set("coco")
BOXES = np.array([[10, 10, 40, 60], [70, 20, 30, 50], [5, 5, 20, 20]], np.float32)


@pytest.fixture
def instances(tmp_path: Path) -> Path:
    """A person of two pictures each and a hard negative, on grey pictures of 120 x 90."""
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((90, 120, 3), 128, np.uint8)).save(tmp_path / name)
    points = np.zeros((3, 17, 3), np.float32)
    points[:2, 0] = [[30, 30, 2], [85, 40, 1]]
    columns = {
        "instance_id": ["own:1", "own:2", "own:3"], "image_id": ["own:1", "own:2", "own:2"], "source": ["own"] * 3,
        "file_name": ["a.png", "b.png", "b.png"], "kind": ["labelled", "labelled", "hard_negative"],
        "width": [120] * 3, "height": [90] * 3, "bbox": BOXES, "area": [100.0, 200.0, 300.0], "iscrowd": [False] * 3,
        "keypoints": points.reshape(3, -1), "supervised": np.ones((3, 17), bool),
    }  # fmt: skip
    info = TableInfo(COCO, {"own": str(tmp_path)}, {"settings": {"seed": 7}})
    write_table(tmp_path / "instances.parquet", table_from("instances", columns, info))
    return tmp_path / "instances.parquet"


def said(path: Path, rows: int = 10, **where: str) -> str:
    return "\n".join(describe(path, rows, where))


def test_a_table_in_words(instances: Path) -> None:
    text = said(instances)
    for fact in ("the table instances, 3 rows", "coco: 17 (nose,", f"own: {instances.parent}", '{"seed": 7}'):
        assert fact in text
    assert "labelled (2), hard_negative (1)" in text
    assert "100 to 300, median 200" in text
    assert "float, 3 empty" in text
    assert "[10, 10, 40, 60]" in text
    assert said(instances, rows=1).count("\nrow ") == 1


def test_rows_are_chosen_by_value(instances: Path) -> None:
    text = said(instances, kind="hard_negative")
    assert "1 rows" in text
    assert "own:3" in text
    assert "own:1" not in text.split("row 0")[1]
    with pytest.raises(ValueError, match=r"instances.parquet: no column 'sort'; allowed: instance_id, "):
        said(instances, sort="x")
    with pytest.raises(ValueError, match="holds lists"):
        said(instances, bbox="1")


def test_what_a_stranger_wrote_cannot_steer_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"name": "\x1b[2Jgone"}))
    assert "\x1b" not in said(tmp_path / "a.json")
    assert "\\x1b[2Jgone" in said(tmp_path / "a.json")


def test_other_files_in_words(tmp_path: Path) -> None:
    (tmp_path / "figures.json").write_text(json.dumps({"val": {"AP": 0.5, "rows": [{"OKS": 1}]}}))
    assert "val.AP" in said(tmp_path / "figures.json")
    assert "val.rows[0].OKS" in said(tmp_path / "figures.json")
    people = {
        "images": [{}],
        "annotations": [{"id": 4}],
        "categories": [{"id": 3, "name": "dog", "keypoints": ["tail"]}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(people))
    assert "3: dog, 1 keypoints" in said(tmp_path / "coco.json")
    (tmp_path / "curve.csv").write_text("epoch,val_AP\n1,\n2,0.25\n")
    assert said(tmp_path / "curve.csv").splitlines()[-1].split() == ["2", "0.25"]


def test_a_model_in_words(tmp_path: Path) -> None:
    network = build(MODEL, 17)
    checkpoints.save(network, tmp_path / "net", {"keypoint_names": list(COCO.names), "trained_on": "grey walls"})
    text = said(tmp_path / "net")
    count = sum(value.numel() for value in network.state_dict().values())
    assert f"{count:,} numbers" in text
    assert "a pose of grey walls" in text
    assert "mobilenetv3_small_050" in text


@pytest.mark.parametrize(("name", "content"), [
    ("a.parquet", b"no table"), ("a.json", b"{"), ("a.csv", b'"\n'), ("a.onnx", b"no network"),
    ("a.pt", b"cos\nsystem\n"), ("a.yaml", b"a: 1"),
])  # fmt: skip
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        said(tmp_path / name)
    with pytest.raises(ValueError, match="nothing: no such file"):
        said(tmp_path / "nothing")


def test_rows_are_drawn_where_they_lie(instances: Path, tmp_path: Path) -> None:
    assert draw_rows(instances, tmp_path / "out", Progress()) == 2
    scale = 360 / 90
    for name, row, colour in (("a.png", 0, GREEN), ("b.png", 1, GREEN), ("b.png", 2, RED)):
        drawn = cv2.cvtColor(cv2.imread(str(tmp_path / "out" / name)), cv2.COLOR_BGR2RGB)
        assert drawn.shape == (360, 480, 3)
        x, y, width, _ = BOXES[row] * scale
        assert drawn[round(y), round(x + width / 2)].tolist() == list(colour)
    assert draw_rows(instances, tmp_path / "sheet.jpg", Progress(), 1) == 1
    assert cv2.imread(str(tmp_path / "sheet.jpg")) is not None


def test_nothing_to_draw(instances: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no rows to draw that --where chooses"):
        draw_rows(instances, tmp_path / "out", Progress(), where={"kind": "pseudo"})
    columns = {"file_name": ["a"], "bytes": [1], "content": ["0"]}
    write_table(tmp_path / "m.parquet", table_from("manifest", columns, TableInfo(COCO, {})))
    with pytest.raises(ValueError, match=r"m\.parquet: the table manifest has nothing to draw; allowed: instances"):
        draw_rows(tmp_path / "m.parquet", tmp_path / "out", Progress())


def test_pictures_are_not_drawn_over_themselves(instances: Path, tmp_path: Path) -> None:
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(ValueError, match=r"a\.png: the picture itself would be written over"):
        draw_rows(instances, tmp_path, Progress())
    assert (tmp_path / "a.png").read_bytes() == before


def test_columns_of_one_name(tmp_path: Path) -> None:
    """As DeepLabCut's tables have them."""
    (tmp_path / "labels.csv").write_text("scorer,me,me\nbodyparts,nose,nose\n1.jpg,3,4\n")
    assert "  1.jpg     3     4" in said(tmp_path / "labels.csv")


CONTENT = {
    "images": [{"id": 1}],
    "annotations": [{"id": 1, "bbox": [1, 2, 3, 4]}],
    "categories": [{"keypoints": ["a"]}],
}


@PLENTY
@given(place=st.sampled_from(places(CONTENT)), value=ODD | st.just(10**400), name=st.sampled_from(["a", "card"]))
@example(place=("categories",), value=[3], name="a")
@example(place=("annotations",), value={}, name="a")
def test_any_json(tmp_path: Path, place: tuple[Any, ...], value: Any, name: str) -> None:
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(changed(CONTENT, place, value)))
    problem = name
    try:
        problem = said(path)
    except ValueError as error:
        problem = str(error)
    assert str(path) in problem
    assert "\0" not in problem


def test_json_nested_deeply(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 900 + "]" * 900)
    with pytest.raises(ValueError, match=r"deep\.json: nested more than 60 deep"):
        said(tmp_path / "deep.json")
