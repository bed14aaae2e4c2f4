"""PoseTrack18: a file of COCO's form for every sequence, with regions to ignore and frames without labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.records.keypoints import KeypointSet
from pipeline.settings import Source
from pipeline.sources.formats.coco import CocoReading
from pipeline.sources.json_index import JsonIndex
from pipeline.sources.records import BOX_MARGIN, Records


def read(source: Source, keypoints: KeypointSet) -> Records:
    """Read one sequence, or every sequence of a folder.

    Frames without labels are counted and left out. A labelled keypoint counts as visible (PoseTrack does not say
    which are occluded). Regions to ignore become crowds, which is what they mean to the evaluation. A person without a
    box gets one from the keypoints; without keypoints either, the person is left out.
    """
    index = Path(source.index)
    files = sorted(index.glob("*.json")) if index.is_dir() else [index]
    if not files:
        raise ValueError(f"{index}: no PoseTrack18 sequence (*.json) in this folder")
    reading = CocoReading(keypoints, source.categories)
    for path in files:
        sequence = _Sequence(reading)
        reading.prepare_images, reading.prepare_people = sequence.frames, sequence.people
        reading.read(JsonIndex(path))
        reading.add_people(sequence.ignored, set(), path)
    return reading.result()


@dataclass
class _Sequence:
    """What is rewritten of a sequence's records before they are read as COCO's."""

    reading: CocoReading
    ignored: list[dict[str, Any]] = field(default_factory=list)
    unlabelled: set[Any] = field(default_factory=set)

    def frames(self, batch: list[Any]) -> list[Any]:
        kept = []
        for frame in batch:
            if isinstance(frame, dict) and frame.get("is_labeled") is False:
                self.unlabelled.add(repr(frame.get("id")))
                continue
            kept.append(frame)
            if isinstance(frame, dict):
                self.ignored += _ignored_regions(frame)
        self.reading.leave_out("unlabelled_frames", len(batch) - len(kept))
        return kept

    def people(self, batch: list[Any]) -> list[Any]:
        kept = [
            person
            for person in batch
            if not isinstance(person, dict)
            or (_with_box(person) and repr(person.get("image_id")) not in self.unlabelled)
        ]
        self.reading.leave_out("people_without_box_or_labels", len(batch) - len(kept))
        for person in kept:
            if isinstance(person, dict) and isinstance(person.get("keypoints"), list):
                person["keypoints"][2::3] = [2 if v == 1 else v for v in person["keypoints"][2::3]]
        return kept


def _with_box(person: dict[str, Any]) -> bool:
    """Whether a person has a box; one is added where there are labelled keypoints."""
    if person.get("bbox"):
        return True
    points = person.get("keypoints")
    if not isinstance(points, list) or not _numbers(points):
        return True  # malformed: the reader will say so
    labelled = [(x, y) for x, y, v in zip(points[::3], points[1::3], points[2::3], strict=False) if v]
    if not labelled:
        return False
    (left, top), (right, bottom) = map(min, zip(*labelled, strict=True)), map(max, zip(*labelled, strict=True))
    width, height = max(right - left, 1.0), max(bottom - top, 1.0)
    grown = 1 + 2 * BOX_MARGIN
    person["bbox"] = [left - BOX_MARGIN * width, top - BOX_MARGIN * height, grown * width, grown * height]
    return True


def _numbers(values: Any) -> bool:
    """Whether a value is a list of numbers."""
    return isinstance(values, list) and all(isinstance(value, int | float) for value in values)


def _ignored_regions(frame: dict[str, Any]) -> list[dict[str, Any]]:
    """A frame's regions to ignore as crowd annotations; malformed ones are none."""
    regions = []
    outlines = [frame.get(f"ignore_regions_{axis}") for axis in "xy"]
    if not all(isinstance(regions_along, list) for regions_along in outlines):
        return []
    for number, (xs, ys) in enumerate(zip(*outlines, strict=False)):
        if not (_numbers(xs) and _numbers(ys) and len(xs) == len(ys) >= 3):
            continue
        left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
        regions.append(
            {
                "id": f"{frame.get('id')}/ignored{number}",
                "image_id": frame.get("id"),
                "bbox": [left, top, right - left, bottom - top],
                "iscrowd": 1,
                "segmentation": [[value for point in zip(xs, ys, strict=True) for value in point]],
            }
        )
    return regions
