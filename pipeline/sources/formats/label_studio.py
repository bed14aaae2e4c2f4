"""Label Studio's JSON: a list of tasks with keypoints, and rectangles round people, as percents of the picture."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pipeline.records.keypoints import KeypointSet
from pipeline.settings import Source
from pipeline.sources.formats.coco import CocoReading
from pipeline.sources.json_index import JsonIndex
from pipeline.sources.records import MALFORMED, Records
from pipeline.sources.regions import UPLOADED, point, rectangle, smallest_around

_KEYS = ("image", "img", "picture", "photo")


def read(source: Source, keypoints: KeypointSet) -> Records:
    """Read every task's first annotation that was not cancelled.

    A keypoint belongs to the rectangle that it names as its parent, else to the smallest one round it; without any
    rectangle all are one person's. Keypoints are found by name; others are counted and left out. ValueError when the
    file is no list of tasks.
    """
    file = JsonIndex(source.index)
    if not file.is_array:
        raise ValueError(f"{source.index}: no export of Label Studio: expected a list of tasks (its format JSON)")
    reading = CocoReading(keypoints)
    for batch in file.batches("", lambda position, text: reading.refuse_text(file.path, position, text)):
        images, people = [], []
        for task in batch:
            try:
                image = _image(task, Path(source.images))
                own = list(_people(task, image, keypoints, reading))
            except MALFORMED:
                images.append({"id": task.get("id") if isinstance(task, dict) else None})
                continue
            images.append(image)
            people += own
        reading.add_images(images, file.path)
        reading.add_people(people, set(), file.path)
    return reading.result()


def _image(task: dict[str, Any], root: Path) -> dict[str, Any]:
    places = [value for key, value in task["data"].items() if isinstance(value, str) and key.lower() in _KEYS]
    places = places or [value for value in task["data"].values() if isinstance(value, str)]
    address = urlsplit(places[0])
    local = address.query.removeprefix("d=") if address.query.startswith("d=") else address.path
    whole = unquote(local).lstrip("/")
    name = os.path.basename(whole)
    candidates = [whole, name, UPLOADED.sub("", name)]
    there = [candidate for candidate in candidates if os.path.isfile(root / candidate)]  # Path's refuses long names
    results = _results(task)
    sizes = {side: results[0].get(f"original_{side}") for side in ("width", "height")} if results else {}
    return {"id": task["id"], "file_name": there[0] if there else name, **sizes}


def _results(task: dict[str, Any]) -> list[dict[str, Any]]:
    valid = [annotation for annotation in task["annotations"] if not annotation.get("was_cancelled")]
    results = valid[0]["result"] if valid else []
    return [result for result in results if isinstance(result.get("value"), dict)]


def _people(
    task: dict[str, Any], image: dict[str, Any], keypoints: KeypointSet, reading: CocoReading
) -> Iterator[dict[str, Any]]:
    """People in COCO's form, in pixels."""
    results = _results(task)
    boxes = {r["id"]: rectangle(r) for r in results if r["type"] == "rectanglelabels"}
    owned: dict[Any, list[Any]] = {identity: [0] * (3 * len(keypoints)) for identity in boxes}
    for result in results:
        if result["type"] != "keypointlabels":
            continue
        (label, *_), place = result["value"]["keypointlabels"], point(result)
        if label not in keypoints.names:
            reading.leave_out(f"points called {label}", 1)
            continue
        owner = result.get("parentID") if result.get("parentID") in boxes else smallest_around(place, boxes)
        if boxes and owner is None:
            reading.leave_out("points outside every rectangle", 1)
            continue
        start = 3 * keypoints.index(label)
        owned.setdefault(owner, [0] * (3 * len(keypoints)))[start : start + 3] = [*place.tolist(), 2]
    for identity, points in owned.items():
        yield {
            "id": f"{task['id']}:{identity or 'person'}",
            "image_id": image["id"],
            "bbox": boxes[identity].tolist() if identity in boxes else None,
            "keypoints": points,
        }
