"""DeepLabCut's labels: a CSV with header lines scorer, (individuals,) bodyparts, coords, and a line a picture."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

from pipeline.records.keypoints import KeypointSet
from pipeline.records.text import read_file
from pipeline.settings import Source
from pipeline.sources.categories import difference
from pipeline.sources.formats.coco import CocoReading
from pipeline.sources.records import Records

_HEADER = ("scorer", "individuals", "bodyparts", "coords")


def read(source: Source, keypoints: KeypointSet) -> Records:
    """Read the table; body parts are found by name, a place that is empty is not labelled, boxes are derived.

    ValueError when the file is no such table, or has other body parts than the keypoint set.
    """
    path = Path(source.index)
    header, rows = table(path)
    parts = list(dict.fromkeys(header["bodyparts"]))
    if sorted(parts) != sorted(keypoints.names):
        raise ValueError(f"{path}: its body parts are not '{keypoints.name}': {difference(parts, keypoints.names)}")
    animals = header.get("individuals", ["individual"] * len(header["bodyparts"]))
    columns = {key: i for i, key in enumerate(zip(animals, header["bodyparts"], header["coords"], strict=True))}
    reading = CocoReading(keypoints)
    names, people = [], []
    for name, values in rows:
        names.append(name)
        for animal in dict.fromkeys(animals):
            own = [[_at(values, columns, (animal, part, axis)) for axis in "xy"] for part in keypoints.names]
            if all(animal_part == [None, None] for animal_part in own):
                continue
            triples = [[x, y, 2] if x is not None and y is not None else [0, 0, 0] for x, y in own]
            person = {"id": f"{name}:{animal}", "image_id": name, "keypoints": triples}
            people.append(person)
    reading.add_images([{"id": name, "file_name": name} for name in names], path)
    reading.add_people(people, set(), path)
    return reading.result()


def table(path: Path) -> tuple[dict[str, list[str]], list[tuple[str, list[str]]]]:
    """The header lines by name, without the leading cells, and (picture, values) of every line."""
    reader = csv.reader(io.StringIO(read_file(path)))
    try:
        lines = [line for line in reader if any(line)]
    except csv.Error as error:
        raise ValueError(f"{path}: line {reader.line_num}: no CSV: {error}") from None
    head = {line[0].strip().lower(): line for line in lines[:4] if line and line[0].strip().lower() in _HEADER}
    if not {"bodyparts", "coords"} <= set(head):
        raise ValueError(f"{path}: no table of DeepLabCut: its first lines are to be scorer, bodyparts and coords")
    first = next((i for i, cell in enumerate(head["coords"]) if cell.strip() in ("x", "y")), 1)
    header = {name: [cell.strip() for cell in line[first:]] for name, line in head.items()}
    if len({len(cells) for cells in header.values()}) != 1:
        raise ValueError(f"{path}: its header lines are not equally long")
    body = lines[len(head) :]
    return header, [("/".join(cell.strip() for cell in line[:first] if cell.strip()), line[first:]) for line in body]


def _at(values: list[str], columns: dict[Any, int], key: tuple[str, str, str]) -> float | str | None:
    """A number, None where the cell is empty or there is none, or the text that is no number."""
    place = columns.get(key)
    text = values[place].strip() if place is not None and place < len(values) else ""
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        return text
    return None if math.isnan(number) else number
