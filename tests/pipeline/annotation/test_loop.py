"""People out to a labelling program and back: ids, order, and what a summary says of known corrections."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest

from pipeline.annotation import coco, label_studio
from pipeline.annotation.choosing import Candidate, chosen
from pipeline.annotation.merging import corrections_file, differs, matched, read_returned, summary, write_corrections
from pipeline.annotation.people import Export, Sent, read_record, write_record
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.likeness import ALIKE
from pipeline.settings import Source
from pipeline.sources import read_records

COCO = load_keypoint_set("coco")
WIDTH, HEIGHT = 320, 240


def sent(number: int, picture: str, x: float, y: float) -> Sent:
    """A person of 60 x 100 pixels with all keypoints on a grid, the last two unsure."""
    grid = np.stack([np.arange(17) % 4 * 15.0 + 5, np.arange(17) // 4 * 20.0 + 5], 1) + np.array([x, y])
    keypoints = np.c_[grid, [2] * 15 + [1] * 2]
    return Sent(
        picture, np.array([x, y, 60.0, 100.0]), keypoints, None, f"u:{number}", f"u:{picture[0]}", "u", picture,
        (WIDTH, HEIGHT), "teacher:1", 0.1,
    )  # fmt: skip


EXPORT = Export(COCO.names, (sent(1, "a ä.jpg", 10, 20), sent(2, "a ä.jpg", 120, 30), sent(3, "b/b.jpg", 50, 50)))


def returned(tmp_path: Path, content: Any) -> Path:
    (tmp_path / "back.json").write_text(json.dumps(content))
    return tmp_path / "back.json"


def as_label_studio_exports(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What comes back of tasks that somebody has submitted as they were."""
    back = copy.deepcopy(tasks)
    for number, task in enumerate(back):
        task |= {"id": number, "annotations": [{"result": task.pop("predictions")[0]["result"], "completed_by": 1}]}
    return back


@pytest.mark.parametrize("kind", ["coco", "label studio"])
def test_what_comes_back_untouched_is_unchanged(kind: str, tmp_path: Path) -> None:
    content = coco.document(EXPORT.people, COCO)
    tasks = as_label_studio_exports(label_studio.tasks(EXPORT.people, COCO.names))
    path = returned(tmp_path, content if kind == "coco" else tasks)
    found = matched(EXPORT, read_returned(path, COCO.names), path)
    assert {a.person for a, b in found.pairs if not differs(a, b).any()} == {"u:1", "u:2", "u:3"}
    assert not found.added
    assert not found.removed
    assert write_corrections(found, EXPORT, COCO, "back.json", "", confirmed=False) == {}


def test_ids_may_be_counted_anew_and_keypoints_reordered(tmp_path: Path) -> None:
    """CVAT numbers annotations and pictures by itself, and its pictures may lie in a folder."""
    content = coco.document(EXPORT.people, COCO)
    order = np.random.default_rng(0).permutation(17)
    category = content["categories"][0]
    category["keypoints"] = [category["keypoints"][i] for i in order]
    for number, entry in enumerate(content["annotations"]):
        entry["id"] = 900 - number
        entry["keypoints"] = np.reshape(entry["keypoints"], (17, 3))[order].reshape(-1).tolist()
    for image in content["images"]:
        image["file_name"] = f"images/{image['file_name']}"
    content["annotations"].reverse()
    path = returned(tmp_path, content)
    found = matched(EXPORT, read_returned(path, COCO.names), path)
    assert {a.person for a, b in found.pairs if not differs(a, b).any()} == {"u:1", "u:2", "u:3"}


def test_the_summary_says_what_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A nose moved by two of its sigmas, a pair of wrists exchanged, an ear removed; a person added, one removed."""
    monkeypatch.chdir(tmp_path)
    assert COCO.sigmas is not None
    content = coco.document(EXPORT.people, COCO)
    first, second = (entry["keypoints"] for entry in content["annotations"][:2])
    sigma = 2 * COCO.sigmas[0] * np.sqrt(60 * 100)
    first[0] += 2 * sigma
    left, right = 3 * COCO.index("left_wrist"), 3 * COCO.index("right_wrist")
    second[left : left + 2], second[right : right + 2] = second[right : right + 2], second[left : left + 2]
    ear = 3 * COCO.index("left_ear")
    second[ear : ear + 3] = [0, 0, 0]
    content["annotations"].pop()  # u:3
    content["annotations"].append(coco.annotation(77, 2, sent(9, "b/b.jpg", 200, 100)))
    path = returned(tmp_path, content)
    found = matched(EXPORT, read_returned(path, COCO.names), path)
    text = "\n".join(summary(found, COCO))
    assert "2 people came back, 2 of them corrected; 1 added, 1 removed; 0 on pictures" in text
    assert "nose: 1 moved, by 2.0 sigmas in the median" in text
    assert "left_ear: 1 removed" in text
    assert "exchanged: left_wrist and right_wrist of 1 people" in text
    assert "left_wrist: " not in text
    assert write_corrections(found, EXPORT, COCO, "back.json", "anna", confirmed=False) == {"u": 3}
    written = corrections_file("u").read_bytes()
    write_corrections(found, EXPORT, COCO, "back.json", "anna", confirmed=False)
    assert corrections_file("u").read_bytes() == written  # merging twice changes nothing
    came_from = {entry["id"]: entry["came_from"] for entry in json.loads(written)["annotations"]}
    assert came_from["u:1"] == {
        "by": "anna", "changed": True, "file": "back.json", "person": "u:1", "teacher": "teacher:1",
    }  # fmt: skip
    assert came_from["u:3"]["removed"] is True


def test_corrections_are_a_source_like_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = coco.document(EXPORT.people, COCO)
    content["annotations"][0]["keypoints"][0] += 20
    path = returned(tmp_path, content)
    found = matched(EXPORT, read_returned(path, COCO.names), path)
    write_corrections(found, EXPORT, COCO, "back.json", "", confirmed=True)
    records = read_records(Source(format="coco", index=str(corrections_file("u")), images=".", keypoints="coco"))
    assert list(records.people.ids) == ["u:1", "u:2", "u:3"]
    assert set(records.images.file_names) == {"a ä.jpg", "b/b.jpg"}
    moved = EXPORT.people[0].keypoints[0] + [20, 0, 0]
    np.testing.assert_allclose(records.people.keypoints[0, 0], moved, atol=0.01)


def test_the_record_survives(tmp_path: Path) -> None:
    write_record(tmp_path, EXPORT)
    back = read_record(tmp_path)
    assert back.names == EXPORT.names
    for ours, theirs in zip(EXPORT.people, back.people, strict=True):
        np.testing.assert_allclose(theirs.keypoints, ours.keypoints)
        assert replace(theirs, box=ours.box, keypoints=ours.keypoints) == replace(ours)
    with pytest.raises(ValueError, match=r"elsewhere/people\.json: no such file, so nobody knows what was exported"):
        read_record(tmp_path / "elsewhere")


@pytest.mark.parametrize(("change", "said"), [
    (lambda c: c.pop("images"), "no COCO annotation file"),
    (lambda c: c["categories"][0]["keypoints"].remove("nose"), "lacks the keypoint 'nose'"),
    (lambda c: c["categories"][0]["keypoints"].append("tail"), "has the keypoint 'tail', which was not exported"),
    (lambda c: c["categories"].clear(), "no category with keypoints"),
    (lambda c: c["annotations"][1].update(image_id=[1]), "annotation 2: its image is not among"),
    (lambda c: c["annotations"][1].update(image_id=99), "annotation 2: its image is not among"),
    (lambda c: c["annotations"][1].update(keypoints=[1, 2]), "annotation 2: keypoints or bbox are no 51 and 4 numbers"),
    (lambda c: c["annotations"][1].update(bbox="wide"), "annotation 2: keypoints or bbox"),
    (lambda c: c["images"][0].update(file_name="other.jpg"), "the picture 'other.jpg' was not exported"),
])  # fmt: skip
def test_a_file_of_something_else_is_named(change: Any, said: str, tmp_path: Path) -> None:
    content = coco.document(EXPORT.people, COCO)
    change(content)
    path = returned(tmp_path, content)
    with pytest.raises(ValueError, match=said) as raised:
        matched(EXPORT, read_returned(path, COCO.names), path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_label_studio_regions_by_themselves(tmp_path: Path) -> None:
    """Keypoints drawn without a parent belong to the smallest rectangle round them; odd ones are named."""
    tasks = as_label_studio_exports(label_studio.tasks(EXPORT.people, COCO.names))
    for task in tasks:
        for region in task["annotations"][0]["result"]:
            region.pop("parentID", None)
    path = returned(tmp_path, tasks)
    found = matched(EXPORT, read_returned(path, COCO.names), path)
    assert not any(differs(a, b).any() for a, b in found.pairs)
    tasks[0]["annotations"][0]["result"][1]["value"]["x"] = 99.0
    with pytest.raises(ValueError, match=r"task 0: .* lies in no person's rectangle"):
        read_returned(returned(tmp_path, tasks), COCO.names)
    tasks[0]["annotations"][0]["result"][1] = {"type": "keypointlabels"}
    with pytest.raises(ValueError, match="task 0: a region is not as Label Studio writes it"):
        read_returned(returned(tmp_path, tasks), COCO.names)


@pytest.mark.parametrize(("address", "name"), [
    ("/data/local-files/?d=images/a%20b.jpg", "a b.jpg"), ("/data/local-files/?d=shared/images/s/c.jpg", "s/c.jpg"),
    ("/data/upload/3/0a1b2c3d-a%20b.jpg", "a b.jpg"), ("https://host/x/images/d.png", "d.png"),
])  # fmt: skip
def test_names_of_pictures_in_label_studio(address: str, name: str) -> None:
    assert label_studio.picture_of(address) == name


def test_people_are_spread_over_pictures_and_near_duplicates_left_out() -> None:
    """Three people of `a`, one of `b`, which looks like `a`, one of `c`: the first of a, then c, then a's others."""
    candidates = [Candidate(f"a{i}", "a", 0.9 - i / 10) for i in range(3)]
    candidates += [Candidate("b0", "b", 0.85), Candidate("c0", "c", 0.1)]
    hashes = {"a": 1 << 200, "b": 1 << 200 | (1 << ALIKE) - 1, "c": 1 << 200 | (1 << (ALIKE + 1)) - 1}
    taken = [c.person for c in chosen(candidates, 10, hashes.__getitem__)]
    assert taken == ["a0", "c0", "a1", "a2"]
    assert [c.person for c in chosen(candidates, 2, hashes.__getitem__)] == ["a0", "c0"]


def as_cvat_exports(content: dict[str, Any]) -> dict[str, Any]:
    """No attributes, ids counted anew, and the box that labelled keypoints span."""
    for number, entry in enumerate(content["annotations"]):
        points = np.reshape(entry["keypoints"], (-1, 3))
        points = points[points[:, 2] > 0, :2]
        entry |= {"id": 50 + number, "attributes": {}, "bbox": [*points.min(0), *np.ptp(points, axis=0)]}
    return content


def test_boxes_that_cvat_makes_of_skeletons_do_not_replace_those_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a head is left of the first person: it is found again, and its box is the detection's, as U knows it."""
    monkeypatch.chdir(tmp_path)
    content = coco.document(EXPORT.people, COCO)
    content["annotations"][0]["keypoints"][3 * 5 :] = [0] * (3 * 12)
    content["annotations"][1]["keypoints"][:2] = [110.0, 20.0]  # out of the box, up and to the left by ten
    path = returned(tmp_path, as_cvat_exports(content))
    found = matched(EXPORT, read_returned(path, COCO.names), path)
    assert [(a.person, b.number) for a, b in found.pairs] == [("u:1", 50), ("u:2", 51), ("u:3", 52)]
    assert not found.added
    assert not found.removed
    boxes = [back.box.tolist() for _, back in found.pairs]
    assert boxes == [[10, 20, 60, 100], [110, 20, 70, 110], [50, 50, 60, 100]]


def test_emptied_pictures_count_where_the_file_is_confirmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = coco.document(EXPORT.people, COCO)
    content["annotations"].pop()  # u:3, alone on its picture, which is listed
    path = returned(tmp_path, content)
    found = matched(EXPORT, read_returned(path, COCO.names), path)
    assert "1 people on pictures that came back empty stay" in "\n".join(summary(found, COCO))
    assert write_corrections(found, EXPORT, COCO, "back.json", "", confirmed=False) == {}
    write_corrections(found, EXPORT, COCO, "back.json", "", confirmed=True)
    entries = {entry["id"]: entry for entry in json.loads(corrections_file("u").read_text())["annotations"]}
    assert {person for person, entry in entries.items() if entry["iscrowd"]} == {"u:3"}


def test_somebody_added_is_there_once_however_often_the_file_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file comes again under another name, its added person moved by two pixels; then another one is added."""
    monkeypatch.chdir(tmp_path)
    for origin, (x, y), people in (("1", (200, 100), 1), ("2", (202, 100), 1), ("2", (20, 130), 2)):
        content = coco.document(EXPORT.people, COCO)
        content["annotations"].append(coco.annotation(77, 2, sent(9, "b/b.jpg", x, y)))
        path = returned(tmp_path, content)
        found = matched(EXPORT, read_returned(path, COCO.names), path)
        assert write_corrections(found, EXPORT, COCO, origin, "", confirmed=False) == {"u": people}


def test_annotations_of_other_categories_are_left_out(tmp_path: Path) -> None:
    """A project in CVAT may have skeletons of several labels."""
    content = coco.document(EXPORT.people, COCO)
    content["categories"].insert(0, {"id": 7, "name": "dog", "keypoints": ["nose", "tail"], "skeleton": []})
    content["annotations"].append(
        {"id": 9, "image_id": 1, "category_id": 7, "bbox": [0, 0, 5, 5], "keypoints": [1] * 6}
    )
    path = returned(tmp_path, content)
    found = matched(EXPORT, read_returned(path, COCO.names), path)
    assert len(found.pairs) == 3
    assert not found.added


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.json: no such file$"):
        read_returned(tmp_path / "none.json", COCO.names)
    with ZipFile(tmp_path / "cvat.zip", "w") as archive:
        archive.writestr("annotations/person_keypoints_default.json", "{}")
    with pytest.raises(ValueError, match=r"cvat\.zip: a zip; unpack it"):
        read_returned(tmp_path / "cvat.zip", COCO.names)


@pytest.mark.parametrize(("change", "said"), [
    ({"keypointlabels": ["nose", "left_eye"]}, "several labels, 'nose' and 'left_eye'"),
    ({"x": "wide"}, "x = 'wide' is no number"), ({"y": float("nan")}, "are no finite numbers"),
])  # fmt: skip
def test_odd_regions_are_named(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    tasks = as_label_studio_exports(label_studio.tasks(EXPORT.people, COCO.names))
    tasks[1]["annotations"][0]["result"][1]["value"] |= change
    path = returned(tmp_path, tasks)
    with pytest.raises(ValueError, match=said) as raised:
        read_returned(path, COCO.names)
    assert str(raised.value).startswith(f"{path}: task 1: ")
