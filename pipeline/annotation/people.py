"""A person on the way to a labelling program and back, and the record of who was sent out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.records.artefacts import read_json, write_json
from pipeline.records.text import one_line

RECORD = "people.json"
LARGEST = 1e7  # pixels along a side
LONGEST_NAME = 200  # characters of a source, which names a file


@dataclass(frozen=True)
class Person:
    """Labels of one person. `keypoints` [K, 3] are x, y in image pixels and COCO's v; `box` is x, y, w, h."""

    picture: str  # its file's name in the export
    box: np.ndarray
    keypoints: np.ndarray
    number: int | str | None = None  # the annotation's id in the file, where it has one


@dataclass(frozen=True)
class Sent(Person):
    """A person that was exported: the detection it was, where its picture lies, and what the teachers said."""

    person: str = ""  # the id in U and among the detections: unlabeled:17
    image: str = ""  # the picture's id
    source: str = ""
    file_name: str = ""  # in the source
    size: tuple[int, int] = (0, 0)  # width and height of the picture
    teacher: str = ""
    disagreement: float = 0.0  # mean over the keypoints, as a share of the person's size


@dataclass(frozen=True)
class Export:
    """What an export holds: the people, and their keypoints' names in order."""

    names: tuple[str, ...]
    people: tuple[Sent, ...]


def write_record(folder: Path, export: Export) -> None:
    """Note in the folder who was sent out, so that what comes back can be told from what went."""
    people = [{**vars(p), "box": _list(p.box), "keypoints": _list(p.keypoints)} for p in export.people]
    write_json(folder / RECORD, {"keypoints": list(export.names), "people": people})


def read_record(folder: Path) -> Export:
    """ValueError where the folder is not one that `ccm annotate next` has made."""
    path = folder / RECORD
    if not path.is_file():
        raise ValueError(
            f"{path}: no such file, so nobody knows what was exported; name the folder that `ccm annotate next` made "
            "with --exported"
        )
    content = read_json(path)
    try:
        names = tuple(map(str, content["keypoints"]))
        return Export(names, tuple(_sent(entry, len(names)) for entry in content["people"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        what = f"{type(error).__name__}: {one_line(error):.200}"
        raise ValueError(f"{path}: not what `ccm annotate next` writes ({what})") from None


def _sent(entry: dict[str, Any], keypoints: int) -> Sent:
    box, points = _finite(entry["box"], 4), _finite(entry["keypoints"], 3 * keypoints).reshape(-1, 3)
    width, height = (int(side) for side in entry["size"])
    texts = {key: entry[key] for key in ("picture", "person", "image", "source", "file_name", "teacher")}
    if wrong := [key for key, text in texts.items() if not isinstance(text, str)]:
        raise TypeError(f"{wrong[0]} is no text")
    if Path(texts["source"]).name != texts["source"] or len(texts["source"]) > LONGEST_NAME:
        raise ValueError(f"source {texts['source']!r:.80} is no name of a source")
    if ":" not in texts["image"]:
        raise ValueError(f"image {texts['image']!r:.80} is no id of a picture")
    if min(width, height) < 1 or not (box[2:] > 0).all():
        raise ValueError("a size or box of nothing")
    disagreement = float(_finite(entry["disagreement"], 1)[0])
    return Sent(
        **texts, box=box, keypoints=points, number=entry["number"], size=(width, height), disagreement=disagreement
    )


def _finite(values: Any, count: int) -> np.ndarray:
    """[count] numbers. ValueError where they are not."""
    found = np.asarray(values, float).reshape(-1)
    if found.shape != (count,) or not are_places(found):
        raise ValueError(f"{len(found)} values, expected {count} finite numbers")
    return found


def are_places(values: np.ndarray) -> bool:
    """Whether all of these can be places in pictures, in pixels: finite, and no more than any picture has."""
    return bool((np.abs(values) <= LARGEST).all())


def _list(values: np.ndarray) -> Any:
    return np.round(values.astype(float), 2).tolist()


def labelled_box(keypoints: np.ndarray, margin: float = 0.1) -> np.ndarray:
    """A box (x, y, w, h) round labelled keypoints [K, 3] with a margin, for programs that give none."""
    points = keypoints[keypoints[:, 2] > 0, :2]
    low, high = points.min(0), points.max(0)
    grown = margin * max(*(high - low), 1.0)
    return np.concatenate([low - grown, high - low + 2 * grown])


def by_picture(people: Sequence[Person]) -> dict[str, list[Person]]:
    """People by their picture's name."""
    found: dict[str, list[Person]] = {}
    for person in people:
        found.setdefault(person.picture, []).append(person)
    return found
