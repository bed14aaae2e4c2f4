"""People as COCO's annotations, as CVAT and others import and export them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.annotation.people import Person, Sent, are_places, labelled_box
from pipeline.records.keypoints import KeypointSet

CATEGORY = 1


def category(keypoints: KeypointSet) -> dict[str, Any]:
    """COCO's category of people: names, and limbs counted from 1."""
    limbs = [[a + 1, b + 1] for a, b in keypoints.limb_indices]
    return {
        "id": CATEGORY,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(keypoints.names),
        "skeleton": limbs,
    }


def document(people: Sequence[Sent], keypoints: KeypointSet) -> dict[str, Any]:
    """A COCO annotation file's content. Each person's id in U goes along as an attribute."""
    numbers = {picture: i + 1 for i, picture in enumerate(dict.fromkeys(p.picture for p in people))}
    sizes = {p.picture: p.size for p in people}
    images = [
        {"id": number, "file_name": picture, "width": sizes[picture][0], "height": sizes[picture][1]}
        for picture, number in numbers.items()
    ]
    annotations = [
        annotation(i + 1, numbers[p.picture], p) | {"attributes": {"person": p.person}} for i, p in enumerate(people)
    ]
    return {"images": images, "annotations": annotations, "categories": [category(keypoints)]}


def annotation(number: int | str, image: int | str, person: Person) -> dict[str, Any]:
    """One annotation."""
    box = np.round(person.box.astype(float), 2)
    triples = [[round(float(x), 2), round(float(y), 2), int(v)] for x, y, v in person.keypoints]
    return {
        "id": number,
        "image_id": image,
        "category_id": CATEGORY,
        "bbox": box.tolist(),
        "area": round(float(box[2] * box[3]), 2),
        "iscrowd": 0,
        "segmentation": [],
        "num_keypoints": sum(v > 0 for *_, v in triples),
        "keypoints": [value for triple in triples for value in triple],
    }


def people_in(content: Any, path: Path, names: Sequence[str]) -> dict[str, list[Person]]:
    """The people of an annotation file's content by picture, their keypoints in the order of `names`.

    A picture without people is there too. Annotations of other categories are left out.

    Raises:
        ValueError: no images or annotations, other keypoints (names the first), or a record that is none; names it.
    """
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in ("images", "annotations")):
        raise ValueError(f"{path}: no COCO annotation file: it has no lists 'images' and 'annotations'")
    info = content.get("info")
    if isinstance(info, dict) and info.get("contributor") == "Label Studio":
        raise ValueError(f"{path}: Label Studio's COCO joins the people of a picture into one; export as JSON")
    ours, order = _category(content.get("categories"), path, names)
    pictures = {str(i.get("id")): i.get("file_name") for i in content["images"] if isinstance(i, dict)}
    people: dict[str, list[Person]] = {name: [] for name in pictures.values() if isinstance(name, str)}
    for number, entry in enumerate(content["annotations"]):
        where = f"{path}: annotation {entry.get('id', number) if isinstance(entry, dict) else number}"
        if not isinstance(entry, dict) or not isinstance(pictures.get(str(entry.get("image_id"))), str):
            raise ValueError(f"{where}: its image is not among the file's images")
        if entry.get("category_id") != ours:
            continue
        values = np.asarray(entry.get("keypoints") or np.zeros(3 * len(order)), dtype=object).reshape(-1)
        try:
            triples = values.astype(float).reshape(len(order), 3)[order]
            box = np.asarray(entry["bbox"], float) if entry.get("bbox") else None
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"{where}: keypoints or bbox are no {3 * len(order)} and 4 numbers") from None
        if not are_places(triples) or (box is not None and (box.shape != (4,) or not are_places(box))):
            raise ValueError(f"{where}: keypoints or bbox are no finite numbers, or lie outside of any picture")
        triples[triples[:, 2] <= 0] = 0
        if box is None or not (box[2:] > 0).all():
            if not (triples[:, 2] > 0).any():
                continue  # neither a box nor a keypoint: nothing was labelled
            box = labelled_box(triples)
        picture = str(pictures[str(entry["image_id"])])
        people[picture].append(Person(picture, box, triples, entry.get("id")))
    return people


def _category(categories: Any, path: Path, names: Sequence[str]) -> tuple[Any, list[int]]:
    """The id of the category that has our keypoints, or of the first with any, and where each of ours stands in it."""
    listed = categories if isinstance(categories, list) else []
    declared = [c for c in listed if isinstance(c, dict) and isinstance(c.get("keypoints"), list) and c["keypoints"]]
    if not declared:
        raise ValueError(f"{path}: no category with keypoints; export skeletons (CVAT: COCO Keypoints 1.0)")
    declared.sort(key=lambda c: set(map(str, c["keypoints"])) != set(names))
    found = list(map(str, declared[0]["keypoints"]))
    for name in names:
        if name not in found:
            raise ValueError(
                f"{path}: category {declared[0].get('name')!r} lacks the keypoint {name!r}; it has {', '.join(found)}"
            )
    if len(found) > len(names):
        extra = next(name for name in found if name not in names)
        raise ValueError(
            f"{path}: category {declared[0].get('name')!r} has the keypoint {extra!r}, which was not exported"
        )
    return declared[0].get("id"), [found.index(name) for name in names]
