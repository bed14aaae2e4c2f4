"""The detector's score from which on a detection on unlabelled images is a person (section 4.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import layout
from pipeline.detection.annotated import people_per_image
from pipeline.detection.average_precision import right_people
from pipeline.detection.thresholds import matched_threshold, precision_threshold
from pipeline.learning.calibration import FEWEST, Calibration, cross_fitted, fitted, outcome
from pipeline.records.tables import read_table, to_numpy
from pipeline.settings import Params, comparable

PAPER_THRESHOLD = 0.9924
_KEY = "pseudo_label.person_threshold"


def person_thresholds(params: Params, detections: pa.Table, item: str) -> dict[str, Any]:
    """The thresholds of the modes and the one in use. The matched one leaves as many people an image as C has.

    That of a precision is calibrated on the validation, with figures of how well that goes.
    """
    settings = params.pseudo_label.person_threshold
    per_image = people_per_image(params.data.labelled)
    unlabelled = read_table(layout.images(item), "images", ["image_id"]).num_rows
    scores = to_numpy(detections, "score")
    matched = matched_threshold(scores, unlabelled, per_image)
    figures = {
        "labelled_people_per_image": per_image,
        "unlabelled_images": unlabelled,
        "matched_threshold": matched,
        "paper_threshold": PAPER_THRESHOLD,
        "person_threshold_mode": settings.mode,
        "people_at_matched_threshold": int((scores >= matched).sum()),
    }
    if settings.mode == "precision":
        used, measures = _of_precision(params, scores, item)
        return figures | {"person_threshold": used, "person_precision": settings.value, "person_calibration": measures}
    return figures | {
        "fixed_threshold": settings.value,
        "people_at_fixed_threshold": int((scores >= settings.value).sum()),
        "person_threshold": settings.value if settings.mode == "fixed" else matched,
    }


def _of_precision(params: Params, scores: np.ndarray, item: str) -> tuple[float, dict[str, Any]]:
    """The threshold of the precision that is asked for; ValueError where no detection is that sure."""
    wanted, sources = params.pseudo_label.person_threshold.value, comparable(params, item)
    calibration, measures = calibrated(sources)
    if not len(scores):
        return 0.0, measures
    probability = calibration(scores[:, None])[:, 0]
    used = precision_threshold(scores, probability, wanted)
    if used is None:
        most = np.floor(1000 * probability.max()) / 1000
        raise ValueError(
            f"{_KEY}.value = {wanted:g}: nobody detected on {item} is that sure a person, by how often scores on "
            f"{', '.join(sources)} are right; allowed: at most {most:g}"
        )
    return used, measures


def calibrated(sources: list[str]) -> tuple[Calibration, dict[str, Any]]:
    """What a detector's scores mean, on labelled sources that it was not trained on; figures by cross-fitting.

    ValueError where too little was detected.
    """
    scores, right = (np.concatenate(parts)[:, None] for parts in zip(*map(_found, sources), strict=True))
    known = int(np.isfinite(right).sum())
    if known < FEWEST:
        raise ValueError(
            f"{_KEY}.mode = 'precision': {known} detections on {', '.join(sources)} to calibrate the detector's scores "
            f"on; allowed: at least {FEWEST}"
        )
    figures = {"detections": known, "measured_on": ", ".join(sources)}
    return fitted(scores, right), figures | outcome(cross_fitted(scores, right), scores, right)


def _found(source: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores [N] of a source's detections, and whether they are people, see `right_people`."""
    images = read_table(layout.images(source), "images", ["image_id"])["image_id"].to_pylist()
    people = read_table(layout.instances(source), "instances", ["image_id", "bbox", "area", "iscrowd"])
    detections = read_table(layout.detections(source), "detections", ["image_id", "bbox", "score"])
    scores = to_numpy(detections, "score")
    where = detections["image_id"].to_pylist()
    return scores, right_people(images, people, where, to_numpy(detections, "bbox"), scores)
