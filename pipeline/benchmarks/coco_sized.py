"""A COCO-style annotation file of the real one's size, and a training table of all four letters' size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import TableInfo, table_from

IMAGES, PEOPLE, WITH_KEYPOINTS = 118_287, 262_465, 149_813  # person_keypoints_train2017.json
TRAINING_ROWS = 700_000  # A + C + H + U
_BATCH = 8192


def write_annotations(
    path: Path, seed: int = 0, images: int = IMAGES, people: int = PEOPLE, labelled: int = WITH_KEYPOINTS
) -> None:
    """Write an annotation file with COCO train2017's numbers of images and people: about 217 MB, random content."""
    random = np.random.default_rng(seed)
    names = list(load_keypoint_set("coco").names)
    category = {"supercategory": "person", "id": 1, "name": "person", "keypoints": names, "skeleton": []}
    with path.open("wb") as file:
        file.write(b'{"info": {"description": "COCO-sized benchmark"}, "licenses": [], "images": [')
        for start in range(0, images, _BATCH):
            records = [_image(number) for number in range(start, min(start + _BATCH, images))]
            file.write((b", " if start else b"") + orjson.dumps(records)[1:-1])
        file.write(b'], "annotations": [')
        for start in range(0, people, _BATCH):
            records = _people(random, start, min(start + _BATCH, people), images, labelled)
            file.write((b", " if start else b"") + orjson.dumps(records)[1:-1])
        file.write(b'], "categories": ' + orjson.dumps([category]) + b"}")


def _image(number: int) -> dict[str, Any]:
    name = f"{number:012d}.jpg"
    return {
        "license": number % 8,
        "file_name": name,
        "coco_url": f"http://images.cocodataset.org/train2017/{name}",
        "height": 480,
        "width": 640,
        "date_captured": "2013-11-14 16:28:13",
        "flickr_url": f"http://farm5.staticflickr.com/4056/{number:010d}_c68b5c3ab9_z.jpg",
        "id": number,
    }


def _people(random: np.random.Generator, start: int, end: int, images: int, labelled: int) -> list[dict[str, Any]]:
    count = end - start
    corner, side = random.uniform(0, 300, (count, 2)).round(2), random.uniform(10, 180, (count, 2)).round(2)
    outline = random.uniform(0, 1, (count, 30, 2)) * side[:, None] + corner[:, None]
    points = np.rint(random.uniform(0, 1, (count, 17, 2)) * side[:, None] + corner[:, None]).astype(int)
    visibility = random.integers(0, 3, (count, 17))
    visibility[np.arange(start, end) >= labelled] = 0
    triples = np.where(visibility[:, :, None] > 0, np.concatenate([points, visibility[:, :, None]], 2), 0)
    image = random.integers(0, images, count)
    return [
        {
            "segmentation": [outline[i].reshape(-1).round(2).tolist()],
            "num_keypoints": int((visibility[i] > 0).sum()),
            "area": round(float(side[i].prod()) / 2, 4),
            "iscrowd": 0,
            "keypoints": triples[i].reshape(-1).tolist(),
            "image_id": int(image[i]),
            "bbox": [*corner[i].tolist(), *side[i].tolist()],
            "category_id": 1,
            "id": start + i,
        }
        for i in range(count)
    ]


def training_table(files: list[str], root: str, seed: int = 0) -> pa.Table:
    """An `instances` table of 700k rows over the image files `files` below `root`."""
    random = np.random.default_rng(seed)
    rows, keypoints = TRAINING_ROWS, 17
    corner, side = random.uniform(0, 200, (rows, 2)), random.uniform(30, 200, (rows, 2))
    points = random.uniform(0, 1, (rows, keypoints, 2)) * side[:, None] + corner[:, None]
    visibility = random.integers(0, 3, (rows, keypoints, 1))
    pick = pa.array(np.arange(rows) % len(files))
    constant = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["bench"]))
    kinds = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["labelled"]))
    return table_from(
        "instances",
        {
            "instance_id": [f"bench:{i}" for i in range(rows)],
            "image_id": pa.array([f"bench:{name}" for name in files]).take(pick),
            "source": constant,
            "file_name": pa.array(files).take(pick),
            "kind": kinds,
            "width": np.full(rows, 640, np.int32),
            "height": np.full(rows, 480, np.int32),
            "bbox": np.concatenate([corner, side], 1).astype(np.float32),
            "area": side.prod(1).astype(np.float32) / 2,
            "iscrowd": np.zeros(rows, bool),
            "keypoints": np.concatenate([points, visibility], 2).astype(np.float32).reshape(rows, -1),
            "supervised": visibility[:, :, 0] > 0,
        },
        TableInfo("coco", {"bench": root}),
    )
