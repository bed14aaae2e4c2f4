"""H, the detector's confident mistakes on C (section 4.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import layout
from pipeline.detection.mining import touches_anyone
from pipeline.detection.pictures import contact_sheet
from pipeline.detection.thresholds import counts_at
from pipeline.progress import Progress
from pipeline.records.artefacts import provenance, write_json
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import TableInfo, read_table, table_from, table_info, to_numpy, write_table
from pipeline.settings import Params

PAPER = {0.5: 11_762, 0.7: 4_359, 0.9: 952}  # hard negatives on COCO train by threshold (section 6.2.2)
PICTURES = 32


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Write the detections on source `item` that touch no annotated person, crowds and the unlabelled included."""
    assert item is not None
    settings = params.mine_hard_negatives
    with progress.task("compare"):
        detections = read_table(layout.detections(item), "detections")
        lowest = min([settings.score_threshold, *settings.report_thresholds])
        detections = detections.filter(pa.array(to_numpy(detections, "score") >= lowest)).combine_chunks()
        people = read_table(layout.instances(item), "instances", ["image_id", "bbox"])
        touched = touches_anyone(
            detections["image_id"].to_pylist(),
            to_numpy(detections, "bbox"),
            people["image_id"].to_pylist(),
            to_numpy(people, "bbox"),
        )
        apart = detections.filter(pa.array(~touched)).combine_chunks()
    scores = to_numpy(apart, "score")
    negatives = apart.filter(pa.array(scores >= settings.score_threshold)).combine_chunks()
    write_table(layout.letter("H", item), hard_negatives(negatives, params.data.keypoints, params, item))
    counts = counts_at(scores, settings.report_thresholds)
    figures: dict[str, Any] = {
        "rows": negatives.num_rows,
        "images": len(set(negatives["image_id"].to_pylist())),
        "score_threshold": settings.score_threshold,
    }
    beside = {"rows_at_threshold": counts, "paper_rows_at_threshold": {f"{t:g}": n for t, n in PAPER.items()}}
    write_json(layout.figures("mine_hard_negatives", item), figures | beside)
    progress.table("hard-negatives", beside_paper(counts), "Hard negatives by threshold")
    if not negatives.num_rows:
        progress.say(
            f"warning: H of {item} is empty: no detection scored mine_hard_negatives.score_threshold = "
            f"{settings.score_threshold} or more touches nobody; by threshold: {counts}"
        )
    if negatives.num_rows:
        progress.image("hard-negatives", picture(negatives, PICTURES), "The most confident hard negatives")
    return figures | {f"rows_at_{threshold}": count for threshold, count in counts.items()}


def hard_negatives(detections: pa.Table, keypoints: str, params: Params, item: str) -> pa.Table:
    """Detections as rows of H: every keypoint is supervised and none is there, so the target is all-zero maps."""
    rows, box = detections.num_rows, to_numpy(detections, "bbox")
    count = len(load_keypoint_set(keypoints))
    columns = {
        # Detections are numbered as annotations may be: the word keeps the two apart when H is joined to C.
        "instance_id": [name.replace(":", ":hard-", 1) for name in detections["detection_id"].to_pylist()],
        **{name: detections[name] for name in ("image_id", "source", "file_name", "width", "height", "bbox", "score")},
        "kind": ["hard_negative"] * rows,
        "area": box[:, 2] * box[:, 3],
        "iscrowd": np.zeros(rows, bool),
        "keypoints": np.zeros((rows, 3 * count), np.float32),
        "supervised": np.ones((rows, count), bool),
    }
    made_by = provenance(
        {"score_threshold": params.mine_hard_negatives.score_threshold},
        [layout.detections(item), layout.instances(item)],
    )
    return table_from("instances", columns, TableInfo(keypoints, table_info(detections).image_roots, made_by))


def beside_paper(counts: dict[str, int]) -> list[dict[str, Any]]:
    """The number of hard negatives at each threshold, and the paper's on COCO train."""
    return [
        {"threshold": threshold, "hard negatives": count, "paper, COCO train": PAPER.get(float(threshold))}
        for threshold, count in counts.items()
    ]


def picture(table: pa.Table, limit: int) -> bytes:
    """A PNG of the highest-scored rows of a `detections` table or of H."""
    scores, boxes = to_numpy(table, "score"), to_numpy(table, "bbox")
    best = np.argsort(-scores, kind="stable")[:limit]
    roots = table_info(table).image_roots
    names, sources = table["file_name"].to_pylist(), table["source"].cast(pa.string()).to_pylist()
    files = [Path(roots[sources[i]]) / names[i] for i in best]
    return contact_sheet(files, boxes[best], [f"{scores[i]:.3f}" for i in best])
