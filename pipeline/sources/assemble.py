"""From checked records to the tables of a source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.records.images import turned_name
from pipeline.records.tables import TableInfo, table_from
from pipeline.sources.checks import good_images, good_people
from pipeline.sources.derived import fill_areas, fill_boxes, without_absent
from pipeline.sources.image_files import Found
from pipeline.sources.records import BOX_TO_AREA, Images, Records


@dataclass(frozen=True)
class Tables:
    """The tables of a source."""

    images: pa.Table
    manifest: pa.Table
    instances: pa.Table
    masks: pa.Table
    quarantine: pa.Table


def assemble(source: str, index: str, records: Records, found: list[Found], info: TableInfo) -> Tables:
    """Check every record, set bad ones aside, and build the tables of a source called `source`.

    `found` is what `FileCheck` says of each image of the records. People keep the keypoint set of the source, with
    supervised = (v > 0); crowds and people without keypoints are rows too. An area that the source does not give
    is 0.53 of the box. What is derived is counted in `records.derived`.
    """
    quarantine, images = records.quarantine, records.images
    kept, row_of_id = good_images(images, found, index, quarantine)
    listed_again = len(row_of_id) - len(kept)
    image_columns = _image_columns(source, images, found, kept)
    sizes = np.stack([image_columns["width"], image_columns["height"]], 1)
    people = records.people
    rows = np.array([row_of_id.get(identity, -1) for identity in people.image_ids], np.int64)
    without_absent(people)
    derived = {"areas of 0, taken as absent": fill_areas(people), **fill_boxes(people, rows, sizes)}
    derived |= {"images listed again, their people joined": listed_again}
    records.derived.update({what: count for what, count in derived.items() if count})
    chosen, row_of = good_people(people, rows, set(images.ids), sizes, index, quarantine)
    instances = _instance_columns(source, records, chosen, row_of, image_columns)
    masks = people.masks.take(pa.array(chosen))
    has_mask = masks.is_valid()
    ids = instances["instance_id"]
    return Tables(
        table_from("images", image_columns, info),
        table_from("manifest", _manifest_columns(images, found, kept), info),
        table_from("instances", instances, info),
        table_from("masks", {"instance_id": ids.filter(has_mask), "segmentation": masks.filter(has_mask)}, info),
        quarantine.table(info),
    )


def _image_columns(source: str, images: Images, found: list[Found], kept: np.ndarray) -> dict[str, Any]:
    files = [found[position] for position in kept]
    return {
        "image_id": [f"{source}:{images.ids[position]}" for position in kept],
        "source": _constant(source, len(kept)),
        "file_name": [turned_name(images.file_names[i], file.turn) for i, file in zip(kept, files, strict=True)],
        "width": np.array([file.width for file in files], np.int32),
        "height": np.array([file.height for file in files], np.int32),
    }


def _manifest_columns(images: Images, found: list[Found], kept: np.ndarray) -> dict[str, Any]:
    files = [found[position] for position in kept]
    return {
        "file_name": [images.file_names[position] for position in kept],
        "bytes": np.array([file.size for file in files], np.int64),
        "content": [file.content for file in files],
    }


def _instance_columns(
    source: str, records: Records, chosen: np.ndarray, row_of: np.ndarray, images: dict[str, Any]
) -> dict[str, Any]:
    people = records.people
    boxes, areas = people.boxes[chosen], people.areas[chosen]
    keypoints, crowds = people.keypoints[chosen], people.crowds[chosen]
    keypoints[crowds] = 0
    labelled = keypoints[:, :, 2] > 0
    keypoints *= labelled[:, :, None]
    take = pa.array(row_of)
    ids = pa.array(people.ids, pa.string()).take(pa.array(chosen))
    return {
        "instance_id": pc.binary_join_element_wise(f"{source}:", ids, ""),
        "image_id": pa.array(images["image_id"], pa.string()).take(take),
        "source": _constant(source, len(chosen)),
        "file_name": pa.array(images["file_name"], pa.string()).take(take),
        "kind": _constant("labelled", len(chosen)),
        "width": images["width"][row_of],
        "height": images["height"][row_of],
        "bbox": boxes,
        "area": np.where(np.isnan(areas), BOX_TO_AREA * boxes[:, 2] * boxes[:, 3], areas),
        "iscrowd": crowds,
        "keypoints": keypoints.reshape(len(chosen), 3 * keypoints.shape[1]),
        "supervised": labelled,
    }


def _constant(value: str, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([value], pa.string()))
