"""What a source holds: the figures of the paper's Figure 1, and their plot."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pyarrow as pa

from pipeline.records.tables import keypoint_set, to_numpy

_VISIBILITY = ((2, "visible"), (1, "occluded"), (0, "unlabelled"))
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
        "by_keypoint": [
            {"keypoint": name} | {label: int((annotated[:, k] == v).sum()) for v, label in _VISIBILITY}
            for k, name in enumerate(keypoints.names)
        ],
        "people_per_image": np.bincount(per_image).tolist() if len(per_image) else [],
        "mean_people_per_image": float(per_image.mean()) if len(per_image) else 0.0,
        "by_box_side": [
            {"from": low, "people": int(((sides >= low) & (sides < high)).sum())}
            for low, high in zip(_SIDES, (*_SIDES[1:], np.inf), strict=True)
        ],
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


def statistics_figure(figures: dict[str, Any]) -> bytes:
    """The plot of `statistics` as SVG: the two panels of Figure 1, people per image and box sizes."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7.5), layout="constrained")
    axes = figure.subplots(2, 2)
    annotated = dict(enumerate(figures["keypoints_per_person"]))
    sides = {f"{row['from']}+": row["people"] for row in figures["by_box_side"]}
    _bars(axes[0, 0], annotated, "Annotated keypoints of a person", "people")
    _visibility(axes[0, 1], figures["by_keypoint"])
    _bars(axes[1, 0], _with_tail(figures["people_per_image"], 20), "People in an image", "images")
    _bars(axes[1, 1], sides, "Side of the box from, pixels (square root of its area)", "people")
    text = io.StringIO()
    # A fixed salt and no date: the same figures give the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "statistics", "svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None})
    return text.getvalue().encode()


def _bars(axes: Any, counts: Mapping[Any, int], label: str, unit: str) -> None:
    axes.bar([str(name) for name in counts], list(counts.values()), color="#4477aa")
    axes.set_xlabel(label)
    axes.set_ylabel(unit)


def _visibility(axes: Any, by_keypoint: Sequence[Mapping[str, Any]]) -> None:
    """Shares of visible, occluded and unlabelled, a bar for each keypoint."""
    names = [row["keypoint"] for row in by_keypoint]
    labels = [label for _, label in _VISIBILITY]
    total = np.array([max(1, sum(row[label] for label in labels)) for row in by_keypoint])
    left = np.zeros(len(names))
    for label, colour in zip(labels, ("#4477aa", "#ee6677", "#bbbbbb"), strict=True):
        shares = 100 * np.array([row[label] for row in by_keypoint]) / total
        axes.barh(names, shares, left=left, label=label, color=colour)
        left += shares
    axes.invert_yaxis()
    axes.set_xlabel("% of the people with keypoints")
    axes.legend(loc="lower right", fontsize="small")


def _with_tail(counts: list[int], most: int) -> dict[str, int]:
    """Counts by number, everything from `most` on in one."""
    named = {str(number): count for number, count in enumerate(counts[:most])}
    return named | ({f"{most}+": sum(counts[most:])} if len(counts) > most else {})
