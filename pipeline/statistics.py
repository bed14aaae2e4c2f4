"""What a source holds: the figures of the paper's Figure 1, and their plot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.tables import keypoint_set, to_numpy

_SIDES = (0, 16, 32, 64, 96, 128, 192, 256, 384, 512)  # pixels, square root of the box's area


def statistics(images: pa.Table, instances: pa.Table) -> dict[str, Any]:
    """Counts of a source's `images` and `instances`, as JSON values.

    `keypoints_per_person` counts, for every number of annotated keypoints, the people who have so many (Figure 1a);
    `by_keypoint` counts visible, occluded and unlabelled keypoints over the people with any (Figure 1b).
    """
    keypoints = keypoint_set(instances)
    crowds = to_numpy(instances, "iscrowd").astype(bool)
    visibility = to_numpy(instances, "keypoints").reshape(instances.num_rows, len(keypoints), 3)[~crowds, :, 2]
    labelled = (visibility > 0).sum(1)
    annotated = visibility[labelled > 0]
    boxes = to_numpy(instances, "bbox")[~crowds]
    sides = np.sqrt(boxes[:, 2] * boxes[:, 3])
    per_image = _people_per_image(images, instances.filter(pa.array(~crowds)))
    return {
        "images": images.num_rows,
        "people": int((~crowds).sum()),
        "crowds": int(crowds.sum()),
        "people_with_keypoints": len(annotated),
        "keypoints": int(labelled.sum()),
        "keypoints_per_person": np.bincount(labelled, minlength=len(keypoints) + 1).tolist(),
        "by_keypoint": {
            name: {
                label: int((annotated[:, k] == v).sum())
                for v, label in ((2, "visible"), (1, "occluded"), (0, "unlabelled"))
            }
            for k, name in enumerate(keypoints.names)
        },
        "people_per_image": np.bincount(per_image).tolist() if len(per_image) else [],
        "mean_people_per_image": float(per_image.mean()) if len(per_image) else 0.0,
        "box_side": {
            f"{low}-{high}" if high else f"{low}+": int(((sides >= low) & (sides < (high or np.inf))).sum())
            for low, high in zip(_SIDES, (*_SIDES[1:], 0), strict=True)
        },
    }


def headline(figures: dict[str, Any]) -> dict[str, Any]:
    """The few figures that a stage's table shows."""
    keys = ("images", "people", "people_with_keypoints", "keypoints", "crowds", "mean_people_per_image")
    return {key: figures[key] for key in keys}


def _people_per_image(images: pa.Table, people: pa.Table) -> np.ndarray:
    """[images] number of people."""
    counts = people["image_id"].combine_chunks().value_counts()
    counted = dict(zip(counts.field(0).to_pylist(), counts.field(1).to_pylist(), strict=True))
    return np.array([counted.get(identity, 0) for identity in images["image_id"].to_pylist()], np.int64)
