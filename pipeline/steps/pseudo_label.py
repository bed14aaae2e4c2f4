"""U: the teacher ensemble's keypoints on people detected in unlabelled images (section 4.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pycocotools import mask

from pipeline import layout
from pipeline.detection.annotated import people_per_image
from pipeline.detection.thresholds import matched_threshold
from pipeline.learning.degenerate import check_members
from pipeline.learning.ensemble import FusedPoses, FuseShard
from pipeline.learning.shards import forget, shards_of
from pipeline.progress import Progress
from pipeline.records.artefacts import provenance, write_json
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import TableInfo, read_table, table_from, table_info, to_numpy, write_table
from pipeline.settings import Params

PAPER_THRESHOLD = 0.9924
BINS = 50  # of the score histogram
LISTED = 500  # people in the list of what to annotate next
CORRECTED = 0.5  # overlap (IoU) with a person who was labelled by hand, from which a detection is that person


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Pseudo-label source `item`: people above the person threshold, keypoints above the keypoint threshold."""
    assert item is not None
    with progress.task("choose people"):
        label, figures = labelling(params, item)
        people = label.people
        check_members(label.members, label.folders, people, params.compute)
    with progress.task("label"):
        shards = shards_of(people, params.spread.shard_images)
        files = progress.map(label, shards, description=f"pseudo-label {item}", unit="shard")
    with progress.task("merge"):
        poses = label.read(files)
        table = pseudo_labels(params, people, poses, [member.identity for member in label.members])
        write_table(layout.letter("U", item), table)
        forget(label.work)
    figures |= label_figures(params, table, poses, people)
    if not table.num_rows:
        progress.say(nothing_labelled(params, people, poses, item))
    write_json(layout.figures("pseudo_label", item), figures)
    return {key: value for key, value in figures.items() if not isinstance(value, list | dict)}


def nothing_labelled(params: Params, people: pa.Table, poses: FusedPoses, item: str) -> str:
    """Why U is empty, with the scores that were seen."""
    settings = params.pseudo_label
    if not people.num_rows:
        return f"warning: U of {item} is empty: no detection reaches pseudo_label.person_threshold"
    middle, best = np.quantile(poses.scores, [0.5, 0.95])
    return (
        f"warning: U of {item} is empty: of {people.num_rows} people none has {settings.min_keypoints} keypoints "
        f"scored pseudo_label.keypoint_threshold = {settings.keypoint_threshold} or more; half of the scores are above "
        f"{middle:.2f}, one in twenty above {best:.2f}"
    )


def labelling(params: Params, item: str) -> tuple[FuseShard, dict[str, Any]]:
    """What labels a shard of the people of source `item`, and the thresholds that say who they are."""
    detections = read_table(layout.detections(item), "detections")
    figures = person_thresholds(params, detections, item)
    chosen = to_numpy(detections, "score") >= figures["person_threshold"]
    if params.data.corrected:
        by_hand = labelled_by_hand(params, detections)
        figures["people_labelled_by_hand"] = int((chosen & by_hand).sum())
        chosen &= ~by_hand
    label = FuseShard(
        f"pseudo_label/{item}",
        detections.filter(pa.array(chosen)).combine_chunks(),
        tuple(layout.teacher(name) for name in params.train_teachers.models),
        load_keypoint_set(params.data.keypoints),
        params.pseudo_label.decoding,
        params.pseudo_label.batch_size,
        params.compute,
    )
    return label, figures


def labelled_by_hand(params: Params, detections: pa.Table) -> np.ndarray:
    """[N] detections that are people of `data.corrected`: they are in C, or were found to be nobody."""
    by_hand: dict[str, list[np.ndarray]] = {}
    for name in params.data.corrected:
        table = read_table(layout.instances(name), "instances", ["source", "file_name", "bbox"])
        for path, box in zip(_paths(table), to_numpy(table, "bbox").astype(np.float64), strict=True):
            by_hand.setdefault(path, []).append(box)
    found = np.zeros(detections.num_rows, bool)
    for row, (path, box) in enumerate(zip(_paths(detections), to_numpy(detections, "bbox"), strict=True)):
        if path in by_hand:
            others = np.stack(by_hand[path])
            overlap = mask.iou(box[None].astype(np.float64), others, np.zeros(len(others), np.uint8))
            found[row] = overlap.max() >= CORRECTED
    return found


def _paths(table: pa.Table) -> list[str]:
    roots = table_info(table).image_roots
    names = zip(table["source"].to_pylist(), table["file_name"].to_pylist(), strict=True)
    return [str(Path(roots[source]) / name) for source, name in names]


def person_thresholds(params: Params, detections: pa.Table, item: str) -> dict[str, Any]:
    """Both thresholds and the one in use. The matched one leaves as many people an image as C has (section 4.2)."""
    settings = params.pseudo_label.person_threshold
    per_image = people_per_image(params.data.labelled)
    unlabelled = read_table(layout.images(item), "images", ["image_id"]).num_rows
    scores = to_numpy(detections, "score")
    matched = matched_threshold(scores, unlabelled, per_image)
    used = settings.value if settings.mode == "fixed" else matched
    return {
        "labelled_people_per_image": per_image,
        "unlabelled_images": unlabelled,
        "matched_threshold": matched,
        "fixed_threshold": settings.value,
        "paper_threshold": PAPER_THRESHOLD,
        "person_threshold": used,
        "person_threshold_mode": settings.mode,
        "people_at_matched_threshold": int((scores >= matched).sum()),
        "people_at_fixed_threshold": int((scores >= settings.value).sum()),
    }


def pseudo_labels(params: Params, people: pa.Table, poses: FusedPoses, teachers: list[str]) -> pa.Table:
    """The rows of U: keypoints at or above the threshold are labelled and supervised, the rest are neither."""
    settings = params.pseudo_label
    sure = poses.scores >= settings.keypoint_threshold
    kept = sure.sum(1) >= settings.min_keypoints
    rows = people.filter(pa.array(kept)).combine_chunks()
    sure, points, scores = sure[kept], poses.points[kept], poses.scores[kept]
    triples = np.where(sure[:, :, None], np.concatenate([points, np.full_like(points[:, :, :1], 2)], 2), 0)
    box = to_numpy(rows, "bbox")
    info = table_info(people)
    inputs = [layout.teacher(name) for name in params.train_teachers.models]
    columns = {
        "instance_id": rows["detection_id"],
        **{name: rows[name] for name in ("image_id", "source", "file_name", "width", "height", "bbox", "score")},
        "kind": ["pseudo"] * rows.num_rows,
        "area": box[:, 2] * box[:, 3],
        "iscrowd": np.zeros(rows.num_rows, bool),
        "keypoints": triples.reshape(rows.num_rows, 3 * triples.shape[1]).astype(np.float32),
        "supervised": sure,
        "keypoint_scores": scores.astype(np.float32),
        "teacher": [" ".join(teachers)] * rows.num_rows,
    }
    made_by = provenance(settings.model_dump(), inputs)
    return table_from("instances", columns, TableInfo(params.data.keypoints, info.image_roots, made_by))


def label_figures(params: Params, table: pa.Table, poses: FusedPoses, people: pa.Table) -> dict[str, Any]:
    """How much U holds, the score histogram, and where the teachers disagree most (section 6.5: annotate these)."""
    keypoints = load_keypoint_set(params.data.keypoints)
    box = to_numpy(people, "bbox")
    relative = poses.spread / np.sqrt(box[:, 2] * box[:, 3])[:, None] if len(box) else poses.spread
    worst = np.argsort(-relative.mean(1), kind="stable")[:LISTED]
    file_names, persons = people["file_name"].to_pylist(), people["detection_id"].to_pylist()
    counts, _ = np.histogram(poses.scores, bins=BINS, range=(0, 1))
    supervised = to_numpy(table, "supervised")
    return {
        "people": people.num_rows,
        "rows": table.num_rows,
        "keypoints": int(supervised.sum()),
        "keypoints_per_row": float(supervised.sum() / max(table.num_rows, 1)),
        "keypoint_threshold": params.pseudo_label.keypoint_threshold,
        "share_of_keypoints_kept": float((poses.scores >= params.pseudo_label.keypoint_threshold).mean())
        if len(box)
        else 0.0,
        "score_histogram": counts.tolist(),
        "kept_by_keypoint": dict(zip(keypoints.names, supervised.sum(0).tolist(), strict=True)),
        "disagreement_by_keypoint": dict(
            zip(
                keypoints.names,
                np.round(relative.mean(0), 6).tolist() if len(box) else [0.0] * len(keypoints),
                strict=True,
            )
        ),
        "annotate_next": [
            {
                "person": persons[i],
                "file_name": file_names[i],
                "bbox": np.round(box[i].astype(float), 2).tolist(),
                "disagreement": round(float(relative[i].mean()), 6),
                "keypoint": keypoints.names[int(relative[i].argmax())],
            }
            for i in worst.tolist()
        ],
    }
