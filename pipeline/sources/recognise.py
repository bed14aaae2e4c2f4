"""What an annotation file or folder is: its format, its keypoints and limbs, its categories, how much is in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.records.keypoints import KeypointSet, load_keypoint_set
from pipeline.settings import Source
from pipeline.sources.formats import deeplabcut, yolo
from pipeline.sources.formats.folder import SUFFIXES
from pipeline.sources.json_index import JsonIndex


@dataclass(frozen=True)
class Recognised:
    """A data set as its files declare it. `limbs` are pairs of names; without declared names both are empty."""

    format: str
    names: tuple[str, ...]
    limbs: tuple[tuple[str, str], ...]
    categories: tuple[str, ...]
    people: int
    images: int


def recognise(path: str | Path) -> Recognised:
    """Look at a file or folder. ValueError when it is of no known format."""
    path = Path(path)
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file or folder")
    if path.suffix in (".yaml", ".yml"):
        return _yolo(path)
    if path.suffix == ".csv":
        header, rows = deeplabcut.table(path)
        animals = tuple(dict.fromkeys(header.get("individuals", ["individual"])))
        parts = tuple(dict.fromkeys(header["bodyparts"]))
        return Recognised("deeplabcut", parts, (), animals, len(rows) * len(animals), len(rows))
    file = JsonIndex(path)
    if file.is_array:
        return _list(file)
    if not file.array("images"):
        raise ValueError(f"{path}: no annotation file of a known format: it has no 'images'")
    return _coco(file)


def _yolo(path: Path) -> Recognised:
    """A `data.yaml`. Its keypoints' names are `kpt_names`, or COCO's where it mirrors as many as COCO does."""
    about = yolo.describe(path)
    shape = about.get("kpt_shape")
    if shape is None:
        raise ValueError(f"{path}: no data.yaml of YOLO-pose: it has no kpt_shape")
    coco = load_keypoint_set("coco")
    listed = about.get("kpt_names") or {}
    named = next(iter(listed.values()), []) if isinstance(listed, dict) else listed  # of the first class
    names = tuple(map(str, named)) if isinstance(named, list) and len(named) == shape[0] else ()
    limbs: tuple[tuple[str, str], ...] = ()
    if not names and about.get("flip_idx") == coco.mirror.tolist():
        names, limbs = coco.names, coco.limbs
    classes = about["names"]
    categories = tuple(map(str, classes if isinstance(classes, list) else classes.values()))
    keypoints = KeypointSet(str(path), names or ("",) * shape[0], (), (), None, ())
    source = Source(format="yolo", index=str(path), images=str(path.parent), keypoints="coco")
    records = yolo.read(source, keypoints)
    return Recognised("yolo", names, limbs, categories, len(records.people), len(records.images.ids))


def _folder(path: Path) -> Recognised:
    if (path / yolo.DESCRIPTION).is_file():
        return _yolo(path / yolo.DESCRIPTION)
    images = sum(entry.name.lower().endswith(SUFFIXES) for entry in path.rglob("*"))
    if not images:
        raise ValueError(f"{path}: a folder without images, and nothing of a known format in it")
    return Recognised("folder", (), (), (), 0, images)


def _list(file: JsonIndex) -> Recognised:
    images = people = 0
    for batch in file.batches("", _ignore):
        for record in batch:
            if isinstance(record, dict) and "joints_vis" in record:
                return _mpii(file)
            if isinstance(record, dict) and isinstance(record.get("annotations"), list) and "data" in record:
                return _label_studio(file)
            if not isinstance(record, dict) or not isinstance(record.get("keypoint_annotations"), dict):
                raise ValueError(f"{file.path}: no annotation file of a known format: a list of {record!r:.60}")
            images, people = images + 1, people + len(record["keypoint_annotations"])
    aic = load_keypoint_set("aic")
    return Recognised("aic", aic.names, aic.limbs, ("person",), people, images)


def _label_studio(file: JsonIndex) -> Recognised:
    names: dict[str, None] = {}
    categories: dict[str, None] = {}
    tasks = [task for batch in file.batches("", _ignore) for task in batch if isinstance(task, dict)]
    results = [r for task in tasks for a in _mappings(task.get("annotations")) for r in _mappings(a.get("result"))]
    values = [result["value"] for result in results if isinstance(result.get("value"), dict)]
    for value in values:
        for kind, found in (("keypointlabels", names), ("rectanglelabels", categories)):
            found |= dict.fromkeys(map(str, value[kind])) if isinstance(value.get(kind), list) else {}
    people = sum("rectanglelabels" in value for value in values) or len(tasks)
    return Recognised("label_studio", tuple(names), (), tuple(categories), people, len(tasks))


def _mappings(value: Any) -> list[dict[str, Any]]:
    """Those of a list; what is none is for the reader to name."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _mpii(file: JsonIndex) -> Recognised:
    people = [record for batch in file.batches("", _ignore) for record in batch if isinstance(record, dict)]
    keypoints = load_keypoint_set("mpii")
    images = len({str(record.get("image")) for record in people})
    return Recognised("mpii", keypoints.names, keypoints.limbs, ("person",), len(people), images)


def _whole_body(file: JsonIndex, categories: tuple[str, ...], people: int, images: int) -> Recognised | None:
    """COCO-WholeBody, by the lists that its first people have."""
    first = next(iter(file.batches("annotations", _ignore)), []) if people else []
    if not any(isinstance(record, dict) and "face_kpts" in record for record in first[:100]):
        return None
    keypoints = load_keypoint_set("wholebody")
    return Recognised("wholebody", keypoints.names, keypoints.limbs, categories, people, images)


def _coco(file: JsonIndex) -> Recognised:
    declared = file.value("categories") if file.array("categories") else []
    with_points = [c for c in declared if isinstance(c, dict) and isinstance(c.get("keypoints"), list)]
    with_points = [c for c in with_points if c["keypoints"]]
    named = with_points or [c for c in declared if isinstance(c, dict)]
    names = tuple(map(str, with_points[0]["keypoints"])) if with_points else ()
    limbs = _limbs(with_points[0].get("skeleton"), names) if with_points else ()
    counts = {kind: _count(file, kind) for kind in ("annotations", "images")}
    categories = tuple(str(c.get("name")) for c in named)
    if whole := _whole_body(file, categories, counts["annotations"], counts["images"]):
        return whole
    return Recognised("coco", names, limbs, categories, counts["annotations"], counts["images"])


def _count(file: JsonIndex, member: str) -> int:
    return sum(map(len, file.batches(member, _ignore))) if file.array(member) else 0


def _limbs(skeleton: Any, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """COCO's skeleton, pairs of positions that count from 1, as pairs of names; what is no such pair is none."""
    pairs = [p for p in skeleton or [] if isinstance(p, list) and len(p) == 2 and all(type(n) is int for n in p)]
    if any(min(pair) == 0 for pair in pairs):  # some programs count from 0
        pairs = [[a + 1, b + 1] for a, b in pairs]
    return tuple((names[a - 1], names[b - 1]) for a, b in pairs if min(a, b) >= 1 and max(a, b) <= len(names))


def _ignore(*_: str) -> None:
    """What is no JSON is for the reader to name."""
