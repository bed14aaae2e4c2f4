"""Small data sets that tests write, good ones to break, and the ingest of one source."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest

from pipeline import layout
from pipeline.progress import Progress
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import read_table
from pipeline.settings import Ingest, Params, Source
from pipeline.steps import ingest

REAL = Path(__file__).resolve().parents[4] / "shared" / "real"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="the real samples (../shared/real) are not here")


def params(name: str, source: Source, check_images: bool = False, max_bad_share: float = 1.0) -> Params:
    """Params with one source, as far as ingest reads them."""
    return cast(
        Params,
        SimpleNamespace(
            data=SimpleNamespace(sources={name: source}),
            ingest=Ingest(check_images=check_images, max_bad_share=max_bad_share),
            spread=SimpleNamespace(shard_images=50),
        ),
    )


def ingested(source: Source, **settings: Any) -> dict[str, Any]:
    """Ingest as `it` in the current folder: the tables, and `figures` and `told` (what the stage returns)."""
    told = ingest.run(params("it", source, **settings), Progress(), "it")
    names = ("images", "instances", "masks", "quarantine", "manifest")
    tables = {name: read_table(getattr(layout, name)("it"), name) for name in names}
    return tables | {"told": told, "figures": json.loads(layout.figures("ingest", "it").read_text())}


def write_images(folder: Path, count: int, suffix: str = "jpg", seed: int = 0) -> None:
    """Images 1 to `count` of 64 x 48 pixels, distinct noise, other noise with another seed."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(1, count + 1):
        picture = np.random.default_rng([i, seed] if seed else i).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{i}.{suffix}"), picture)


def coco_content(people: int = 3, keypoints: str = "coco") -> dict[str, Any]:
    """A correct annotation file's content: three images, one person each (the first with a mask)."""
    names = load_keypoint_set(keypoints).names
    annotations = [
        {
            "id": 10 + i,
            "image_id": 1 + i % 3,
            "category_id": 1,
            "bbox": [4, 5, 20, 30],
            "area": 300,
            "iscrowd": 0,
            "keypoints": [value for k in range(len(names)) for value in (5 + k, 6 + k, k % 3)],
            "segmentation": [[4, 5, 24, 5, 24, 35]] if i == 0 else [],
        }
        for i in range(people)
    ]
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 64, "height": 48} for i in (1, 2, 3)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": list(names)}],
    }


def write_coco(folder: Path, content: dict[str, Any] | bytes, images: int = 3, seed: int = 0) -> Source:
    """Write content (or a file's bytes) and its images; the source that reads them."""
    write_images(folder / "images", images, seed=seed)
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / "index.json").write_bytes(data)
    return Source(format="coco", index=f"{folder}/index.json", images=f"{folder}/images", keypoints="coco")


def aic_content() -> list[dict[str, Any]]:
    """A correct AI Challenger file's content: three images, two people in the first."""

    def image(name: str, *people: str) -> dict[str, Any]:
        return {
            "image_id": name,
            "human_annotations": {person: [4, 5, 24, 35] for person in people},
            "keypoint_annotations": {
                person: [value for k in range(14) for value in (5 + k, 6 + k, 1 + k % 3)] for person in people
            },
        }

    return [image("1", "human1", "human2"), image("2", "human1"), image("3", "human1")]


def write_aic(folder: Path, content: Any) -> Source:
    """Write an AI Challenger file and its images."""
    write_images(folder / "images", 3)
    (folder / "index.json").write_text(json.dumps(content))
    return Source(format="aic", index=f"{folder}/index.json", images=f"{folder}/images", keypoints="aic")
