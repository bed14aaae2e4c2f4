"""U: the teacher ensemble's keypoints on people detected in unlabelled images (section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pycocotools import mask

from pipeline import layout
from pipeline.detection.person_threshold import person_thresholds
from pipeline.learning.calibration import (
    FEWEST,
    Calibration,
    chosen_keypoints,
    cross_fitted,
    fitted,
    outcome,
    right_keypoints,
)
from pipeline.learning.degenerate import check_members
from pipeline.learning.ensemble import FusedPoses, FuseShard
from pipeline.learning.outside import Opinion
from pipeline.learning.shards import forget, shards_of
from pipeline.progress import Progress
from pipeline.records.alignment import joined
from pipeline.records.artefacts import file_hash, provenance, write_json
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import TableInfo, read_table, table_from, table_info, to_numpy, write_table
from pipeline.settings import FIRST_LABELS, KeypointThreshold, Params
from pipeline.steps.compose_sets import held_out, labelled_rows

BINS = 50  # of the score histogram
LISTED = 500  # people in the list of what to annotate next
CORRECTED = 0.5  # overlap (IoU) with a person who was labelled by hand, from which a detection is that person
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Teachers:
    """Who labels U together: the folders of networks of ours, and the names of teachers from outside."""

    folders: tuple[Path, ...]
    outside: tuple[str, ...]
    trained: bool  # one of ours was trained here, on all of C but `train_teachers.held_out`

    @property
    def inputs(self) -> list[Path]:
        """What they are made of."""
        return [*self.folders, *(layout.OUTSIDE / name for name in self.outside)]


def first_teachers(params: Params) -> Teachers:
    """The ensemble of section 4.2, and all teachers from outside."""
    own = params.train_teachers.models
    trained = any(teacher.training is not None for teacher in own.values())
    return Teachers(tuple(layout.teacher(name) for name in own), tuple(params.ask_teachers), trained)


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Pseudo-label source `item`: people above the person threshold, keypoints above the keypoint threshold."""
    assert item is not None
    figures = label_source(params, progress, item, first_teachers(params))
    write_json(layout.figures("pseudo_label", item), figures)
    return {key: value for key, value in figures.items() if not isinstance(value, list | dict)}


def label_source(
    params: Params, progress: Progress, item: str, teachers: Teachers, stage: str = FIRST_LABELS
) -> dict[str, Any]:
    """Write U of source `item` as these teachers see it, for `pseudo_label` or a round (`rounds/NAME`); its figures."""
    with progress.task("choose people"):
        label, figures = labelling(params, item, teachers, stage)
        people = label.people
        check_members(label.members, label.folders, people, params.compute)
    with progress.task("label"):
        shards = shards_of(people, params.spread.shard_images)
        files = progress.map(label, shards, description=f"pseudo-label {item}", unit="shard")
    calibration = None
    if params.pseudo_label.calibrated:
        with progress.task("calibrate"):
            calibration, measured = calibrated(params, progress, f"{label.work}-calibration", teachers)
            figures |= measured
    with progress.task("merge"):
        poses = label.read(files)
        probability = None if calibration is None else calibration(poses.scores)
        table = pseudo_labels(params, people, poses, label.teachers, probability, teachers.inputs)
        write_table(layout.labels(stage, item), table)
        forget(label.work)
    figures |= label_figures(params, table, poses, people, probability)
    if not table.num_rows:
        progress.say(nothing_labelled(params, people, poses, item))
    return figures


def nothing_labelled(params: Params, people: pa.Table, poses: FusedPoses, item: str) -> str:
    """Why U is empty, with the scores that were seen."""
    settings = params.pseudo_label
    if not people.num_rows:
        return f"warning: U of {item} is empty: no detection reaches pseudo_label.person_threshold"
    middle, best = np.quantile(poses.scores, [0.5, 0.95])
    return (
        f"warning: U of {item} is empty: of {people.num_rows} people none has {settings.min_keypoints} keypoints "
        f"scored pseudo_label.keypoint_threshold = {in_words(settings.cut)} or more; half of the scores are above "
        f"{middle:.2f}, one in twenty above {best:.2f}"
    )


def in_words(cut: KeypointThreshold) -> str:
    """A keypoint threshold for people to read."""
    return f"{cut.value:g}" if cut.mode == "fixed" else f"{cut.mode} {cut.value:g}"


def labelling(
    params: Params, item: str, teachers: Teachers | None = None, stage: str = FIRST_LABELS
) -> tuple[FuseShard, dict[str, Any]]:
    """What labels a shard of the people of source `item`, and the thresholds that say who they are."""
    detections = read_table(layout.detections(item), "detections")
    figures = person_thresholds(params, detections, item)
    chosen = to_numpy(detections, "score") >= figures["person_threshold"]
    if params.data.corrected:
        by_hand = labelled_by_hand(params, detections)
        figures["people_labelled_by_hand"] = int((chosen & by_hand).sum())
        chosen &= ~by_hand
    people = detections.filter(pa.array(chosen)).combine_chunks()
    return ensemble(params, f"{stage}/{item}", people, "detection_id", teachers or first_teachers(params)), figures


def ensemble(params: Params, work: str, people: pa.Table, identity: str, teachers: Teachers) -> FuseShard:
    """The teachers together, our own and those from outside, on some people that the column `identity` names."""
    keypoints, settings = load_keypoint_set(params.data.keypoints), params.pseudo_label
    return FuseShard(
        work,
        people,
        teachers.folders,
        keypoints,
        settings.decoding,
        settings.batch_size,
        params.compute,
        settings.fusion,
        tuple(
            opinion(name, params.ask_teachers[name].weight, people, people[identity].to_pylist(), len(keypoints))
            for name in teachers.outside
        ),
    )


def opinion(name: str, weight: float, people: pa.Table, identities: list[str], count: int) -> Opinion:
    """What a teacher from outside has answered for these people; nothing where it was not asked."""
    points, scores = np.full((len(identities), count, 2), np.nan), np.zeros((len(identities), count))
    content = []
    for source in people["source"].unique().to_pylist():
        path = layout.outside(name, source)
        if path.is_file():
            answers = read_table(path, "answers")
            row_of = {person: row for row, person in enumerate(answers["person_id"].to_pylist())}
            mine = [i for i, person in enumerate(identities) if person in row_of]
            triples = to_numpy(answers, "keypoints").reshape(answers.num_rows, count, 3)
            said = triples[[row_of[identities[i]] for i in mine]].astype(float)
            points[mine] = np.where(said[:, :, 2:] > 0, said[:, :, :2], np.nan)
            scores[mine] = said[:, :, 2]
            content.append(file_hash(path))
    return Opinion(f"{name}:{'+'.join(content)}", weight, points, scores)


def calibrated(params: Params, progress: Progress, work: str, teachers: Teachers) -> tuple[Calibration, dict[str, Any]]:
    """What the ensemble's scores mean, on people of C that none of our teachers was trained on.

    The figures are those of people that the curves were not fitted on. ValueError when there is nobody.
    """
    people = joined(labelled_rows(params))
    if teachers.trained:
        people = people.filter(pa.array(held_out(people, params.train_teachers.held_out))).combine_chunks()
    if people.num_rows < FEWEST:
        raise ValueError(
            f"train_teachers.held_out = {params.train_teachers.held_out}: leaves {people.num_rows} people of C to "
            f"calibrate the teachers' scores on; allowed: at least {FEWEST}"
        )
    label = ensemble(params, work, people, "instance_id", teachers)
    files = progress.map(
        label, shards_of(people, params.spread.shard_images), description="calibrate teachers", unit="shard"
    )
    poses = label.read(files)
    forget(label.work)
    truth = to_numpy(people, "keypoints").reshape(people.num_rows, -1, 3).astype(float)
    sigmas = label.keypoints.sigmas
    assert sigmas is not None  # the settings' checks
    right = right_keypoints(poses.points, truth, to_numpy(people, "area").astype(float), sigmas)
    right[poses.scores <= 0] = np.nan  # a keypoint that nobody knows
    figures = outcome(cross_fitted(poses.scores, right), poses.scores, right)
    figures = {"calibration_people": people.num_rows, "calibration_right": figures.pop("right"), **figures}
    return fitted(poses.scores, right), figures


def labelled_by_hand(params: Params, detections: pa.Table) -> np.ndarray:
    """[N] detections that are people of `data.corrected`: they are in C, or were found to be nobody.

    By overlap, for a new detector counts its people anew; and by the person's id where the box was drawn anew.
    """
    by_hand: dict[str, list[np.ndarray]] = {}
    persons: set[tuple[str, str]] = set()
    for name in params.data.corrected:
        table = read_table(layout.instances(name), "instances", ["instance_id", "source", "file_name", "bbox"])
        ids = [identity.removeprefix(f"{name}:") for identity in table["instance_id"].to_pylist()]
        persons |= set(zip(_paths(table), ids, strict=True))
        for path, box in zip(_paths(table), to_numpy(table, "bbox").astype(np.float64), strict=True):
            by_hand.setdefault(path, []).append(box)
    found = np.zeros(detections.num_rows, bool)
    ids, boxes = detections["detection_id"].to_pylist(), to_numpy(detections, "bbox")
    for row, (path, person, box) in enumerate(zip(_paths(detections), ids, boxes, strict=True)):
        if path in by_hand:
            others = np.stack(by_hand[path])
            overlap = mask.iou(box[None].astype(np.float64), others, np.zeros(len(others), np.uint8))
            found[row] = overlap.max() >= CORRECTED or ((path, person) in persons and overlap.max() > 0)
    return found


def _paths(table: pa.Table) -> list[str]:
    roots = table_info(table).image_roots
    names = zip(table["source"].to_pylist(), table["file_name"].to_pylist(), strict=True)
    return [str(Path(roots[source]) / name) for source, name in names]


def pseudo_labels(
    params: Params,
    people: pa.Table,
    poses: FusedPoses,
    teachers: list[str],
    probability: np.ndarray | None = None,
    inputs: Sequence[Path] = (),
) -> pa.Table:
    """The rows of U: keypoints that the threshold leaves are labelled and supervised, the rest are neither.

    `probability` [N, K] is how likely each keypoint is right, which it then weighs where the settings say so. `inputs`
    is what the teachers are made of.
    """
    settings = params.pseudo_label
    sure = chosen_keypoints(settings.cut, poses.scores, probability)
    weight = probability if settings.weigh and probability is not None else np.ones(sure.shape)
    if settings.fusion == "agreement":  # a keypoint that no teacher knows
        sure = sure & (poses.scores > 0)
    kept = sure.sum(1) >= settings.min_keypoints
    rows = people.filter(pa.array(kept)).combine_chunks()
    sure, points, scores, weight = sure[kept], poses.points[kept], poses.scores[kept], weight[kept]
    triples = np.where(sure[:, :, None], np.concatenate([points, np.full_like(points[:, :, :1], 2)], 2), 0)
    box = to_numpy(rows, "bbox")
    info = table_info(people)
    columns = {
        "instance_id": rows["detection_id"],
        **{name: rows[name] for name in ("image_id", "source", "file_name", "width", "height", "bbox", "score")},
        "kind": ["pseudo"] * rows.num_rows,
        "area": box[:, 2] * box[:, 3],
        "iscrowd": np.zeros(rows.num_rows, bool),
        "keypoints": triples.reshape(rows.num_rows, 3 * triples.shape[1]).astype(np.float32),
        "supervised": sure,
        "weight": (weight * sure).astype(np.float32),
        "keypoint_scores": scores.astype(np.float32),
        "teacher": [" ".join(teachers)] * rows.num_rows,
    }
    made_by = provenance(settings.model_dump(exclude={"fill_in"}), inputs)  # which is about C and A
    return table_from("instances", columns, TableInfo(params.data.keypoints, info.image_roots, made_by))


def label_figures(
    params: Params, table: pa.Table, poses: FusedPoses, people: pa.Table, probability: np.ndarray | None = None
) -> dict[str, Any]:
    """How much U holds, the score histogram, and where the teachers disagree most (section 6.5: annotate these)."""
    keypoints = load_keypoint_set(params.data.keypoints)
    box = to_numpy(people, "bbox")
    relative = poses.spread / np.sqrt(box[:, 2] * box[:, 3])[:, None] if len(box) else poses.spread
    worst = np.argsort(-relative.mean(1), kind="stable")[:LISTED]
    file_names, persons = people["file_name"].to_pylist(), people["detection_id"].to_pylist()
    counts, _ = np.histogram(poses.scores, bins=BINS, range=(0, 1))
    supervised = to_numpy(table, "supervised")
    chosen = chosen_keypoints(params.pseudo_label.cut, poses.scores, probability)
    return {
        "people": people.num_rows,
        "rows": table.num_rows,
        "keypoints": int(supervised.sum()),
        "keypoints_per_row": float(supervised.sum() / max(table.num_rows, 1)),
        "keypoint_threshold": params.pseudo_label.cut.value,
        "keypoint_threshold_mode": params.pseudo_label.cut.mode,
        "share_of_keypoints_kept": float(chosen.mean()) if len(box) else 0.0,
        "mean_weight": float(to_numpy(table, "weight")[supervised].mean()) if supervised.any() else 0.0,
        "score_quantiles": {
            name: dict(zip(map(str, _QUANTILES), np.quantile(scores, _QUANTILES).round(4).tolist(), strict=True))
            for name, scores in zip(keypoints.names, poses.scores.T, strict=True)
        }
        if len(box)
        else {},
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
