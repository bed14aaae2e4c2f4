"""From a network's heatmaps to the poses of an image: decoding, rescoring, and NMS or Soft-NMS (section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from model.network import PoseNetwork
from pipeline.evaluation.people import natural_order
from pipeline.learning.inference import keypoints_of, predict
from pipeline.progress import Progress
from pipeline.records.keypoints import KeypointSet
from pipeline.records.tables import TableInfo, table_from, table_info, to_numpy
from pipeline.settings import Compute, Decoding, Postprocessing
from postproc.coordinates import crop_transforms
from postproc.poses import oks_nms, rescore, soft_nms


@dataclass(frozen=True)
class Decoded:
    """The keypoints of a table's boxes, row by row.

    `points` [N, K, 2] image pixels, `scores` [N, K], `area` [N] of the padded box in square pixels.
    """

    points: np.ndarray
    scores: np.ndarray
    area: np.ndarray


def decode_people(
    network: PoseNetwork,
    people: pa.Table,
    decodings: Mapping[str, Decoding],
    *,
    keypoints: KeypointSet,
    padding: float,
    batch_size: int,
    compute: Compute,
    device: torch.device,
    progress: Progress | None = None,
    description: str = "predict",
) -> dict[str, Decoded]:
    """Every decoding of every box from one pass over the network, and a second one mirrored where any flips.

    ValueError names the image when heatmaps are not finite.
    """
    count = people.num_rows
    areas = padded_areas(people, network.spec.input_size, padding)
    points = {name: np.zeros((count, len(keypoints), 2)) for name in decodings}
    scores = {name: np.zeros((count, len(keypoints))) for name in decodings}
    for prediction in predict(
        network,
        people,
        padding=padding,
        batch_size=batch_size,
        flip=any(decoding.flip for decoding in decodings.values()),
        compute=compute,
        device=device,
        progress=progress,
        description=description,
    ):
        rows = prediction.rows
        for name, decoding in decodings.items():
            points[name][rows], scores[name][rows] = keypoints_of(prediction, decoding, network, keypoints)
            if not np.isfinite(scores[name][rows]).all():
                bad = int(rows[~np.isfinite(scores[name][rows]).all(1)][0])
                raise ValueError(f"the model's heatmaps are not finite on image '{people['file_name'][bad].as_py()}'")
    return {name: Decoded(points[name], scores[name], areas) for name in decodings}


def padded_areas(people: pa.Table, input_size: tuple[int, int], padding: float) -> np.ndarray:
    """[N] square pixels of the image that each box's crop shows: what the toolboxes take for a pose's scale in NMS."""
    transforms = crop_transforms(to_numpy(people, "bbox"), input_size, padding)
    return input_size[0] * input_size[1] / np.linalg.det(transforms[:, :, :2])


def poses_of(
    people: pa.Table,
    box_scores: np.ndarray,
    decoded: Decoded,
    settings: Postprocessing,
    keypoints: KeypointSet,
    model: str,
    made_by: Mapping[str, object],
) -> tuple[pa.Table, np.ndarray]:
    """The `poses` table after rescoring and suppression, and the row of `people` that each pose comes from.

    Sorted by image, best pose first. ValueError for suppression without sigmas.
    """
    ids = people["image_id"].to_pylist()
    place = {image: i for i, image in enumerate(natural_order(list(dict.fromkeys(ids))))}
    image = np.fromiter((place[i] for i in ids), np.int64, len(ids))
    order = np.argsort(image, kind="stable")
    scores = rescore(box_scores, decoded.scores, settings.keypoint_score_threshold)
    kept, points = _suppressed(order, image[order], decoded, scores, settings, keypoints)
    rows = order[kept]
    sort = np.lexsort((-scores[rows], image[rows]))
    rows, points = rows[sort], points[sort]
    chosen = people.take(rows)
    triples = np.concatenate([points, decoded.scores[rows][:, :, None]], 2)
    columns = {
        **{name: chosen[name] for name in ("image_id", "source", "file_name", "bbox")},
        "box_score": box_scores[rows].astype(np.float32),
        "keypoints": triples.reshape(len(rows), 3 * len(keypoints)).astype(np.float32),
        "score": scores[rows].astype(np.float32),
        "model": [model] * len(rows),
    }
    info = TableInfo(keypoints, table_info(people).image_roots, made_by)
    return table_from("poses", columns, info), rows


def one_image(
    decoded: Decoded, scores: np.ndarray, settings: Postprocessing, keypoints: KeypointSet
) -> tuple[np.ndarray, np.ndarray]:
    """Suppression among the poses of one image: the rows that stay, and their points [Q, K, 2]."""
    everybody = np.arange(len(scores))
    return _suppressed(everybody, np.zeros(len(scores), np.int64), decoded, scores, settings, keypoints)


def _suppressed(
    order: np.ndarray,
    image: np.ndarray,
    decoded: Decoded,
    scores: np.ndarray,
    settings: Postprocessing,
    keypoints: KeypointSet,
) -> tuple[np.ndarray, np.ndarray]:
    """Places in `order` of the poses that stay, and their points [Q, K, 2]."""
    points = decoded.points[order]
    if settings.nms == "none" or keypoints.sigmas is None:  # without sigmas no pose is like another
        return np.arange(len(order)), points
    bounds = np.r_[np.flatnonzero(np.r_[True, image[1:] != image[:-1]]), len(image)] if len(image) else np.zeros(1, int)
    arguments = (points, scores[order], decoded.area[order], keypoints.sigmas, bounds, settings.nms_threshold)
    if settings.nms == "soft":
        return soft_nms(*arguments)
    kept = oks_nms(*arguments)
    return kept, points[kept]


def settings_text(settings: Postprocessing, keypoints: KeypointSet) -> str:
    """Post-processing in words: `flip test, shift auto, Gaussian filter, parabola, Soft-NMS at 0.9`."""
    shift = settings.shift if isinstance(settings.shift, str) else f"{settings.shift:g}"
    suppression = {"soft": "Soft-NMS", "hard": "NMS"}.get(settings.nms) if keypoints.sigmas is not None else None
    parts = [
        f"flip test, shift {shift}" if settings.flip else "no flip test",
        "Gaussian filter" if settings.gaussian else "no filter",
        {"none": "no refinement", "quarter": "quarter-cell refinement"}.get(settings.refinement, settings.refinement),
        f"{suppression} at {settings.nms_threshold:g}" if suppression else "no NMS",
    ]
    return ", ".join(parts)


def people_to_find(instances: pa.Table) -> np.ndarray:
    """Rows of an `instances` table whose annotated boxes are evaluated: labelled keypoints, no crowd."""
    labelled = (to_numpy(instances, "keypoints")[:, 2::3] > 0).any(1)
    return np.flatnonzero(labelled & ~np.asarray(to_numpy(instances, "iscrowd"), bool))
