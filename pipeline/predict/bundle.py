"""A model and its detector as a folder that needs nothing of this project, held against the model before it is kept."""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model import checkpoints
from model.detector import PersonDetector, load_detector
from model.export import export
from pipeline import layout
from pipeline.evaluation.average_precision import summarise
from pipeline.evaluation.matching import match_poses
from pipeline.evaluation.people import Poses, Truth, image_index, read_truth
from pipeline.learning.inference import flip_shift
from pipeline.predict.export import PointsInCrop
from pipeline.predict.precision import Calibration, Precision, convert, milliseconds_a_person
from pipeline.predict.predictor import Predictor
from pipeline.progress import Progress
from pipeline.records.artefacts import written
from pipeline.records.images import ImageReader
from pipeline.records.tables import read_table, table_info
from pipeline.settings import Params
from postproc.heatmaps import align_flipped

PROGRAM = Path(__file__).parent / "bundled" / "predict.py"
ALLOWED = 0.001  # of AP, on a scale of 0 to 1: a tenth of a point
SURE = 0.3  # keypoints scored so are compared
_OPSET = 17
_MEANING = {
    "boxes": "x, y, w, h in pixels of the picture as it is shown",
    "keypoints": "x, y in the same pixels; the centre of the first pixel is 0",
    "keypoint_scores": "height of the heatmap, 0 to about 1: not a probability",
    "scores": "box score times the mean of the keypoint scores above keypoint_score_threshold",
}


def export_bundle(
    predictor: Predictor,
    model: Path,
    detector: Path | None,
    params: Params,
    output: Path,
    progress: Progress,
    precision: Precision = "float32",
    allowed: float = ALLOWED,
) -> dict[str, Any]:
    """Write the folder `output` and `output`.zip; returns what the check found.

    Args:
        predictor: of this model and detector, with the post-processing to build in (a flip test, if it has one).
        precision: of the networks; int8 is calibrated on people of the first labelled set.
        allowed: AP that it may lose on the first evaluation set, on a scale of 0 to 1.

    Raises:
        ValueError: what cannot be exported, or a bundle that loses more.
    """
    calibration = Calibration(params, predictor.network.spec.input_size, predictor.padding)
    with written(output) as folder:
        folder.mkdir(parents=True)
        with progress.task("export"):
            _write_networks(predictor, detector, params, folder)
            times = _convert(folder, precision, calibration)
            card = _card(predictor, model, detector, params)
            card |= {"precision": precision, "detector_precision": "float32" if precision == "fp16" else precision}
            if precision == "int8":
                card["calibrated_on"] = str(calibration)
            (folder / "card.json").write_text(json.dumps(card, indent=1) + "\n")
            shutil.copyfile(PROGRAM, folder / "predict.py")
        with progress.task("check"):
            card["check"] = _check(predictor, params, folder, progress) | times
        refuse_loss(card["check"], allowed)
        (folder / "card.json").write_text(json.dumps(card, indent=1) + "\n")
    archive = Path(f"{output}.zip")
    with written(archive) as temporary:
        made = shutil.make_archive(str(temporary), "zip", output.parent, output.name)
        Path(made).rename(temporary)
    return dict(card["check"])


def _convert(folder: Path, precision: Precision, calibration: Calibration) -> dict[str, Any]:
    """Change the networks to `precision`; how long they take for a person before and after."""
    names = {"float32": folder / "keypoints.onnx"}
    with tempfile.TemporaryDirectory() as aside:
        if precision != "float32":
            names = {
                "float32": Path(shutil.copy(folder / "keypoints.onnx", aside)),
                precision: folder / "keypoints.onnx",
            }
            convert(folder, precision, calibration)
        times = milliseconds_a_person(list(names.values()), calibration.crops)
    return {f"ms a person, {name}, a core": spent for name, spent in zip(names, times, strict=True)}


def _write_networks(predictor: Predictor, detector: Path | None, params: Params, folder: Path) -> None:
    network, settings = predictor.network, predictor.settings
    merge: Callable[[Tensor, Tensor], Tensor] | None = None
    if settings.flip:
        pairs, shift = predictor.keypoints.flip_indices, flip_shift(settings, network)

        def merge(plain: Tensor, mirrored: Tensor) -> Tensor:
            return (plain + align_flipped(mirrored, pairs, shift)) / 2

    decode = PointsInCrop(network, settings.gaussian, settings.refinement)
    names = {"keypoint_names": list(predictor.names), "padding": predictor.padding}
    export(network, folder / "keypoints.onnx", decode, names, merge)
    if detector is not None:
        _write_detector(detector, params, folder / "detector.onnx")


def _write_detector(detector: Path, params: Params, path: Path) -> None:
    """torchvision's detectors export by tracing only; what comes out is held against the model afterwards."""
    network: PersonDetector = load_detector(detector)
    network.drop_masks()
    network.set_thresholds(params.detect_people.score_threshold, params.detect_people.nms_threshold)
    network.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            ([torch.rand(3, 240, 320)],),
            str(path),
            opset_version=_OPSET,
            input_names=["image"],
            output_names=["boxes", "labels", "scores"],
            dynamic_axes={"image": {1: "height", 2: "width"}},
            dynamo=False,
        )


def _card(predictor: Predictor, model: Path, detector: Path | None, params: Params) -> dict[str, Any]:
    keypoints, settings = predictor.keypoints, predictor.settings
    own = checkpoints.read_card(checkpoints.tensors_file(model), checkpoints.POSE)
    return {
        "keypoint_names": list(keypoints.names),
        "limbs": [list(pair) for pair in keypoints.limbs],
        "flip_pairs": [list(pair) for pair in keypoints.flip_pairs],
        "sigmas": None if keypoints.sigmas is None else list(keypoints.sigmas),
        "input_size": list(predictor.network.spec.input_size),
        "padding": predictor.padding,
        "flip_test": settings.flip,
        "nms": settings.nms,
        "nms_threshold": settings.nms_threshold,
        "keypoint_score_threshold": settings.keypoint_score_threshold,
        "box_threshold": max(params.detect_people.score_threshold, params.evaluate.box_threshold),
        "meaning": _MEANING,
        "model": str(model),
        "detector": None if detector is None else str(detector),
        "trained_on": own.get("trained_on"),
        "trained_by": own.get("trained_by"),
        "licence": "the weights are their owner's; predict.py and the code that wrote this: Apache-2.0",
    }


def _check(predictor: Predictor, params: Params, folder: Path, progress: Progress) -> dict[str, Any]:
    """AP of the bundle and of the model on the first evaluation set, the keypoints' distance, and milliseconds.

    Both see the same pixels, those that OpenCV decodes, which the program reads too.
    """
    source = params.evaluate.sets[0]
    images = read_table(layout.images(source), "images")
    truth = read_truth(images, read_table(layout.instances(source), "instances"), predictor.keypoints)
    root = Path(table_info(images).image_roots[source])
    names, ids = images["file_name"].to_pylist(), images["image_id"].to_pylist()
    bundle, reader = _loaded(folder / "predict.py").Bundle(folder), ImageReader()
    people: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"model": [], "bundle": []}
    distances, seconds = [np.zeros(0)], []
    for name in progress.track(names, description=f"check on {source}", unit="image"):
        pixels = reader.read(root / name)
        mine = predictor(pixels)
        started = time.perf_counter()
        boxes, points, scores, pose_scores = bundle(pixels)
        seconds.append(time.perf_counter() - started)
        people["model"].append((mine.keypoints, mine.scores))
        people["bundle"].append((points, pose_scores))
        pairs = _same_boxes(mine.boxes, boxes)
        sure = (mine.keypoint_scores[pairs[0]] >= SURE) & (scores[pairs[1]] >= SURE)
        distances.append(np.hypot(*np.moveaxis(points[pairs[1]] - mine.keypoints[pairs[0]], 2, 0))[sure])
    far = np.concatenate(distances)
    check: dict[str, Any] = {"set": source, "images": len(names), "ms a picture": 1e3 * statistics.median(seconds)}
    if truth.sigmas is not None and not truth.ignored.all():
        check |= {f"AP of the {of}": _ap(truth, ids, found) for of, found in people.items()}
    check |= {
        "keypoints compared": len(far),
        "median distance, pixels": float(np.median(far)) if len(far) else 0.0,
        "largest distance, pixels": float(far.max(initial=0.0)),
        "within 0.5 pixels": float((far <= 0.5).mean()) if len(far) else 1.0,
    }
    return check


def _same_boxes(ours: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of boxes [N, 4] and [M, 4] that are each other's nearest, and off by no more than a tenth of their size."""
    if not len(ours) or not len(theirs):
        return np.zeros(0, int), np.zeros(0, int)
    off = np.abs(ours[:, None] - theirs[None]).max(2)
    nearest, back = off.argmin(1), off.argmin(0)
    rows = np.arange(len(ours))
    kept = (back[nearest] == rows) & (off[rows, nearest] <= 0.1 * ours[:, 2:].max(1))
    return rows[kept], nearest[kept]


def refuse_loss(check: dict[str, Any], allowed: float = ALLOWED) -> None:
    """ValueError where the bundle's AP lies more than `allowed` (on a scale of 0 to 1) below the model's."""
    before, after = check.get("AP of the model", 0.0), check.get("AP of the bundle", 0.0)
    if before - after > allowed:
        raise ValueError(
            f"the bundle loses {100 * (before - after):.2f} AP on {check['set']} ({100 * before:.2f} to "
            f"{100 * after:.2f}); allowed: {100 * allowed:g} (--accept-loss POINTS allows more); nothing is written"
        )


def _ap(truth: Truth, ids: Sequence[str], found: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    image = [name for name, (_, scores) in zip(ids, found, strict=True) for _ in scores]
    points = np.concatenate([points for points, _ in found])
    scores = np.concatenate([scores for _, scores in found])
    return float(summarise(match_poses(truth, Poses(image_index(truth.images, image), points, scores)))["AP"])


def _loaded(path: Path) -> Any:
    """The program as a module; Python's import would leave its cache in the bundle."""
    module = ModuleType("bundled_predict")
    module.__file__ = str(path)
    exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
    return module
