"""`ccm annotate next`: the people most worth labelling, with pictures and pre-labels."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import orjson
import pyarrow as pa

from pipeline import layout
from pipeline.annotation import coco, label_studio
from pipeline.annotation.choosing import Candidate, chosen
from pipeline.annotation.people import Export, Sent, write_record
from pipeline.learning.devices import one_thread
from pipeline.predict.drawing import SURE
from pipeline.progress import Progress
from pipeline.records.artefacts import written
from pipeline.records.images import ImageReader
from pipeline.records.keypoints import KeypointSet, load_keypoint_set
from pipeline.records.likeness import difference_hash
from pipeline.records.tables import table_info, to_numpy
from pipeline.settings import Params
from pipeline.steps.pseudo_label import labelling
from pipeline.steps.rounds import last_figures, last_kept, teachers_of

ANNOTATIONS = "annotations/person_keypoints_default.json"  # the only place where CVAT's and others' importer looks


def export_next(params: Params, count: int, folder: Path, progress: Progress) -> Export:
    """Write a folder with `ANNOTATIONS` (COCO, for CVAT), `label_studio.json` and its `label_studio.xml`, the
    pictures below `images/`, and `people.json`, which says who was sent out.

    Every keypoint has the teachers' place; those scored below 0.3 are marked as occluded, to be looked at first.

    Raises:
        ValueError: the folder holds something, U has no source, or pseudo_label has not run.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder}: is there already and not empty; allowed: a new folder")
    if not params.pseudo_label.sources:
        raise ValueError("pseudo_label.sources is empty: there are no unlabelled people to choose from")
    by_person = {c.person: (source, c) for source in params.pseudo_label.sources for c in _candidates(params, source)}
    if not by_person:
        raise ValueError("nobody was pseudo-labelled: pseudo_label's figures name no candidates")
    files = _files(params)
    reader = ImageReader()
    candidates = progress.track([c for _, c in by_person.values()], description="look", unit="person")
    taken = chosen(list(candidates), count, lambda picture: difference_hash(reader.read(files[picture])))
    people: list[Sent] = []
    for source in params.pseudo_label.sources:
        own = {c.person: c for c in taken if by_person[c.person][0] == source}
        if own:
            people += _labelled(params, source, own)
    order = {c.person: place for place, c in enumerate(taken)}
    people.sort(key=lambda p: order[p.person])
    keypoints = load_keypoint_set(params.data.keypoints)
    export = Export(keypoints.names, tuple(people))
    with written(folder) as temporary:
        for person in people:
            target = temporary / "images" / person.picture
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(files[f"{person.source}:{person.file_name}"], target)
        write_labels(temporary, export, keypoints)
    return export


def write_labels(folder: Path, export: Export, keypoints: KeypointSet) -> None:
    """Everything of an export but its pictures."""
    (folder / ANNOTATIONS).parent.mkdir()
    (folder / ANNOTATIONS).write_bytes(orjson.dumps(coco.document(export.people, keypoints)))
    tasks = label_studio.tasks(export.people, keypoints.names)
    (folder / "label_studio.json").write_text(json.dumps(tasks, indent=1))
    (folder / "label_studio.xml").write_text(label_studio.config(keypoints.names))
    write_record(folder, export)


def _candidates(params: Params, source: str) -> list[Candidate]:
    """The people of a source that the teachers disagree about most, those of the last round that was kept."""
    listed = last_figures(params, source).get("annotate_next", [])
    if any("person" not in entry for entry in listed):
        raise ValueError(
            f"{layout.figures('pseudo_label', source)}: of an earlier version; dvc repro -f pseudo_label@{source}"
        )
    return [Candidate(e["person"], f"{source}:{e['file_name']}", float(e["disagreement"])) for e in listed]


def _files(params: Params) -> dict[str, Path]:
    """Where each picture is, by source and file name."""
    roots = {source: Path(params.data.sources[source].images) for source in params.pseudo_label.sources}
    return {
        f"{source}:{entry['file_name']}": root / entry["file_name"]
        for source, root in roots.items()
        for entry in last_figures(params, source).get("annotate_next", [])
    }


def _labelled(params: Params, source: str, own: dict[str, Candidate]) -> list[Sent]:
    """The teachers' keypoints of some people of a source."""
    label, _ = labelling(params, source, teachers_of(params, last_kept(params)))
    rows = label.people.filter(pa.array([person in own for person in label.people["detection_id"].to_pylist()]))
    rows = rows.combine_chunks()
    label = replace(label, people=rows, work=f"annotate/{source}")
    with one_thread():
        poses = label.read([label((0, rows.num_rows))])
    visibility = np.where(poses.scores >= SURE, 2, 1)
    triples = np.concatenate([poses.points, visibility[:, :, None]], 2)
    columns = [rows[name].to_pylist() for name in ("detection_id", "image_id", "file_name", "width", "height")]
    teacher = " ".join(member.identity for member in label.members)
    root = table_info(rows).image_roots[source]
    assert Path(root) == Path(params.data.sources[source].images)
    several = len(params.pseudo_label.sources) > 1
    return [
        Sent(
            _name(source, file_name, several), box.astype(float), points, None, person, image, source, file_name,
            (width, height), teacher, own[person].disagreement,
        )
        for person, image, file_name, width, height, box, points in zip(
            *columns, to_numpy(rows, "bbox"), _inside(triples, rows), strict=True
        )
    ]  # fmt: skip


def _inside(triples: np.ndarray, rows: pa.Table) -> np.ndarray:
    """Keypoints moved to the picture's edge where the teachers put them outside: labelling programs refuse those."""
    sizes = np.stack([to_numpy(rows, "width"), to_numpy(rows, "height")], 1).astype(float)
    found = triples.copy()
    found[:, :, :2] = found[:, :, :2].clip(0, sizes[:, None] - 1)
    return found


def _name(source: str, file_name: str, several: bool) -> str:
    """A picture's name in the export: its own below its source, whatever it was called."""
    parts = [part for part in PurePosixPath(file_name.replace("\\", "/")).parts if part not in ("/", "..")]
    return "/".join([source, *parts] if several else parts)


def describe(people: Sequence[Sent], folder: Path) -> str:
    """What was written, in lines."""
    pictures = len({p.picture for p in people})
    return (
        f"{folder}: {len(people)} people on {pictures} pictures, the most disputed first\n"
        f"  CVAT: a task with the pictures of {folder}/images; upload {folder}/{ANNOTATIONS} (COCO Keypoints 1.0)\n"
        f"  Label Studio: {folder}/label_studio.xml as the interface, {folder}/label_studio.json as the tasks\n"
        f"  then: ccm annotate merge EXPORTED.json --exported {folder}"
    )
