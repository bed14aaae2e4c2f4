"""Annotations in COCO's and in AI Challenger's own notation."""

import hashlib
from typing import Any

from pipeline.records.keypoints import load_keypoint_set
from pipeline.synthesis.labels import NOT_LABELLED, OCCLUDED, VISIBLE, Person
from pipeline.synthesis.masks import bounding_box, polygons, run_lengths

Record = dict[str, Any]

_COCO, _AIC = load_keypoint_set("coco"), load_keypoint_set("aic")
_AIC_CODES = {VISIBLE: 1, OCCLUDED: 2, NOT_LABELLED: 3}
_FIRST_IMAGE_ID = {"train": 1, "val": 500_001, "unlabeled": 1}
_PEOPLE_PER_IMAGE = 100


def coco_image_id(split: str, index: int) -> int:
    """Ids of train and val never collide."""
    return _FIRST_IMAGE_ID[split] + index


def coco_file_name(image_id: int) -> str:
    return f"{image_id:012d}.jpg"


def coco_record(image_id: int, height: int, width: int, people: list[Person]) -> Record:
    """One image's entries of COCO's `images` and `annotations`."""
    image = {
        "license": 1, "file_name": coco_file_name(image_id), "coco_url": "", "height": height, "width": width,
        "date_captured": "2017-01-01 00:00:00", "flickr_url": "", "id": image_id,
    }  # fmt: skip
    annotations = [
        _coco_annotation(image_id, image_id * _PEOPLE_PER_IMAGE + number, person)
        for number, person in enumerate(people)
    ]
    return {"image": image, "annotations": annotations}


def _coco_annotation(image_id: int, annotation_id: int, person: Person) -> Record:
    keypoints = [person.keypoints.get(name, (0, 0, NOT_LABELLED)) for name in _COCO.names]
    return {
        "segmentation": run_lengths(person.mask) if person.crowd else polygons(person.mask),
        "num_keypoints": sum(v > NOT_LABELLED for _, _, v in keypoints),
        "area": int(person.mask.sum()),
        "iscrowd": int(person.crowd),
        "keypoints": [value for keypoint in keypoints for value in keypoint],
        "image_id": image_id,
        "bbox": list(bounding_box(person.mask)),
        "category_id": 1,
        "id": annotation_id,
    }


def coco_file(records: list[Record]) -> Record:
    """A whole `person_keypoints_*.json` from its images' records, in their order."""
    return {
        "info": {"description": "Rendered people in COCO's format", "url": "", "version": "1.0", "year": 2017,
                 "contributor": "", "date_created": "2017/01/01"},
        "licenses": [{"id": 1, "name": "Apache-2.0", "url": ""}],
        "images": [record["image"] for record in records],
        "annotations": [annotation for record in records for annotation in record["annotations"]],
        "categories": [
            {"supercategory": "person", "id": 1, "name": "person", "keypoints": list(_COCO.names),
             "skeleton": [[i + 1, j + 1] for i, j in _COCO.limb_indices]}
        ],
    }  # fmt: skip


def aic_image_id(seed: int, index: int) -> str:
    """Forty hexadecimal digits, as AI Challenger names its images; the file is this plus `.jpg`."""
    return hashlib.sha1(f"{seed}/{index}".encode()).hexdigest()


def aic_record(image_id: str, people: list[Person]) -> Record:
    """One image's entry of AI Challenger's list: boxes as whole corners x1, y1, x2, y2, keypoints as whole pixels."""
    boxes, keypoints = {}, {}
    for number, person in enumerate(people, start=1):
        x, y, width, height = bounding_box(person.mask)
        boxes[f"human{number}"] = [x, y, x + width, y + height]
        keypoints[f"human{number}"] = [value for name in _AIC.names for value in _aic_keypoint(person.keypoints[name])]
    return {"image_id": image_id, "url": "", "human_annotations": boxes, "keypoint_annotations": keypoints}


def _aic_keypoint(keypoint: tuple[float, float, int]) -> tuple[int, int, int]:
    x, y, v = keypoint
    return round(x), round(y), _AIC_CODES[v]
