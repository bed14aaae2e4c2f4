"""U: the teacher ensemble's keypoints on people detected in unlabelled images (section 4.2)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import layout
from pipeline.artefacts import file_hash, provenance, source_hash, write_json, written
from pipeline.detection.thresholds import matched_threshold
from pipeline.ensemble import load_members, predict_fused
from pipeline.keypoints import load_keypoint_set
from pipeline.params import Params
from pipeline.progress import Progress
from pipeline.tables import TableInfo, read_table, table_from, table_info, to_numpy, write_table

PAPER_THRESHOLD = 0.9924
BINS = 50  # of the score histogram
LISTED = 50  # people in the list of what to annotate next


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Pseudo-label source `item`: people above the person threshold, keypoints above the keypoint threshold."""
    assert item is not None
    with progress.task("choose people"):
        detections = read_table(layout.detections(item), "detections")
        figures = person_thresholds(params, detections, item)
        chosen = to_numpy(detections, "score") >= figures["person_threshold"]
        people = detections.filter(pa.array(chosen)).combine_chunks()
    with progress.task("label"):
        label = LabelShard(params, people, tuple(layout.teacher(name) for name in params.train_teachers.models))
        shards = shards_of(people, params.spread.shard_images)
        files = progress.map(label, shards, description=f"pseudo-label {item}", unit="shard")
    with progress.task("merge"):
        poses = RawPoses.read(files, len(load_keypoint_set(params.data.keypoints)))
        table = pseudo_labels(params, people, poses, label.teachers)
        write_table(layout.letter("U", item), table)
    figures |= label_figures(params, table, poses, people)
    write_json(layout.metrics("pseudo_label", item), figures)
    return {key: value for key, value in figures.items() if not isinstance(value, list | dict)}


def person_thresholds(params: Params, detections: pa.Table, item: str) -> dict[str, Any]:
    """Both thresholds and the one in use. The matched one leaves as many people an image as C has (section 4.2)."""
    settings = params.pseudo_label.person_threshold
    labelled = params.data.labelled
    people = int((~to_numpy(read_table(layout.instances(labelled), "instances", ["iscrowd"]), "iscrowd")).sum())
    images = read_table(layout.images(labelled), "images", ["image_id"]).num_rows
    per_image = people / max(images, 1)
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


def shards_of(people: pa.Table, shard_images: int) -> list[tuple[int, int]]:
    """Row ranges of whole images, `shard_images` of them each; detections are grouped by image."""
    images = np.asarray(people["image_id"].to_pylist())
    starts = np.flatnonzero(np.r_[True, images[1:] != images[:-1]]) if len(images) else np.zeros(0, int)
    firsts = starts[::shard_images].tolist()
    return list(zip(firsts, [*firsts, len(images)][1:], strict=True))


@dataclass(frozen=True)
class LabelShard:
    """Label a range of rows and write the raw poses; picklable, and the same bytes wherever it runs."""

    params: Params
    people: pa.Table
    folders: tuple[Path, ...]

    @property
    def teachers(self) -> list[str]:
        """Name and content hash of each teacher."""
        return [f"{folder.name}:{file_hash(folder)}" for folder in self.folders]

    def __call__(self, rows: tuple[int, int]) -> Path:
        """The file of this shard; taken as it is when an earlier, interrupted run has left it whole."""
        shard = self.people.slice(rows[0], rows[1] - rows[0])
        content = [self._identity(), shard["detection_id"].to_pylist(), np.asarray(shard["score"]).tolist()]
        name = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:20]
        path = layout.STATE / "pseudo_label" / f"{name}.npz"
        if path.is_file():
            return path
        keypoints = load_keypoint_set(self.params.data.keypoints)
        points = np.zeros((shard.num_rows, len(keypoints), 2))
        scores, spread = np.zeros(points.shape[:2]), np.zeros(points.shape[:2])
        for batch in predict_fused(
            load_members(self.folders, keypoints),
            shard,
            settings=self.params.pseudo_label.decoding,
            keypoints=keypoints,
            batch_size=self.params.pseudo_label.batch_size,
            compute=self.params.compute,
        ):
            points[batch.rows], scores[batch.rows], spread[batch.rows] = batch.points, batch.scores, batch.spread
        with written(path) as temporary, temporary.open("wb") as file:
            np.savez(file, points=points, scores=scores, spread=spread)
        return path

    def _identity(self) -> list[Any]:
        settings = [self.params.pseudo_label.batch_size, self.params.pseudo_label.decoding.model_dump()]
        code = source_hash("model", "postproc", "pipeline.data", "pipeline.ensemble", "pipeline.inference")
        return [self.teachers, settings, self.params.compute.precision, code]


@dataclass(frozen=True)
class RawPoses:
    """What the ensemble says of each person, before any threshold: [N, K, 2] image pixels, [N, K], [N, K]."""

    points: np.ndarray
    scores: np.ndarray
    spread: np.ndarray

    @classmethod
    def read(cls, files: list[Path], keypoints: int) -> RawPoses:
        """Join the shards' files, in order."""
        shards = [np.load(path) for path in files]
        if not shards:
            return cls(np.zeros((0, keypoints, 2)), np.zeros((0, keypoints)), np.zeros((0, keypoints)))
        return cls(*(np.concatenate([shard[name] for shard in shards]) for name in ("points", "scores", "spread")))


def pseudo_labels(params: Params, people: pa.Table, poses: RawPoses, teachers: list[str]) -> pa.Table:
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


def label_figures(params: Params, table: pa.Table, poses: RawPoses, people: pa.Table) -> dict[str, Any]:
    """How much U holds, the score histogram, and where the teachers disagree most (section 6.5: annotate these)."""
    keypoints = load_keypoint_set(params.data.keypoints)
    box = to_numpy(people, "bbox")
    relative = poses.spread / np.sqrt(box[:, 2] * box[:, 3])[:, None] if len(box) else poses.spread
    worst = np.argsort(-relative.mean(1), kind="stable")[:LISTED]
    file_names = people["file_name"].to_pylist()
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
                "file_name": file_names[i],
                "bbox": np.round(box[i].astype(float), 2).tolist(),
                "disagreement": round(float(relative[i].mean()), 6),
                "keypoint": keypoints.names[int(relative[i].argmax())],
            }
            for i in worst.tolist()
        ],
    }
