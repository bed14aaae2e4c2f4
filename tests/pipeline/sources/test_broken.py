"""Broken inputs, each with what becomes of it: records go to quarantine with a reason, files stop with a message."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipeline.settings import Source
from pipeline.sources.detections import read_detections
from tests.pipeline.sources.small import aic_content, coco_content, ingested, write_aic, write_coco, write_images

Breaks = Callable[[dict[str, Any]], None]
PERSON, IMAGE = "annotation 11", "image 2"


def _set(kind: str, key: str, value: Any) -> Breaks:
    """Give the second record of a kind another value."""

    def change(content: dict[str, Any]) -> None:
        content[kind][1][key] = value

    return change


def _person(key: str, value: Any) -> Breaks:
    return _set("annotations", key, value)


def _image(key: str, value: Any) -> Breaks:
    return _set("images", key, value)


def _without(kind: str, key: str) -> Breaks:
    def change(content: dict[str, Any]) -> None:
        del content[kind][1][key]

    return change


def _record(kind: str, value: Any) -> Breaks:
    def change(content: dict[str, Any]) -> None:
        content[kind][1] = value

    return change


def _again(kind: str) -> Breaks:
    def change(content: dict[str, Any]) -> None:
        content[kind].append(copy.deepcopy(content[kind][1]))

    return change


COCO_RECORDS: list[tuple[str, Breaks, str, str]] = [
    ("box with three numbers", _person("bbox", [1, 2, 3]), PERSON, "bbox has the wrong number of values"),
    (
        "no box, no keypoints",
        _record("annotations", {"id": 11, "image_id": 2, "category_id": 1}),
        PERSON,
        "no box, and neither keypoints nor a mask to derive it from",
    ),
    ("box of words", _person("bbox", [1, 2, "3", 4]), PERSON, "bbox is not a list of 4 numbers"),
    ("box with NaN", _person("bbox", [1, 2, float("nan"), 4]), PERSON, "the box is not finite"),
    ("box with infinity", _person("bbox", [1, 2, float("inf"), 4]), PERSON, "the box is not finite"),
    ("box without width", _person("bbox", [1, 2, 0, 4]), PERSON, "the box is empty"),
    ("box with negative height", _person("bbox", [1, 2, 3, -4]), PERSON, "the box is empty"),
    ("box right of the image", _person("bbox", [64, 2, 3, 4]), PERSON, "the box lies outside the image"),
    ("box above the image", _person("bbox", [1, -10, 3, 4]), PERSON, "the box lies outside the image"),
    ("sixteen keypoints", _person("keypoints", [1] * 48), PERSON, "keypoints has the wrong number of values"),
    ("keypoints of words", _person("keypoints", ["a"] * 51), PERSON, "keypoints is not a list of 51 numbers"),
    ("keypoints as text", _person("keypoints", "1,2,2"), PERSON, "keypoints is not a list of 51 numbers"),
    ("keypoint with null", _person("keypoints", [None] * 51), PERSON, "keypoints is not a list of 51 numbers"),
    ("keypoint with NaN", _person("keypoints", [float("nan"), 1, 2] * 17), PERSON, "a keypoint is not finite"),
    ("visibility 3", _person("keypoints", [1, 1, 3] * 17), PERSON, "visibility is not 0, 1 or 2"),
    ("visibility 0.5", _person("keypoints", [1, 1, 0.5] * 17), PERSON, "visibility is not 0, 1 or 2"),
    ("area below 0", _person("area", -5), PERSON, "the area is not a number above 0"),
    ("area as text", _person("area", "big"), PERSON, "area is not a number"),
    ("iscrowd 2", _person("iscrowd", 2), PERSON, "iscrowd is neither 0 nor 1"),
    ("unknown image", _person("image_id", 99), PERSON, "unknown image id"),
    ("fractional image id", _person("image_id", 2.5), "annotation 11", "no image_id"),
    ("no image id", _without("annotations", "image_id"), PERSON, "no image_id"),
    ("no annotation id", _without("annotations", "id"), "annotation None", "no id"),
    ("annotation id twice", _again("annotations"), PERSON, "duplicate annotation id"),
    ("unknown category", _person("category_id", 7), PERSON, "unknown category id"),
    ("annotation that is a number", _record("annotations", 5), "annotation", "the record is not an object"),
    ("annotation that is null", _record("annotations", None), "annotation", "the record is not an object"),
    ("number beyond all bounds", _person("bbox", [1, 2, 10**400, 4]), PERSON, "the record cannot be read"),
    ("no file name", _without("images", "file_name"), IMAGE, "no file name"),
    ("empty file name", _image("file_name", ""), IMAGE, "no file name"),
    ("no image id in an image", _without("images", "id"), "image None", "no id"),
    ("image id twice", _image("id", 1), "image 1", "duplicate image id"),
    ("width of 0", _image("width", 0), IMAGE, "width and height are not whole numbers above 0"),
    ("width as text", _image("width", "64"), IMAGE, "width and height are not whole numbers above 0"),
    ("another size than the file", _image("width", 65), IMAGE, "the image has another size than its record says"),
    ("missing image", _image("file_name", "none.jpg"), IMAGE, "the image is missing"),
    ("path upwards", _image("file_name", "../index.json"), IMAGE, "the path leaves the image root"),
    ("path upwards in the middle", _image("file_name", "a/../../index.json"), IMAGE, "the path leaves the image root"),
    ("absolute path", _image("file_name", "/etc/passwd"), IMAGE, "the path leaves the image root"),
    ("zero byte in the name", _image("file_name", "a\0.jpg"), IMAGE, "the file name has a zero byte"),
    ("a folder for an image", _image("file_name", "."), IMAGE, "the image is a folder"),
    ("image that is a list", _record("images", []), "image", "the record is not an object"),
    ("image id that is true", _image("id", True), "image True", "no id"),
    ("half a character in a file name", _image("file_name", "\ud800.jpg"), IMAGE, "no file name"),
    ("half a character in an id", _person("image_id", "\ud800"), PERSON, "no image_id"),
    (
        "half a character among keypoints",
        _person("keypoints", ["\ud800"] * 51),
        PERSON,
        "keypoints is not a list of 51 numbers",
    ),
    ("box beyond float32", _person("bbox", [1, 2, 1e39, 4]), PERSON, "the box is not finite"),
]


@pytest.mark.parametrize(
    ("change", "record", "reason"), [c[1:] for c in COCO_RECORDS], ids=[c[0] for c in COCO_RECORDS]
)
def test_broken_coco_records(tmp_path: Path, change: Breaks, record: str, reason: str):
    content = coco_content()
    change(content)
    tables = ingested(write_coco(tmp_path / "set", content))
    aside = tables["quarantine"].to_pylist()
    assert (aside[0]["record"], aside[0]["reason"]) == (record, reason)
    assert Path(aside[0]["file"]).name == "index.json"
    kept = [row["instance_id"] for row in tables["instances"].to_pylist()]
    assert "it:10" in kept  # the run goes on with the good ones
    assert "it:12" in kept
    assert tables["told"]["quarantined"] == len(aside) == sum(tables["figures"]["quarantined"].values())
    # An image set aside takes its person along, and nothing else goes.
    followers = [row for row in aside[1:] if row["reason"] in ("its image was set aside", "unknown image id")]
    assert len(aside) == 1 + len(followers)
    assert len(kept) + sum("annotation" in row["record"] for row in aside) == len(content["annotations"])


FIRST = json.dumps(coco_content())
COCO_TEXTS = [
    ("annotation cut short", FIRST.replace('"id": 11,', '"id": 11 "x",'), "the record is not valid JSON"),
    ("hole in an outline", FIRST.replace("[4, 5, 24, 5, 24, 35]", "[4,,5]"), "the record is not valid JSON"),
    ("image with a stray word", FIRST.replace('"id": 2, "file_name"', '"id": 2, oops "file_name"'),
     "the record is not valid JSON"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), [c[1:] for c in COCO_TEXTS], ids=[c[0] for c in COCO_TEXTS])
def test_broken_coco_texts(tmp_path: Path, text: str, reason: str):
    assert text != FIRST
    tables = ingested(write_coco(tmp_path / "set", text.encode()))
    assert tables["quarantine"].to_pylist()[0]["reason"] == reason
    assert tables["instances"].num_rows == 2


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-400])


def _corrupt(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[600:700] = b"\xff\xd8" * 50
    path.write_bytes(bytes(data))


def _no_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20])


def _text(path: Path) -> None:
    path.write_text("<html>404</html>")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _cut_png(path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    path.write_bytes(cv2.imencode(".png", picture)[1].tobytes()[:60])


IMAGES = [(_truncated, False), (_truncated, True), (_corrupt, True), (_no_header, False), (_text, False),
          (_empty, False), (_cut_png, False)]  # fmt: skip


@pytest.mark.parametrize(("harm", "check_images"), IMAGES)
def test_broken_images(tmp_path: Path, harm: Callable[[Path], None], check_images: bool):
    source = write_coco(tmp_path / "set", coco_content())
    harm(tmp_path / "set/images/2.jpg")
    tables = ingested(source, check_images=check_images)
    first, second = tables["quarantine"].to_pylist()
    assert (first["record"], first["reason"]) == ("image 2", "the image is unreadable or truncated")
    assert "2.jpg" in first["value"]
    assert second["reason"] == "its image was set aside"
    assert [row["file_name"] for row in tables["images"].to_pylist()] == ["1.jpg", "3.jpg"]


def _aic(change: Callable[[dict[str, Any]], None]) -> list[Any]:
    content = aic_content()
    change(content[1])
    return content


AIC = [
    ("visibility 0", lambda r: r["keypoint_annotations"]["human1"].__setitem__(2, 0), "visibility is not 1, 2 or 3"),
    ("13 joints", lambda r: r["keypoint_annotations"]["human1"].__delitem__(slice(0, 3)),
     "keypoints has the wrong number of values"),
    ("person without joints", lambda r: r["keypoint_annotations"].clear(), "keypoints is not a list of 42 numbers"),
    ("person without a box", lambda r: r["human_annotations"].clear(), "box is not a list of 4 numbers"),
    ("corners the wrong way", lambda r: r["human_annotations"].update(human1=[24, 35, 4, 5]), "the box is empty"),
    ("no image_id", lambda r: r.pop("image_id"), "no image_id"),
    ("people as a list", lambda r: r.update(human_annotations=[]), "human_annotations is not an object"),
    ("missing image", lambda r: r.update(image_id="none"), "the image is missing"),
    ("path upwards", lambda r: r.update(image_id="../../x"), "the path leaves the image root"),
    ("same image twice", lambda r: r.update(image_id="1"), "duplicate annotation id"),
    ("half a character in the name", lambda r: r.update(image_id="\ud800"), "no image_id"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "reason"), [c[1:] for c in AIC], ids=[c[0] for c in AIC])
def test_broken_aic_records(tmp_path: Path, change: Callable[[dict[str, Any]], None], reason: str):
    tables = ingested(write_aic(tmp_path / "set", _aic(change)))
    assert tables["quarantine"].to_pylist()[0]["reason"] == reason
    ids = [row["instance_id"] for row in tables["instances"].to_pylist()]
    assert "it:1/human2" in ids
    assert "it:3/human1" in ids
    assert "it:2/human1" not in ids


FILES: list[tuple[str, bytes, str]] = [
    ("empty", b"", "the file is empty"),
    ("white space", b" \n ", "the file is empty"),
    ("cut off", FIRST.encode()[:-30], "not valid JSON"),
    ("too many brackets", FIRST.encode() + b"}", "not valid JSON"),
    ("an HTML page", b"<html></html>", "not JSON annotations"),
    ("a list", b"[]", "it has no 'images'"),
    ("no images", b'{"annotations": []}', "it has no 'images'"),
    ("images as an object", b'{"images": {}}', "'images' is no array"),
    ("categories without ids", b'{"images": [], "annotations": [], "categories": [{"name": "person"}]}',
     "'categories' is not a list"),
    ("keypoints that are a number", b'{"images": [], "categories": [{"id": 1, "keypoints": 3}]}',
     "keypoints is no list: 3"),
    ("an empty list", b'{"images": [], "annotations": []}', "lists no images"),
    ("other keypoints", json.dumps(coco_content(keypoints="aic")).encode(),
     "14 there, 17 here; only there: top_of_head, neck"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "message"), [f[1:] for f in FILES], ids=[f[0] for f in FILES])
def test_broken_files_stop_with_their_name(tmp_path: Path, data: bytes, message: str):
    source = write_coco(tmp_path / "set", data)
    with pytest.raises(ValueError, match=f"index.json: .*{message}"):
        ingested(source)


@pytest.mark.parametrize(
    ("format", "index", "message"),
    [
        ("coco", "none.json", "cannot be read: No such file"),
        ("aic", "set/index.json", "expected a list of images"),
        ("folder", "none", "no such folder or list of images"),
        ("folder", "empty", "no images in it"),
        ("folder", "set", "does not lie in the image root"),
        ("folder", "set/images/1.jpg", "neither a folder nor a text file"),
        ("posetrack", "empty", "no PoseTrack18 sequence"),
    ],
)
def test_broken_sources(tmp_path: Path, format: Any, index: str, message: str):
    write_coco(tmp_path / "set", coco_content())
    (tmp_path / "empty").mkdir()
    images = "empty" if index == "empty" else "set/images"
    with pytest.raises(ValueError, match=message):
        ingested(Source(format=format, index=index, images=images, keypoints="coco" if format != "aic" else "aic"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "holds no detections"),
        ({}, "expected a list of detections"),
        ([5], "a detection is no object"),
        ([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3], "score": 0.5}], "bbox has the wrong number"),
        ([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}], "not finite numbers"),
        ([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": float("nan")}], "not finite numbers"),
        ([{"image_id": None, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}], "has no image_id"),
        ([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 10**400], "score": 0.5}], "not finite numbers"),
        ([{"image_id": 9, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}], "none of its 1 detections"),
    ],
)
def test_broken_detections(tmp_path: Path, content: Any, message: str):
    images = ingested(write_coco(tmp_path / "set", coco_content()))["images"]
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"boxes.json: .*{message}"):
        read_detections(tmp_path / "boxes.json", images)


POSETRACK: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("visibility 3", {}, {"keypoints": [1, 1, 3] * 17}, "visibility is not 0, 1 or 2"),
    ("fifteen keypoints", {}, {"keypoints": [1, 1, 1] * 15}, "keypoints has the wrong number of values"),
    (
        "keypoints of words, no box",
        {},
        {"keypoints": ["a"] * 51, "bbox": None},
        "keypoints is not a list of 51 numbers",
    ),
    ("unknown frame", {}, {"image_id": 9}, "unknown image id"),
    ("missing frame", {"file_name": "none.jpg"}, {}, "the image is missing"),
    ("regions that are a number", {"ignore_regions_x": 5, "ignore_regions_y": 5}, {}, ""),
    ("regions of words", {"ignore_regions_x": [["a", 1, 2]], "ignore_regions_y": [[1, 2, 3]]}, {}, ""),
]


@pytest.mark.parametrize(("frame", "person", "reason"), [c[1:] for c in POSETRACK], ids=[c[0] for c in POSETRACK])
def test_broken_posetrack_records(tmp_path: Path, frame: dict[str, Any], person: dict[str, Any], reason: str):
    content = coco_content(keypoints="posetrack")
    content["images"][1] |= frame
    content["annotations"][1] |= {"keypoints": [1, 1, 1] * 17} | person
    write_coco(tmp_path / "set", content)
    tables = ingested(Source(format="posetrack", index="set/index.json", images="set/images", keypoints="posetrack"))
    aside = tables["quarantine"].to_pylist()
    assert [row["reason"] for row in aside][:1] == [reason][: bool(reason)]
    assert tables["instances"].num_rows == 3 - bool(reason)


def test_too_many_bad_records_stop_the_run(tmp_path: Path):
    content = coco_content(20)
    for record in content["annotations"][:3]:
        record["bbox"] = [1, 2, 0, 4]
    source = write_coco(tmp_path / "set", content)
    assert ingested(source, max_bad_share=0.15)["told"]["quarantined"] == 3
    with pytest.raises(ValueError, match=r"3 of 23 records are bad.*0.1 allows: 3 x the box is empty.*annotation 10"):
        ingested(source, max_bad_share=0.1)


def test_a_listed_file_may_not_leave_the_root(tmp_path: Path):
    write_images(tmp_path / "set", 2)
    (tmp_path / "list.txt").write_text("1.jpg\n\n../list.txt\n2.jpg\n")
    tables = ingested(Source(format="folder", index="list.txt", images="set", keypoints="coco"))
    assert [row["file_name"] for row in tables["images"].to_pylist()] == ["1.jpg", "2.jpg"]
    assert tables["quarantine"].to_pylist()[0]["reason"] == "the path leaves the image root"
