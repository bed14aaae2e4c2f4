"""Neighbours stay on one side, and both sides hold people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.settings import Source
from pipeline.setup.splitting import Split, split
from pipeline.sources import read_records


def made(folder: Path, names: list[str], **fields: list[object]) -> Split:
    """The split of a set with a person in each image."""
    images = [
        {"id": i, "file_name": name, "width": 9, "height": 9, **{key: values[i] for key, values in fields.items()}}
        for i, name in enumerate(names)
    ]
    people = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": [1, 1, 5, 5], "keypoints": [2, 2, 2]}
        for i in range(len(names))
    ]
    content = {"images": images, "annotations": people, "categories": [{"id": 1, "name": "p", "keypoints": ["a"]}]}
    index, keypoints = folder / "it.json", folder / "a.yaml"
    index.write_text(json.dumps(content))
    keypoints.write_text("names: [a]\n")
    source = Source(format="coco", index=str(index), images=str(folder), keypoints=str(keypoints))
    return split(read_records(source), index, 0.2, seed=0)


def test_by_image(tmp_path: Path) -> None:
    names = [f"{i:06d}.jpg" for i in range(50)]
    found = made(tmp_path, names)
    assert found.how == "by image"
    assert len(found.val) == 10
    assert sorted(found.train + found.val) == names
    assert made(tmp_path, names) == found


def test_folders_stay_whole(tmp_path: Path) -> None:
    found = made(tmp_path, [f"walk {i // 5}/{i}.jpg" for i in range(50)])
    folders = [{Path(name).parent for name in part} for part in (found.train, found.val)]
    assert not folders[0] & folders[1]
    assert len(folders[1]) == 2


def test_a_declared_group_comes_first(tmp_path: Path) -> None:
    names = [f"{i % 3}/{i}.jpg" for i in range(30)]
    found = made(tmp_path, names, video_id=[i // 3 for i in range(30)])
    videos = [{names.index(name) // 3 for name in part} for part in (found.train, found.val)]
    assert not videos[0] & videos[1]
    assert "video_id" in found.how


def test_of_few_videos_the_end_of_each(tmp_path: Path) -> None:
    names = [f"clip{clip}_{i:04d}.jpg" for clip in "ab" for i in range(20)]
    found = made(tmp_path, names)
    assert found.val == tuple(name for name in names if int(name[6:10]) >= 16)


def test_one_person_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too few labelled people to set some aside, nobody is left to train on"):
        made(tmp_path, ["1.jpg"])
