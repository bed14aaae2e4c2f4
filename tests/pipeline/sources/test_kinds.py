"""Kinds of files that people really have, each made here: what is mended, what is derived, what is refused."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.records.images import MOST_PIXELS, ImageReader
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import table_info, to_numpy
from pipeline.settings import Source
from pipeline.sources import read_records
from pipeline.sources.detections import read_detections
from pipeline.sources.oddities import oddities
from tests.pipeline.sources.small import coco_content, ingested, write_coco, write_images

Content = dict[str, Any]


def plain(tables: dict[str, Any]) -> list[dict[str, Any]]:
    return tables["instances"].to_pylist()


def floats(content: Content) -> None:
    for record in [*content["images"], *content["annotations"], *content["categories"]]:
        for key in ("id", "image_id", "category_id", "width", "height", "iscrowd"):
            if key in record:
                record[key] = float(record[key])


def triples(content: Content) -> None:
    for record in content["annotations"]:
        values = record["keypoints"]
        record["keypoints"] = [values[i : i + 3] for i in range(0, len(values), 3)]


def nulls(content: Content) -> None:
    for record in content["annotations"]:
        record |= {"iscrowd": None, "segmentation": None}
        record["keypoints"] = [None if i % 3 < 2 and record["keypoints"][i // 3 * 3 + 2] == 0 else v
                               for i, v in enumerate(record["keypoints"])]  # fmt: skip


def nans(content: Content) -> None:
    for record in content["annotations"]:
        for start in range(0, len(record["keypoints"]), 3):
            if record["keypoints"][start + 2] == 0:
                record["keypoints"][start : start + 2] = [float("nan")] * 2


def another_case(content: Content) -> None:
    content["categories"] = [{"id": 1, "name": " PERSON"}, {"id": 2, "name": "car"}]


@pytest.mark.parametrize("change", [floats, triples, nulls, nans, another_case])
def test_forms_that_mean_the_same(tmp_path: Path, change: Callable[[Content], None]):
    content = coco_content()
    expected = plain(ingested(write_coco(tmp_path / "set", content)))
    change(content)
    tables = ingested(write_coco(tmp_path / "set", content))
    assert tables["quarantine"].num_rows == 0
    assert plain(tables) == expected


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: b"\xef\xbb\xbf" + data])
def test_packed_and_marked_files(tmp_path: Path, pack: Callable[[bytes], bytes]):
    expected = plain(ingested(write_coco(tmp_path / "set", coco_content())))
    assert plain(ingested(write_coco(tmp_path / "set", pack(json.dumps(coco_content()).encode())))) == expected


def test_what_is_derived_is_counted(tmp_path: Path):
    content = coco_content()
    first, second, third = content["annotations"]
    first["area"] = 0
    second["bbox"] = [0, 0, 0, 0]
    del third["bbox"], third["keypoints"]
    third["segmentation"] = [[10, 10, 30, 10, 30, 20]]
    tables = ingested(write_coco(tmp_path / "set", content))
    assert tables["figures"]["derived"] == {
        "areas of 0, taken as absent": 1, "boxes derived from the keypoints": 1, "boxes derived from the mask": 1
    }  # fmt: skip
    people = plain(tables)
    assert people[0]["area"] == pytest.approx(0.53 * 20 * 30)
    seen = [(x, y) for x, y, v in zip(*[iter(second["keypoints"])] * 3, strict=True) if v]
    (left, top), (right, bottom) = map(min, zip(*seen, strict=True)), map(max, zip(*seen, strict=True))
    wide, high = right - left, bottom - top
    assert people[1]["bbox"] == pytest.approx([left - 0.15 * wide, top - 0.15 * high, 1.3 * wide, 1.3 * high])
    assert people[2]["bbox"] == pytest.approx([7, 8.5, 26, 13])


def test_an_image_listed_twice_is_one(tmp_path: Path):
    content = coco_content()
    content["images"] += [{"id": 9, "file_name": "1.jpg"}, content["images"][1]]
    content["annotations"].append(content["annotations"][0] | {"id": 99, "image_id": 9})
    tables = ingested(write_coco(tmp_path / "set", content))
    assert (tables["images"].num_rows, tables["quarantine"].num_rows) == (3, 0)
    assert [row["image_id"] for row in plain(tables)] == ["it:1", "it:2", "it:3", "it:1"]


@pytest.mark.parametrize("name", ["train/images/2.jpg", "C:\\data\\2.jpg", "/home/somebody/2.jpg"])
def test_a_file_of_another_folder_is_named(tmp_path: Path, name: str):
    content = coco_content()
    content["images"][1]["file_name"] = name
    aside = ingested(write_coco(tmp_path / "set", content))["quarantine"].to_pylist()
    assert "but 2.jpg is there: set `images`, or strip the folder" in aside[0]["value"]


@pytest.mark.parametrize("keypoints", [None, ["point"]])
def test_a_category_a_point(tmp_path: Path, keypoints: list[str] | None):
    content = coco_content()
    names = ["Nose", "left eye", "right-eye", "left_ear"]
    extra = {} if keypoints is None else {"keypoints": keypoints}
    content["categories"] = [{"id": i, "name": name, **extra} for i, name in enumerate(names)]
    with pytest.raises(ValueError, match="every keypoint is a category of its own"):
        ingested(write_coco(tmp_path / "set", content))


def test_chosen_categories(tmp_path: Path):
    content = coco_content()
    names = content["categories"][0]["keypoints"]
    content["categories"] = [
        {"id": i, "name": name, "keypoints": names} for i, name in enumerate(["a", "lynx", "ibex"])
    ]
    for number, record in enumerate(content["annotations"]):
        record["category_id"] = number
    source = write_coco(tmp_path / "set", content)
    assert ingested(source)["instances"].num_rows == 3
    tables = ingested(source.model_copy(update={"categories": ["ibex", "lynx"]}))
    assert [row["instance_id"] for row in plain(tables)] == ["it:11", "it:12"]
    assert table_info(tables["images"]).made_by["category"] == 2
    with pytest.raises(ValueError, match="there is no 'puma'; the file has a, lynx, ibex"):
        ingested(source.model_copy(update={"categories": ["puma"]}))


def shown(pixels: np.ndarray, turn: int) -> np.ndarray:
    """EXIF's eight orientations by their definition: where the first row and the first column of the store belong."""
    return {
        1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1], 5: pixels.transpose(1, 0, 2),
        6: pixels.transpose(1, 0, 2)[:, ::-1], 7: pixels.transpose(1, 0, 2)[::-1, ::-1],
        8: pixels.transpose(1, 0, 2)[::-1],
    }[turn]  # fmt: skip


def write_turned(path: Path, turn: int) -> np.ndarray:
    """A picture that is stored as 64 x 48 and turned by its EXIF; its stored pixels."""
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.open(path).save(path, exif=exif, quality=95)
    return ImageReader().read(path).copy()


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("frame", ["stored", "exif"])
def test_turned_pictures_are_read_in_the_labels_frame(tmp_path: Path, turn: int, frame: str):
    content = coco_content()
    source = write_coco(tmp_path / "set", content)
    stored = write_turned(tmp_path / "set/images/2.jpg", turn)
    expected = stored if frame == "stored" else shown(stored, turn)
    height, width = expected.shape[:2]
    content["images"][1] |= {"width": width, "height": height}
    (tmp_path / "set/index.json").write_text(json.dumps(content))
    row = ingested(source.model_copy(update={"orientation": frame}))["images"].to_pylist()[1]
    assert (row["width"], row["height"]) == (width, height)
    assert np.array_equal(ImageReader().read(tmp_path / "set/images" / row["file_name"]), expected)
    half = ImageReader().read(tmp_path / "set/images" / row["file_name"], 2)
    assert half.shape[:2] == (height // 2, width // 2)
    if turn in (1, 5, 6, 7, 8):  # the sizes tell
        assert ingested(source)["images"].to_pylist()[1] == row
    else:
        with pytest.raises(ValueError, match=r"data.sources.it: 1 pictures, such as 2.jpg, .*`orientation: exif` or"):
            ingested(source)


@pytest.mark.parametrize("frame", ["stored", "exif"])
def test_an_orientation_that_the_sizes_contradict_is_named(tmp_path: Path, frame: str):
    content = coco_content()
    source = write_coco(tmp_path / "set", content)
    write_turned(tmp_path / "set/images/2.jpg", 6)
    content["images"][1] |= {"width": 48, "height": 64} if frame == "stored" else {"width": 64, "height": 48}
    (tmp_path / "set/index.json").write_text(json.dumps(content))
    aside = ingested(source.model_copy(update={"orientation": frame}))["quarantine"].to_pylist()
    assert aside[0]["reason"] == "the image has another size than its record says"
    assert f"its EXIF turns it, and the record's size is not that of `orientation: {frame}`" in aside[0]["value"]


def test_pictures_without_labels_are_shown_as_viewers_do(tmp_path: Path):
    write_images(tmp_path / "set", 2)
    write_turned(tmp_path / "set/2.jpg", 6)
    tables = ingested(Source(format="folder", index="set", images="set", keypoints="coco"))
    assert [(row["width"], row["height"]) for row in tables["images"].to_pylist()] == [(64, 48), (48, 64)]


def test_manifests_hold_contents_and_no_times(tmp_path: Path):
    source = write_coco(tmp_path / "set", coco_content())
    first = ingested(source)["manifest"]
    os.utime(tmp_path / "set/images/1.jpg", (1, 1))
    assert ingested(source)["manifest"].equals(first)
    picture = tmp_path / "set/images/1.jpg"
    data = bytearray(picture.read_bytes())
    data[len(data) // 2] ^= 1  # the same size
    picture.write_bytes(bytes(data))
    assert not ingested(source)["manifest"].equals(first)


@pytest.mark.parametrize("value", [b"null", b'"none"', b"5"])
def test_annotations_that_are_no_list(tmp_path: Path, value: bytes):
    data = (
        json.dumps(coco_content() | {"annotations": []})
        .encode()
        .replace(b'"annotations": []', b'"annotations": ' + value)
    )
    with pytest.raises(ValueError, match=r"index.json: 'annotations' is .*; a list belongs there"):
        ingested(write_coco(tmp_path / "set", data))


@pytest.mark.parametrize("around", ["%s", '{"images": %s}', '{"images": [], "categories": %s}'])
@pytest.mark.parametrize("format", ["coco", "aic", "mpii", "label_studio"])
def test_json_nested_a_hundred_thousand_deep(tmp_path: Path, around: str, format: str):
    data = (around % ("[" * 100_000 + "]" * 100_000)).encode()
    source = write_coco(tmp_path / "set", data).model_copy(update={"format": format})
    keypoints = {"aic": "aic", "mpii": "mpii"}.get(format, "coco")
    with pytest.raises(ValueError, match=r"index.json|bad"):
        ingested(source.model_copy(update={"keypoints": keypoints}), max_bad_share=0)


def test_pipes_and_links(tmp_path: Path):
    source = write_coco(tmp_path / "set", coco_content())
    root = tmp_path / "set/images"
    (root / "1.jpg").rename(tmp_path / "outside.jpg")
    (root / "1.jpg").symlink_to(tmp_path / "outside.jpg")
    (root / "3.jpg").rename(root / "within.jpg")
    (root / "3.jpg").symlink_to("within.jpg")
    (root / "2.jpg").unlink()
    os.mkfifo(root / "2.jpg")
    aside = ingested(source)["quarantine"].to_pylist()
    reasons = [row["reason"] for row in aside if row["record"].startswith("image")]
    assert reasons == ["the link leaves the image root", "the image is unreadable or truncated"]
    tables = ingested(source.model_copy(update={"links": "anywhere"}))
    assert [row["file_name"] for row in tables["images"].to_pylist()] == ["1.jpg", "3.jpg"]
    with pytest.raises(ValueError, match=r"2.jpg: cannot be read"):
        ImageReader().read(root / "2.jpg")
    with pytest.raises(ValueError, match=r"2.jpg: not a file"):
        read_records(source.model_copy(update={"index": str(root / "2.jpg")}))


def test_link_loops_in_a_folder(tmp_path: Path):
    write_images(tmp_path / "set/below", 2)
    (tmp_path / "set/below/up").symlink_to(tmp_path / "set")
    (tmp_path / "set/itself").symlink_to("itself")
    records = read_records(Source(format="folder", index="set", images="set", keypoints="coco"))
    assert records.images.file_names == ["below/1.jpg", "below/2.jpg"]


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_bombs_are_refused_by_their_header(tmp_path: Path, suffix: str):
    source = write_coco(tmp_path / "set", coco_content())
    side = int(MOST_PIXELS**0.5) + 1
    data = bytearray(cv2.imencode(f".{suffix}", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    if suffix == "png":
        data[16:24] = side.to_bytes(4, "big") * 2
        data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    else:
        place = data.index(b"\xff\xc0") + 5
        data[place : place + 4] = side.to_bytes(2, "big") * 2
    (tmp_path / "set/images/2.jpg").write_bytes(bytes(data))
    aside = ingested(source)["quarantine"].to_pylist()
    assert f"{side} x {side} pixels; allowed" in aside[0]["value"]


@pytest.mark.parametrize("what", ["bbox", "keypoints"])
def test_shares_for_pixels(tmp_path: Path, what: str):
    content = coco_content()
    for record in content["annotations"]:
        values = record[what]
        scale = [64, 48, 1] if what == "keypoints" else [64, 48]
        record[what] = [value / scale[i % len(scale)] for i, value in enumerate(values)]
    with pytest.raises(ValueError, match=r"coordinates lie in 0..1, they are shares of the picture"):
        ingested(write_coco(tmp_path / "set", content))


@pytest.mark.parametrize("what", ["boxes", "keypoints", ""])
def test_percent_for_pixels(tmp_path: Path, what: str):
    """Six people side by side in pictures of 640 x 480."""
    content = coco_content(6)
    for image in content["images"]:
        image |= {"width": 640, "height": 480}
    for number, record in enumerate(content["annotations"]):
        left, top = 100 * number + 5, 30
        record |= {"bbox": [left, top, 90, 420], "segmentation": [], "keypoints": []}
        for k in range(17):
            record["keypoints"] += [left + 5 * k, top + 24 * k, 2]
        if what == "boxes":
            record["bbox"] = [v / side for v, side in zip(record["bbox"], [6.4, 4.8] * 2, strict=True)]
        if what == "keypoints":
            record["keypoints"] = [v / side for v, side in zip(record["keypoints"], [6.4, 4.8, 1] * 17, strict=True)]
    found = oddities(read_records(write_coco(tmp_path / "set", content)), load_keypoint_set("coco"))
    percents = [text for text in found if "percent" in text]
    assert len(percents) == bool(what)
    for text in percents:
        assert text.startswith(f"the {what}' coordinates lie in 0..100, in pictures of 640 x 480 pixels: ")


def test_detections_of_another_category(tmp_path: Path):
    content = coco_content()
    content["categories"][0]["id"] = 3
    for record in content["annotations"]:
        record["category_id"] = 3
    images = ingested(write_coco(tmp_path / "set", content))["images"]
    box = {"image_id": 1.0, "bbox": [1, 2, 3, 4], "score": 0.5}
    Path("good.json").write_text(json.dumps([box | {"category_id": 3}]))
    assert read_detections("good.json", images).num_rows == 1
    Path("other.json").write_text(json.dumps([box | {"category_id": 0}, box | {"category_id": 1}]))
    with pytest.raises(ValueError, match=r"category 3 is asked for, .*the file has category 0, 1"):
        read_detections("other.json", images)


def test_boxes_that_do_not_fit(tmp_path: Path):
    content = coco_content()
    content["annotations"][1]["bbox"] = [45, 40, 10, 6]
    records = read_records(write_coco(tmp_path / "set", content))
    assert oddities(records, load_keypoint_set("coco")) == [
        "1 boxes do not fit their keypoints, such as annotation 11: most lie outside"
    ]


def test_visibility_of_0_and_1(tmp_path: Path):
    content = coco_content()
    for record in content["annotations"]:
        record["keypoints"][2::3] = [min(value, 1) for value in record["keypoints"][2::3]]
    (warning,) = oddities(read_records(write_coco(tmp_path / "set", content)), load_keypoint_set("coco"))
    assert warning.startswith("all 33 labelled keypoints have visibility 1, which means occluded")


def test_ids_that_are_texts_stay_texts(tmp_path: Path):
    content = coco_content()
    for record in content["images"]:
        record["id"] = f"00{record['id']}"
    for record in content["annotations"]:
        record["image_id"] = f"00{record['image_id']}"
    tables = ingested(write_coco(tmp_path / "set", content))
    assert table_info(tables["images"]).made_by["text_ids"] is True
    assert to_numpy(tables["instances"], "bbox").shape == (3, 4)
