"""People as Label Studio's tasks: rectangles with keypoints in them, places in percent of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import quoteattr

import numpy as np

from pipeline.annotation.people import Person, Sent, are_places, by_picture, labelled_box
from pipeline.sources.regions import UPLOADED, point, rectangle, smallest_around

_BOX, _POINT, _IMAGE = "person", "keypoint", "image"


def config(names: Sequence[str]) -> str:
    """The labelling interface that the tasks are made for; its own converters ask for `model_index`, the order."""
    labels = "\n".join(f'    <Label value={quoteattr(name)} model_index="{i}"/>' for i, name in enumerate(names))
    return (
        f'<View>\n  <Image name="{_IMAGE}" value="$image" zoom="true"/>\n'
        f'  <RectangleLabels name="{_BOX}" toName="{_IMAGE}">\n    <Label value="person"/>\n  </RectangleLabels>\n'
        f'  <KeyPointLabels name="{_POINT}" toName="{_IMAGE}">\n{labels}\n  </KeyPointLabels>\n</View>\n'
    )


def tasks(people: Sequence[Sent], names: Sequence[str]) -> list[dict[str, Any]]:
    """A task a picture, the pre-labels as its prediction. Pictures are named for local storage, below its root."""
    made = []
    for picture, there in by_picture(people).items():
        results = [result for number, person in enumerate(there) for result in _results(number, person, names)]
        prediction = {"model_version": _sent(there[0]).teacher, "result": results}
        address = f"/data/local-files/?d={quote(f'images/{picture}')}"
        made.append({"data": {_IMAGE: address}, "predictions": [prediction]})
    return made


def _sent(person: Person) -> Sent:
    assert isinstance(person, Sent)
    return person


def _results(number: int, person: Person, names: Sequence[str]) -> list[dict[str, Any]]:
    width, height = _sent(person).size
    about = {"original_width": width, "original_height": height, "image_rotation": 0, "to_name": _IMAGE}
    share = np.array([100 / width, 100 / height])
    x, y, w, h = person.box * np.tile(share, 2)
    box = {"x": x, "y": y, "width": w, "height": h, "rotation": 0, "rectanglelabels": ["person"]}
    identity = f"person-{number}"
    found = [about | {"id": identity, "type": "rectanglelabels", "from_name": _BOX, "value": box}]
    for name, (*place, visibility) in zip(names, person.keypoints, strict=True):
        if visibility > 0:
            px, py = np.asarray(place) * share
            value = {"x": px, "y": py, "width": 0.5, "keypointlabels": [name]}
            entry = {"id": f"{identity}-{name}", "parentID": identity, "type": "keypointlabels", "from_name": _POINT}
            found.append(about | entry | {"value": value})
    return found


def people_in(content: list[Any], path: Path, names: Sequence[str]) -> dict[str, list[Person]]:
    """The people of Label Studio's JSON export by picture. Tasks that nobody has worked on are left out.

    Raises:
        ValueError: a task or region that is none, a keypoint that was not exported, or one that is in no rectangle.
    """
    people: dict[str, list[Person]] = {}
    for number, task in enumerate(content):
        where = f"{path}: task {task.get('id', number) if isinstance(task, dict) else number}"
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict) or _IMAGE not in task["data"]:
            raise ValueError(f"{where}: no task with data.{_IMAGE}; export as JSON")
        annotations = task.get("annotations") or []
        if not isinstance(annotations, list):
            raise ValueError(f"{where}: annotations: {annotations!r:.80}; a list belongs there")
        done = [a for a in annotations if isinstance(a, dict) and not a.get("was_cancelled")]
        if done:
            picture = picture_of(str(task["data"][_IMAGE]))
            people.setdefault(picture, []).extend(_annotated(done[-1].get("result") or [], picture, where, names))
    return people


def picture_of(address: str) -> str:
    """The name that a picture was exported under, of its address in Label Studio."""
    parts = urlsplit(address)
    name = parse_qs(parts.query).get("d", [unquote(parts.path)])[0]
    _, marker, below = name.rpartition("images/")
    return below if marker else UPLOADED.sub("", PurePosixPath(name).name)


def _annotated(regions: list[Any], picture: str, where: str, names: Sequence[str]) -> list[Person]:
    boxes: dict[str, np.ndarray] = {}
    keypoints: dict[str, np.ndarray] = {}
    try:
        for region in regions:
            if region.get("type") == "rectanglelabels":
                boxes[region["id"]] = _finite(rectangle(region))
        for region in regions:
            if region.get("type") == "keypointlabels":
                if not (labels := region["value"]["keypointlabels"]):
                    raise TypeError("a keypoint without a label")
                name, *others = labels
                if others:
                    raise TypeError(f"a keypoint of several labels, {name!r} and {others[0]!r}")
                if name not in names:
                    raise ValueError(f"{where}: the keypoint {name!r} was not exported; allowed: {', '.join(names)}")
                place = _finite(point(region))
                owner = region.get("parentID") or smallest_around(place, boxes)
                if owner is None:
                    raise ValueError(f"{where}: {name} at {place.round(1).tolist()} lies in no person's rectangle")
                own = keypoints.setdefault(owner, np.zeros((len(names), 3)))
                own[list(names).index(name)] = [*place, 2]
    except (LookupError, TypeError, AttributeError, OverflowError) as error:
        what = f"{type(error).__name__}: {error}"
        raise ValueError(f"{where}: a region is not as Label Studio writes it ({what})") from None
    people = []
    for owner in dict.fromkeys([*boxes, *keypoints]):
        own = keypoints.get(owner, np.zeros((len(names), 3)))
        people.append(Person(picture, boxes[owner] if owner in boxes else labelled_box(own), own, owner))
    return people


def _finite(numbers: np.ndarray) -> np.ndarray:
    if not are_places(numbers):
        raise TypeError(f"{numbers.tolist()} are no finite numbers, or lie outside of any picture")
    return numbers
