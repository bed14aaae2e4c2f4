"""A throw-away workspace with a handful of people, an untrained model and everything evaluation and report read."""

from __future__ import annotations

import atexit
import contextlib
import json
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from ruamel.yaml import YAML

from model import checkpoints
from model.network import build
from pipeline import layout
from pipeline.evaluation.postprocess import decode_people
from pipeline.evaluation.sets import load_model
from pipeline.progress import Progress
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import TableInfo, read_table, table_from, table_info, to_numpy, write_table
from pipeline.settings import Params, load_params
from pipeline.steps import ingest

ROOT = Path(__file__).resolve().parents[2]
STRATEGY = "C-C"
MODEL = {
    "architecture": "ccm", "backbone": "mobilenetv3_small_050", "backbone_stride": None, "weights": "none",
    "input_size": [64, 64], "mixers": [16, 16, 16], "dilated": False, "auxiliary": False,
    "se": True, "hdc": True, "residual": True,
}  # fmt: skip


def write_images(folder: Path, count: int, seed: int) -> list[str]:
    """Smooth random pictures of 96 x 128 pixels."""
    folder.mkdir(parents=True)
    random, names = np.random.default_rng(seed), []
    for number in range(count):
        coarse = random.integers(0, 255, (6, 8, 3), dtype=np.uint8)
        names.append(f"{number:012d}.jpg")
        cv2.imwrite(str(folder / names[-1]), cv2.resize(coarse, (128, 96), interpolation=cv2.INTER_CUBIC))
    return names


def write_coco(root: Path, name: str, images: int, seed: int) -> None:
    """A COCO keypoint set: one or two people an image, one crowd, one person without keypoints."""
    random = np.random.default_rng(seed)
    names = write_images(root / name, images, seed)
    keypoints = load_keypoint_set("coco")
    people: list[dict[str, Any]] = []
    for image in range(images):
        for _ in range(1 + image % 2):
            x, y = random.uniform(0, [70, 30])
            w, h = random.uniform([24, 40], [50, 64])
            points = np.round(np.stack([x + random.random(17) * w, y + random.random(17) * h], 1), 2)
            visibility = random.choice([0, 1, 2], 17, p=[0.1, 0.3, 0.6])
            crowd = image == 0
            visibility[:] = 0 if crowd or len(people) == 3 else visibility
            triples = np.concatenate([points, visibility[:, None]], 1) * (visibility > 0)[:, None]
            people.append(
                {
                    "id": len(people) + 1, "image_id": image, "category_id": 1, "iscrowd": int(crowd),
                    "bbox": [x, y, w, h], "area": w * h * 0.6, "num_keypoints": int((visibility > 0).sum()),
                    "keypoints": triples.reshape(-1).tolist(),
                    "segmentation": {"counts": [96 * 128], "size": [96, 128]} if crowd
                    else [[x, y, x + w, y, x + w, y + h, x, y + h]],
                }
            )  # fmt: skip
    content = {
        "images": [{"id": i, "file_name": n, "width": 128, "height": 96} for i, n in enumerate(names)],
        "annotations": people,
        "categories": [{"id": 1, "name": "person", "keypoints": list(keypoints.names), "skeleton": []}],
    }
    (root / f"{name}.json").write_text(json.dumps(content))


def make_workspace(folder: Path) -> Params:
    """Fill the current directory, which must be `folder`: tables, detections of `val`, and the strategy's model.

    It is made once a process and copied, times and all.
    """
    shutil.copytree(_made(), folder, dirs_exist_ok=True)
    return load_params()


@lru_cache
def _made() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="workspace-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with contextlib.chdir(folder):
        _make(folder)
    return folder


def _make(folder: Path) -> None:
    raw = YAML(typ="safe", pure=True).load((ROOT / "pipeline/profiles/built-in.yaml").read_text())
    write_coco(folder / "own", "train", 4, seed=1)
    write_coco(folder / "own", "val", 6, seed=2)
    raw["data"]["sources"] = {
        name: {"format": "coco", "index": f"own/{name}.json", "images": f"own/{name}", "keypoints": "coco"}
        for name in ("train", "val")
    }
    raw["data"] |= {"labelled": "train", "validation": "val"}
    for section, key in (("align_labels", "sources"), ("pseudo_label", "sources")):
        raw[section][key] = []
    raw["detect_people"]["sources"] = dict.fromkeys(("train", "val"), "models/detectors/person")
    raw |= {"strategies": [STRATEGY], "synthesize": {}}
    raw["models"]["tiny"] = MODEL
    raw["train_joint"]["model"] = "tiny"
    raw["evaluate"] |= {"bootstrap": 20, "batch_size": 4}
    raw["report"]["pictures"] = 3
    raw["benchmark"] |= {"people": 4, "repeats": 1}
    with Path("params.yaml").open("w") as file:
        YAML().dump(raw, file)
    params = load_params()
    for source in ("train", "val"):
        ingest.run(params, Progress(), source)
        write_detections(source)
    torch.manual_seed(0)
    keypoints = load_keypoint_set("coco")
    card = {"keypoint_names": list(keypoints.names), "trained_on": "nothing", "padding": 1.25}
    checkpoints.save(build(MODEL, len(keypoints)), layout.final(STRATEGY), card)
    annotate_what_the_model_finds(params)


def annotate_what_the_model_finds(params: Params) -> None:
    """Put the labelled keypoints of `val` where the untrained model finds them, more or less: so its AP is not 0."""
    instances = read_table(layout.instances("val"), "instances")
    model = load_model(params, STRATEGY)
    found = decode_people(
        model.network,
        instances,
        {"": params.evaluate.postprocessing},
        keypoints=model.keypoints,
        padding=model.padding,
        batch_size=8,
        compute=params.compute,
        device=torch.device("cpu"),
        progress=Progress(),
        description="annotate",
    )[""]
    random = np.random.default_rng(4)
    noise = random.normal(size=found.points.shape) * random.exponential(4, (len(found.points), 1, 1))
    triples = to_numpy(instances, "keypoints").reshape(-1, 17, 3).copy()
    triples[:, :, :2] = np.where(triples[:, :, 2:] > 0, found.points + noise, 0)
    columns = {name: instances[name] for name in instances.column_names} | {"keypoints": triples.reshape(-1, 51)}
    write_table(layout.instances("val"), table_from("instances", columns, table_info(instances)))


def write_detections(source: str) -> None:
    """Every annotated box a little off, and a false one in every image."""
    instances = read_table(layout.instances(source), "instances")
    images = read_table(layout.images(source), "images")
    random = np.random.default_rng(3)
    boxes = to_numpy(instances, "bbox") + random.normal(size=(instances.num_rows, 4)).astype(np.float32)
    columns = ("image_id", "source", "file_name", "width", "height")
    rows = [
        *zip(*(instances[c].to_pylist() for c in columns), boxes, random.uniform(0.5, 1, len(boxes)), strict=True),
        *(
            (*row, np.array([60, 20, 30, 60]), 0.3)
            for row in zip(*(images[c].to_pylist() for c in columns), strict=True)
        ),
    ]
    rows.sort(key=lambda row: (row[0], -row[6]))
    table = table_from(
        "detections",
        {
            "detection_id": [f"{source}:{i}" for i in range(len(rows))],
            **{c: [row[i] for row in rows] for i, c in enumerate(columns)},
            "bbox": np.stack([row[5] for row in rows]).astype(np.float32),
            "score": np.array([row[6] for row in rows], np.float32),
            "detector": ["made-up"] * len(rows),
        },
        TableInfo("coco", table_info(instances).image_roots),
    )
    write_table(layout.detections(source), table)
