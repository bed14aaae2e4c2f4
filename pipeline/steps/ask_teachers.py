"""A teacher from outside: what it says of our people, in the target set's definitions and as probabilities.

It was trained on other people's data, where a hip is another place and a score means what its makers mean. Both are
measured on C: the offset of each keypoint, and how often a score is right. A file for a validation source is measured
too, on people whom neither was fitted on.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import layout
from pipeline.learning.calibration import (
    Calibration,
    cross_fitted,
    fitted,
    outcome,
    right_keypoints,
)
from pipeline.learning.outside import Predictions, offsets, whose
from pipeline.learning.shards import forget, shards_of
from pipeline.learning.shards import joined as shards_joined
from pipeline.learning.training.validation import oks_to_truth, validation_figures
from pipeline.progress import Progress
from pipeline.records.alignment import joined, read_in
from pipeline.records.artefacts import provenance, write_json, written
from pipeline.records.keypoints import KeypointSet, load_keypoint_set
from pipeline.records.tables import (
    TableInfo,
    labelled_people,
    read_table,
    table_from,
    table_info,
    to_numpy,
    write_table,
)
from pipeline.settings import OutsideTeacher, Params
from pipeline.sources.teacher_card import read_card, shared_names
from pipeline.sources.teacher_files import read_predictions
from pipeline.sources.teacher_networks import AskShard, content_of, files_of, load
from pipeline.steps.compose_sets import labelled_rows, labelled_source, trained_rows

DOUBTFUL = 0.1  # share of right keypoints below which a teacher is rather misread than bad


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Write what teacher `item` says of the people of each source that it is asked about."""
    assert item is not None
    teacher, target = params.ask_teachers[item], load_keypoint_set(params.data.keypoints)
    labelled = joined(labelled_rows(params))
    with progress.task("measure"):
        found = on_people(params, progress, item, labelled)
        away, calibration, figures = measured(found, labelled, target)
    made_by = provenance(teacher.model_dump(), [teacher.card, *content(teacher)])
    with progress.task("write"), written(layout.OUTSIDE / item) as folder:
        folder.mkdir(parents=True)
        for source in asked_about(params, teacher, labelled):
            if source in params.data.validation and source not in params.data.labelled:
                people = labelled_people(read_in(layout.instances(source), target))
                moved = corrected(on_people(params, progress, item, people), away)
                figures[f"on {source}"] = accuracy(moved, people, target, calibration(moved.scores))
                continue
            if (mine := of_source(labelled, source)).any():
                people, identity = labelled.filter(pa.array(mine)), "instance_id"
                answers = found.of(mine)
            elif source in params.pseudo_label.fill_in:
                people, identity = trained_rows(labelled_source(params, source), target), "instance_id"
                answers = on_people(params, progress, item, people)
            else:
                people, identity = read_table(layout.detections(source), "detections"), "detection_id"
                answers = on_people(params, progress, item, people)
            info = TableInfo(target, table_info(people).image_roots, made_by)
            table = answered(answers, people, people[identity].to_pylist(), away, calibration, info)
            write_table(folder / f"{source}.parquet", table)
            figures[f"answered on {source}"] = float(np.isfinite(answers.points[:, :, 0]).any(1).mean())
    forget(f"ask_teachers/{item}")
    card = read_card(teacher.card)
    figures |= {"card": {"names": list(card.names), "score": card.score, "licence": card.licence}}
    if figures["right"] < DOUBTFUL:
        progress.say(
            f"warning: {figures['right']:.0%} of what teacher {item} says of C is right: is {teacher.card} its card "
            "(names, and of a network channels, mean, std, layout, unit, split_ratio)?"
        )
    write_json(layout.figures("ask_teachers", item), figures)
    return {key: value for key, value in figures.items() if not isinstance(value, list | dict)}


def asked_about(params: Params, teacher: OutsideTeacher, labelled: pa.Table) -> list[str]:
    """The sources of a teacher's files; a network's are all whose people matter."""
    if teacher.files is not None:
        return list(teacher.files)
    settings = params.pseudo_label
    sources = [*labelled["source"].unique().to_pylist(), *params.data.validation, *settings.sources, *settings.fill_in]
    return list(dict.fromkeys(sources))


def content(teacher: OutsideTeacher) -> list[Path]:
    """The files that a teacher consists of, beside its card."""
    folder = Path(teacher.path)
    if teacher.files is not None:
        return [folder / name for name in teacher.files.values()]
    return files_of(folder / str(teacher.network))


def of_source(people: pa.Table, source: str) -> np.ndarray:
    """[N] which people of a table are a source's."""
    return np.array([name == source for name in people["source"].to_pylist()], bool)


def on_people(params: Params, progress: Progress, item: str, people: pa.Table) -> Predictions:
    """What teacher `item` says of each person [N] of a table; NaN where it says nothing."""
    teacher, target = params.ask_teachers[item], load_keypoint_set(params.data.keypoints)
    boxes = to_numpy(people, "bbox").astype(float)
    points, scores = np.full((people.num_rows, len(target), 2), np.nan), np.zeros((people.num_rows, len(target)))
    if teacher.files is None:
        here, there, said = by_network(params, progress, item, people)
        points[:, there], scores[:, there] = said["points"][:, here], said["scores"][:, here]
        return Predictions(np.arange(people.num_rows), boxes, points, scores)
    card = read_card(teacher.card)
    for source, name in teacher.files.items():
        mine = np.flatnonzero(of_source(people, source))
        if not len(mine):
            continue
        images = read_table(layout.images(source), "images")
        row_of = {image: row for row, image in enumerate(images["image_id"].to_pylist())}
        shown = np.array([row_of[image] for image in people["image_id"].take(pa.array(mine)).to_pylist()])
        predictions = read_predictions(Path(teacher.path) / name, card, images, target)
        which = whose(boxes[mine], shown, predictions)
        points[mine[which >= 0]] = predictions.points[which[which >= 0]]
        scores[mine[which >= 0]] = predictions.scores[which[which >= 0]]
    return Predictions(np.arange(people.num_rows), boxes, points, scores)


def by_network(
    params: Params, progress: Progress, item: str, people: pa.Table
) -> tuple[list[int], list[int], dict[str, np.ndarray]]:
    """What teacher `item`'s network says of people, in its own keypoints, and which of them are which of ours."""
    teacher, target = params.ask_teachers[item], load_keypoint_set(params.data.keypoints)
    path, card = Path(teacher.path) / str(teacher.network), read_card(teacher.card)
    if card.network is None:
        raise ValueError(f"{teacher.card}: `network` is missing: how {path} is asked, see docs/teachers.md")
    here, there = shared_names(teacher.card, card, target)
    ask = AskShard(f"ask_teachers/{item}", people, path, content_of(path), card, params.pseudo_label.decoding)
    load(path, ask.content, card)  # so that what is wrong is said before anything is spread
    files = progress.map(ask, shards_of(people, params.spread.shard_images), description=f"ask {item}", unit="shard")
    nothing = np.zeros((0, len(card.names)))
    return here, there, shards_joined(files, points=np.zeros((*nothing.shape, 2)), scores=nothing)


def measured(
    found: Predictions, labelled: pa.Table, target: KeypointSet
) -> tuple[np.ndarray, Calibration, dict[str, Any]]:
    """Offsets [K, 2] as shares of the box's size, what its scores mean, and how good the teacher is on C."""
    truth = to_numpy(labelled, "keypoints").reshape(labelled.num_rows, -1, 3).astype(float)
    away = offsets(found.points, truth, sizes(found.boxes))
    moved = corrected(found, away)
    right = rightness(moved, labelled, target)
    before = rightness(found, labelled, target)
    figures = accuracy(moved, labelled, target, cross_fitted(found.scores, right)) | {
        "right_without_offsets": _mean(before),
        "keypoints": [target.names[k] for k in known_at_all(found)],
        "offsets": dict(zip(target.names, away.round(4).tolist(), strict=True)),
    }
    return away, fitted(found.scores, right), figures


def rightness(found: Predictions, labelled: pa.Table, target: KeypointSet) -> np.ndarray:
    """[N, K] whether what the teacher says is within OKS 0.5 of the labels; NaN where either says nothing."""
    assert target.sigmas is not None  # the settings' checks
    truth = to_numpy(labelled, "keypoints").reshape(labelled.num_rows, -1, 3).astype(float)
    known = np.isfinite(found.points).all(2)
    points = np.where(known[:, :, None], found.points, 0.0)
    right = right_keypoints(points, truth, to_numpy(labelled, "area").astype(float), target.sigmas)
    return np.where(known, right, np.nan)


def accuracy(moved: Predictions, labelled: pa.Table, target: KeypointSet, probability: np.ndarray) -> dict[str, Any]:
    """How good a teacher is on labelled people, of the keypoints that it knows; a person whom it misses counts as 0.

    `probability` [N, K] is what its scores are taken for.
    """
    there = known_at_all(moved)
    points = np.where(np.isfinite(moved.points), moved.points, np.inf)[:, there]
    truth = to_numpy(labelled, "keypoints").reshape(labelled.num_rows, -1, 3).astype(float)[:, there]
    names = [target.names[k] for k in there]
    alike = oks_to_truth(points, truth, to_numpy(labelled, "area").astype(float), part_of(target, names))
    right = rightness(moved, labelled, target)
    return {
        "people": labelled.num_rows,
        **{key.removeprefix("val_"): value for key, value in validation_figures(alike).items()},
        **outcome(probability, moved.scores, right),
    }


def known_at_all(found: Predictions) -> list[int]:
    """The keypoints that a teacher knows on anybody."""
    return np.flatnonzero(np.isfinite(found.points).all(2).any(0)).tolist()


def _mean(right: np.ndarray) -> float:
    return float(np.nanmean(right)) if np.isfinite(right).any() else 0.0


def part_of(target: KeypointSet, names: list[str]) -> KeypointSet:
    """Some keypoints of a set as a set."""
    assert target.sigmas is not None
    sigmas = tuple(target.sigmas[target.index(name)] for name in names)
    return replace(target, names=tuple(names), sigmas=sigmas, flip_pairs=(), limbs=(), upper_body=())


def sizes(boxes: np.ndarray) -> np.ndarray:
    """The size of people with boxes [N, 4], which offsets are shares of."""
    return np.asarray(np.sqrt(boxes[:, 2] * boxes[:, 3]))


def corrected(found: Predictions, away: np.ndarray) -> Predictions:
    """The keypoints where the target set has them."""
    return replace(found, points=found.points - away[None] * sizes(found.boxes)[:, None, None])


def answered(
    found: Predictions,
    people: pa.Table,
    identities: list[str],
    away: np.ndarray,
    calibration: Calibration,
    info: TableInfo,
) -> pa.Table:
    """The table `answers`: x, y and the probability of being right, 0 for what the teacher does not know."""
    points = corrected(found, away).points
    known = np.isfinite(points).all(2)
    probability = np.where(known, calibration(found.scores), 0.0)
    triples = np.concatenate([np.where(known[:, :, None], points, 0.0), probability[:, :, None]], 2)
    columns = {"person_id": identities, "keypoints": triples.reshape(people.num_rows, 3 * len(away)).astype(np.float32)}
    return table_from("answers", columns, info)
