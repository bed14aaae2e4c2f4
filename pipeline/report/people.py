"""People on pictures: what the model found, and where it was most wrong."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipeline import layout
from pipeline.evaluation.errors import REASONS, Diagnosis, diagnose
from pipeline.evaluation.people import Poses, Truth, read_poses, read_truth
from pipeline.evaluation.sets import mirror_of
from pipeline.records.keypoints import KeypointSet
from pipeline.records.tables import keypoint_set, to_numpy
from pipeline.report.blocks import Block, Fold, Gallery, Note, Picture, Section, Text
from pipeline.report.context import Context, image_path, short
from pipeline.report.drawing import Scene, Skeleton, around, picture
from pipeline.settings import arrow

SHOWN_SCORE = 0.2  # poses below it are not drawn among the samples


def predictions(context: Context) -> Section:
    """Sample images with the poses found on them (Figures 10 and 11)."""
    strategy, blocks = context.strategies[-1], list[Block]()
    for source in context.params.evaluate.sets:
        boxes = context.params.evaluate.boxes[0]
        path = layout.results(strategy) / f"{source}-{boxes}.parquet"
        poses = context.table(path, "poses", f"evaluate@{strategy}")
        images = list(dict.fromkeys(poses["image_id"].to_pylist()))
        pictures = [_sample(context, poses, images[i]) for i in context.chosen(len(images))]
        caption = f"{source}: {arrow(strategy)} on {boxes.replace('_', '-')} boxes, poses with score ≥ {SHOWN_SCORE:g}"
        blocks.append(Gallery(pictures, caption) if pictures else Note(f"{source}: no poses were found."))
    blocks.append(
        Fold("Use this model", [Text(_usage(context, strategy))], "on your own pictures, or without this project")
    )
    return Section(
        "predictions",
        "Predictions",
        "Images drawn at random by the report's seed. Red is the left body, blue the right, yellow joins the two.",
        blocks,
    )


def _sample(context: Context, poses: pa.Table, image: str) -> Picture:
    rows = np.flatnonzero(np.asarray(poses["image_id"].to_pylist()) == image)
    triples = to_numpy(poses, "keypoints")[rows].reshape(len(rows), len(context.keypoints), 3)
    scores = to_numpy(poses, "score")[rows]
    sure = scores >= SHOWN_SCORE
    least = context.params.evaluate.postprocessing.keypoint_score_threshold
    skeletons = [Skeleton(t[:, :2], t[:, 2] >= least) for t in triples[sure]]
    path = image_path(poses, int(rows[0]))
    return picture(Scene(path, skeletons=skeletons), context.keypoints, f"{path.name}: {_counted(scores)}", height=262)


def _counted(scores: np.ndarray) -> str:
    """How many poses of these scores are drawn, and why the others are not: "1 person; 1 pose below 0.2, best 0.13"."""
    shown, rest = int((scores >= SHOWN_SCORE).sum()), scores[scores < SHOWN_SCORE]
    parts = ["1 person" if shown == 1 else f"{shown} people"] if shown else []
    if len(rest):
        poses = "1 pose" if len(rest) == 1 else f"{len(rest)} poses"
        parts.append(f"{poses} below {SHOWN_SCORE:g}, best {rest.max():.2f}")
    return "; ".join(parts)


def _usage(context: Context, strategy: str) -> str:
    """Commands that take this model to a picture."""
    model = layout.final(strategy)
    detectors = context.params.detect_people.sources
    detector = next((detectors[name] for name in context.params.evaluate.sets if name in detectors), None)
    given = f"{str(model)!r}" if detector is None else f"{str(model)!r}, {str(detector)!r}"
    found_by = "--boxes whole" if detector is None else f"--detector {detector}"
    return (
        f"ccm predict photo.jpg --model {model} {found_by} --draw drawn\n"
        f"ccm export {model}   # detector, network and a program that needs onnxruntime only\n\n"
        "from pipeline.predict import Predictor\n"
        f"people = Predictor({given})('photo.jpg')\n"
        "people.keypoints, people.keypoint_scores, people.boxes, people.names"
    )


def worst_errors(context: Context) -> Section:
    """The found people with the lowest OKS, and the reasons, keypoint by keypoint."""
    strategy, source = context.strategies[-1], context.params.data.validation[0]
    boxes = context.params.evaluate.boxes[0]
    path = layout.results(strategy) / f"{source}-{boxes}.parquet"
    table = context.table(path, "poses", f"evaluate@{strategy}")
    instances = context.table(layout.instances(source), "instances", f"ingest@{source}")
    images = context.table(layout.images(source), "images", f"ingest@{source}")
    truth = read_truth(images, instances, context.keypoints)
    introduction = (
        f"{arrow(strategy)} on {source}, {boxes.replace('_', '-')} boxes: the people found with the lowest OKS, "
        "and why each keypoint is off. The annotation is drawn in white."
    )
    if truth.sigmas is None or truth.ignored.all():
        return Section("errors", "Worst errors", introduction, [Note(f"{source} has no annotations with sigmas.")])
    poses = read_poses(table, truth)
    found = diagnose(truth, poses, mirror_of(truth, keypoint_set(instances)))
    wrong = np.flatnonzero([reason != "good" for reason in found.worst_reason()])
    worst = wrong[np.argsort(found.oks[wrong], kind="stable")][: context.params.report.pictures]
    pictures = [_error(context.keypoints, instances, truth, poses, found, int(n)) for n in worst]
    missed = int((~truth.ignored).sum()) - len(found.person)
    note = Note(
        f"{missed} of {(~truth.ignored).sum()} people have no pose with an OKS of 0.1 or more and are not shown."
    )
    return Section("errors", "Worst errors", introduction, [Gallery(pictures), note] if pictures else [note])


def _error(
    keypoints: KeypointSet, instances: pa.Table, truth: Truth, poses: Poses, found: Diagnosis, n: int
) -> Picture:
    person, pose = int(found.person[n]), int(found.pose[n])
    own, points = truth.keypoints[person], poses.points[pose]
    labelled = own[:, 2] > 0
    everything = np.concatenate([own[labelled, :2], points[labelled]])
    spread = np.concatenate([everything.min(0), np.ptp(everything, 0) + 1])
    reasons: dict[str, list[str]] = {}
    for k, reason in enumerate(found.reason[n]):
        if REASONS[reason] in ("miss", "swap", "inversion", "jitter"):
            reasons.setdefault(REASONS[reason], []).append(short(truth.names[k]))
    text = "; ".join(f"{reason}: {', '.join(names)}" for reason, names in sorted(reasons.items()))
    path = image_path(instances, int(truth.row[person]))
    places = [keypoints.index(name) for name in truth.names]
    skeletons = [_placed(own[:, :2], labelled, places, keypoints, plain=True)]
    skeletons.append(_placed(points, labelled, places, keypoints, plain=False))
    scene = Scene(path, around([truth.boxes[person], spread], 0.1), skeletons=skeletons)
    return picture(scene, keypoints, f"OKS {found.oks[n]:.2f} · {text} · {path.name}")


def _placed(
    points: np.ndarray, shown: np.ndarray, places: list[int], keypoints: KeypointSet, *, plain: bool
) -> Skeleton:
    """A pose of some keypoints in the order of the whole set."""
    all_points, all_shown = np.full((len(keypoints), 2), np.nan), np.zeros(len(keypoints), bool)
    all_points[places], all_shown[places] = points, shown
    return Skeleton(all_points, all_shown, plain)
