"""People's boxes on a source, by the detector or from a file (sections 4.1, 4.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import layout
from pipeline.detection.annotated import people_per_image
from pipeline.detection.average_precision import box_figures
from pipeline.detection.detect import DetectShard, read_shards
from pipeline.detection.thresholds import counts_at, matched_threshold
from pipeline.progress import Progress
from pipeline.records.artefacts import file_hash, provenance, write_json
from pipeline.records.tables import TableInfo, read_table, table_from, table_info, to_numpy, write_table
from pipeline.settings import Params
from pipeline.sources.detections import read_detections

PAPER_THRESHOLD = 0.9924  # what the paper's detector needed for COCO's people per image (section 4.2)
REPORTED = (0.05, 0.5, 0.7, 0.9, PAPER_THRESHOLD)
BINS = 50  # of the score histogram


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Write source `item`'s detections, image by image, the best first."""
    assert item is not None
    images = read_table(layout.images(item), "images")
    origin = Path(params.detect_people.sources[item])
    if origin.suffix == ".json":
        with progress.task("read"):
            table = _from_file(origin, images, params)
    else:
        table = _detected(origin, images, params, progress, item)
    write_table(layout.detections(item), table)
    with progress.task("measure"):
        figures = _figures(table, images, params, item)
    write_json(layout.figures("detect_people", item), figures)
    return {key: value for key, value in figures.items() if not isinstance(value, list | dict)}


def _from_file(origin: Path, images: pa.Table, params: Params) -> pa.Table:
    table = read_detections(origin, images)
    sure = to_numpy(table, "score") >= params.detect_people.score_threshold
    return table.filter(pa.array(sure)).combine_chunks()


def _detected(folder: Path, images: pa.Table, params: Params, progress: Progress, item: str) -> pa.Table:
    settings, info = params.detect_people, table_info(images)
    root = Path(info.image_roots[item])
    files = tuple(str(root / name) for name in images["file_name"].to_pylist())
    detect = DetectShard(
        folder, file_hash(folder), files, settings.score_threshold, settings.nms_threshold, params.compute
    )
    size = params.spread.shard_images
    shards = [(first, min(first + size, len(files))) for first in range(0, len(files), size)]
    written = progress.map(detect, shards, description=f"detect people in {item}", unit="shard")
    counts, boxes, scores = read_shards(written)
    rows = pa.array(np.repeat(np.arange(len(files)), counts))
    columns = {name: images[name].take(rows) for name in ("image_id", "source", "file_name", "width", "height")}
    columns |= {
        "detection_id": [f"{item}:{number}" for number in range(len(scores))],
        "bbox": boxes,
        "score": scores,
        "detector": [folder.name] * len(scores),
    }
    made_by = provenance(
        {"score_threshold": settings.score_threshold, "nms_threshold": settings.nms_threshold},
        [folder, layout.images(item)],
    )
    for path in written:  # only an interrupted run needs them
        path.unlink(missing_ok=True)
    return table_from("detections", columns, TableInfo(info.keypoints, info.image_roots, made_by))


def _figures(table: pa.Table, images: pa.Table, params: Params, item: str) -> dict[str, Any]:
    """How many people there are at which threshold, the threshold that matches C, and the AP where there are labels."""
    scores = to_numpy(table, "score")
    per_image = people_per_image(params.data.labelled)
    figures: dict[str, Any] = {
        "images": images.num_rows,
        "detections": table.num_rows,
        "detections_per_image": table.num_rows / max(images.num_rows, 1),
        "labelled_people_per_image": per_image,
        "matched_threshold": matched_threshold(scores, images.num_rows, per_image),
        "score_histogram": np.histogram(scores, bins=BINS, range=(0, 1))[0].tolist(),
    }
    figures["detections_at_threshold"] = counts_at(scores, REPORTED)
    people = read_table(layout.instances(item), "instances", ["image_id", "bbox", "area", "iscrowd"])
    if people.num_rows:
        ids, found = images["image_id"].to_pylist(), table["image_id"].to_pylist()
        figures |= box_figures(ids, people, found, to_numpy(table, "bbox"), scores)
    return figures
