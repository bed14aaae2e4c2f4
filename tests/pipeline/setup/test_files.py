"""Files and folders as people name them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.setup.files import found, images_root, slug


def annotation(path: Path, names: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "images": [{"id": 1, "file_name": "a/1.jpg", "width": 9, "height": 9}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "keypoints": [2, 2, 2] * len(names)}
        ],
        "categories": [{"id": 1, "name": "p", "keypoints": names}],
    }  # fmt: skip
    path.write_text(json.dumps(content))
    return path


def test_a_folder_holds_sets_to_train_and_to_validate_on(tmp_path: Path) -> None:
    for name in ("it_train.json", "it_val.json"):
        annotation(tmp_path / "annotations" / name, ["a"])
    (tmp_path / "annotations/notes.json").write_text("[]")
    assert {each.path.name: each.validates for each in found(str(tmp_path))} == {
        "it_train.json": False,
        "it_val.json": True,
    }


def test_a_folder_of_different_keypoints_is_refused(tmp_path: Path) -> None:
    annotation(tmp_path / "one.json", ["a"])
    annotation(tmp_path / "two.json", ["b"])
    with pytest.raises(ValueError, match=r"one.json and two.json have different keypoints"):
        found(str(tmp_path))


def test_images_are_named_or_found_about_the_file(tmp_path: Path) -> None:
    index = annotation(tmp_path / "annotations/it.json", ["a"])
    with pytest.raises(ValueError, match=r"in no folder about it; name their folder: .*it.json:IMAGES"):
        images_root(index, ["a/1.jpg"])
    folder = tmp_path / "pictures"
    (folder / "a").mkdir(parents=True)
    (folder / "a/1.jpg").touch()
    assert images_root(index, ["a/1.jpg"]).resolve() == folder
    assert found(f"{index}:{folder}")[0].images == folder
    with pytest.raises(ValueError, match="gone: no such folder of images"):
        found(f"{index}:gone")


def test_slugs() -> None:
    assert slug("walk 1 (é)") == "walk-1"
    assert slug("..") == "set"
