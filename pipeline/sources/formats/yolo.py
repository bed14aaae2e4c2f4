"""Ultralytics' YOLO-pose: a text file an image, `class cx cy w h x y v ...` a person, as shares of the picture."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from PIL import Image

from pipeline.records.artefacts import written
from pipeline.records.images import file_of, orientation
from pipeline.records.keypoints import KeypointSet
from pipeline.records.tables import keypoint_set, to_numpy
from pipeline.records.text import check_yaml, read_file
from pipeline.settings import Source
from pipeline.sources.formats.coco import CocoReading
from pipeline.sources.formats.folder import SUFFIXES
from pipeline.sources.records import Records

DESCRIPTION = "data.yaml"
_SPLITS = ("train", "val", "test")
_MOST_KEYPOINTS = 1000


def read(source: Source, keypoints: KeypointSet) -> Records:
    """Read a folder of labels (`labels/train`), or all splits that a `data.yaml`, or the folder that has it, names.

    Pictures lie where Ultralytics looks for them: `images` in place of the last `labels` of the path. A picture
    without a label file has nobody. With two values a keypoint, all but (0, 0) are labelled. ValueError when there are
    no labels, or when `data.yaml` says another number of keypoints than the set has.
    """
    index = Path(source.index)
    if index.is_dir() and (index / DESCRIPTION).is_file():
        index = index / DESCRIPTION
    about = describe(index) if index.is_file() else _description_above(index)
    shape = about.get("kpt_shape")
    if shape is not None and shape[0] != len(keypoints):
        raise ValueError(f"{index}: kpt_shape is {shape}, the keypoint set '{keypoints.name}' has {len(keypoints)}")
    classes = _classes(about, source.categories, index)
    folders = _image_folders(index, about) if index.is_file() else [_counterpart(index, "labels", "images")]
    reading = CocoReading(keypoints)
    for folder in folders:
        images, people = [], []
        for picture in sorted(p for p in folder.rglob("*") if p.name.lower().endswith(SUFFIXES)):
            image = _image(picture, source.images)
            images.append(image)
            people += list(_people(picture, image, classes, len(keypoints), reading))
        reading.add_images(images, index)
        reading.add_people(people, set(), index)
    return reading.result()


def describe(path: Path) -> dict[str, Any]:
    """The content of a `data.yaml`; ValueError when it is none, or its classes or keypoints are none."""
    text = read_file(path)
    check_yaml(text, str(path))
    about = yaml.safe_load(text)
    if not isinstance(about, dict):
        raise ValueError(f"{path}: no data.yaml of Ultralytics: a mapping belongs there")
    names = about["names"] = about.get("names") or {}
    if not isinstance(names, list | dict) or not all(type(number) is int for number in _numbered(names)):
        raise ValueError(f"{path}: names: {names!r:.80}; a list of the classes' names, or a mapping from their numbers")
    shape = about.get("kpt_shape")
    if shape is not None and not (isinstance(shape, list) and shape and shape[0] in range(1, _MOST_KEYPOINTS + 1)):
        raise ValueError(
            f"{path}: kpt_shape: {shape!r:.80}; allowed: [keypoints (1 to {_MOST_KEYPOINTS}), values each]"
        )
    return about


def write_labels(folder: Path, instances: pa.Table) -> None:
    """Write an `instances` table as a label file an image, `FILE.txt` for `FILE.jpg`, below a folder."""
    points = to_numpy(instances, "keypoints").reshape(instances.num_rows, -1, 3).astype(np.float64)
    boxes = to_numpy(instances, "bbox").astype(np.float64)
    lines: dict[str, list[str]] = {}
    names, widths, heights = (instances[key].to_pylist() for key in ("file_name", "width", "height"))
    for row, (name, width, height) in enumerate(zip(names, widths, heights, strict=True)):
        size = np.array([width, height])
        centre = (boxes[row, :2] + boxes[row, 2:] / 2) / size
        values = [*centre, *(boxes[row, 2:] / size)]
        text = " ".join(f"{value:.6f}" for value in values)
        text += "".join(f" {x / width:.6f} {y / height:.6f} {int(v)}" for x, y, v in points[row])
        lines.setdefault(file_of(name), []).append(f"0 {text}\n")
    with written(folder) as temporary:
        for name, people in lines.items():
            path = (temporary / name).with_suffix(".txt")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(people))


def description(instances: pa.Table, train: str, val: str) -> str:
    """The `data.yaml` of tables that `write_labels` wrote, as text; `train` and `val` are the image folders."""
    keypoints = keypoint_set(instances)
    content = {
        "path": ".",
        "train": train,
        "val": val,
        "kpt_shape": [len(keypoints), 3],
        "flip_idx": keypoints.mirror.tolist(),
        "names": {0: "person"},
        "kpt_names": {0: list(keypoints.names)},
    }
    return yaml.safe_dump(content, sort_keys=False)


def _description_above(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder of labels, and no data.yaml")
    for parent in list(folder.absolute().parents)[:3]:
        if (parent / DESCRIPTION).is_file():
            return describe(parent / DESCRIPTION)
    return {}


def _numbered(names: Any) -> dict[int, Any]:
    """Classes' names by number."""
    return dict(enumerate(names)) if isinstance(names, list) else names


def _classes(about: dict[str, Any], wanted: list[str] | None, index: Path) -> set[int] | None:
    """Numbers of the classes that are meant; None: all."""
    if wanted is None:
        return None
    names = _numbered(about.get("names", {}))
    if missing := [name for name in wanted if name not in names.values()]:
        raise ValueError(f"{index}: categories: there is no '{missing[0]}'; data.yaml has {list(names.values())}")
    return {number for number, name in names.items() if name in wanted}


def label_folders(path: Path) -> dict[str, Path]:
    """The folders of labels of a `data.yaml`, by its splits: what DVC can watch of such a set."""
    about = describe(path)
    names = [split for split in _SPLITS if isinstance(about.get(split), str)]
    folders = _image_folders(path, about)
    return {name: _counterpart(folder, "images", "labels") for name, folder in zip(names, folders, strict=True)}


def _image_folders(path: Path, about: dict[str, Any]) -> list[Path]:
    root = path.parent / str(about.get("path") or ".")
    if not os.path.isdir(root):  # a path of the machine that it was written on
        root = path.parent
    named = [about[split] for split in _SPLITS if isinstance(about.get(split), str)]
    folders = [root / name for name in named]
    if missing := [folder for folder in folders if not os.path.isdir(folder)]:
        raise ValueError(f"{path}: {missing[0]!s:.200}: no such folder of images")
    if not folders:
        raise ValueError(f"{path}: names no folder of images under train, val or test")
    return folders


def _counterpart(path: Path, old: str, new: str) -> Path:
    """`a/labels/b` for `a/images/b`: the last folder of that name is the other."""
    parts = list(path.parts)
    places = [i for i, part in enumerate(parts) if part == old]
    if not places:
        raise ValueError(f"{path}: no '{old}' in the path; Ultralytics keeps `images` and `labels` side by side")
    parts[places[-1]] = new
    return Path(*parts)


def _image(picture: Path, root: str) -> dict[str, Any]:
    """The image's record; with the size as viewers show it, which is what Ultralytics' shares are of."""
    name = os.path.relpath(picture, root)
    try:
        with Image.open(picture) as opened:
            width, height = opened.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return {"id": name, "file_name": name}
    if orientation(picture) > 4:
        width, height = height, width
    return {"id": name, "file_name": name, "width": width, "height": height}


def _people(
    picture: Path, image: dict[str, Any], classes: set[int] | None, keypoints: int, reading: CocoReading
) -> Iterator[dict[str, Any]]:
    """The people of a picture as records of COCO's form; a line that is none is a record without what it lacks."""
    labels = _counterpart(picture, "images", "labels").with_suffix(".txt")
    if not labels.is_file():
        return
    size = np.array([image.get("width", 1), image.get("height", 1)], float)
    for number, line in enumerate(read_file(labels).splitlines(), 1):
        record: dict[str, Any] = {"id": f"{image['id']}:{number}", "image_id": image["id"], "bbox": line}
        try:
            values = np.array([float(word) for word in line.split()])
            number_of_class = int(values[0]) if len(values) else None
        except (ValueError, OverflowError):
            yield record
            continue
        if number_of_class is None:
            continue
        if classes is not None and number_of_class not in classes:
            reading.leave_out("other_categories", 1)
            continue
        if len(values) in (5 + 2 * keypoints, 5 + 3 * keypoints):
            points = values[5:].reshape(keypoints, -1)
            seen = points[:, 2] if points.shape[1] == 3 else 2.0 * (points != 0).any(1)
            record["bbox"] = [*((values[1:3] - values[3:5] / 2) * size), *(values[3:5] * size)]
            record["keypoints"] = np.concatenate([points[:, :2] * size, seen[:, None]], 1).reshape(-1).tolist()
        else:
            record["bbox"] = f"{len(values)} values, expected {5 + 3 * keypoints}"
        yield record
