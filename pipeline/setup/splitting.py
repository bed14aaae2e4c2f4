"""A validation set out of a labelled one, so that no picture of it has a neighbour among those that train."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from pipeline.sources.json_index import JsonIndex
from pipeline.sources.records import Records

GROUPS = ("group", "group_id", "video", "video_id", "vid_id", "sequence", "sequence_id", "seq_id", "clip", "scene")
_WHOLE_GROUPS = 5  # with fewer, a whole one would be too much: the end of each is taken
_COVERED = 0.9  # share of the images that must have a group field


@dataclass(frozen=True)
class Split:
    """File names of both parts, in the order of the set, and how they were told apart."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    how: str


def split(records: Records, index: Path, share: float, seed: int) -> Split:
    """Set about `share` of the labelled people aside for validation, by image or by groups of images.

    Groups are what the annotations call so (`group`, `video_id`, ...), else folders, else what file names share before
    their number. ValueError when one of the parts would hold nobody.
    """
    names, weights = _labelled(records)
    group_of, kind = _groups(names, index, records.images.ids)
    groups: dict[Any, list[str]] = defaultdict(list)
    for name in names:
        groups[group_of.get(name, name)].append(name)
    if kind == "image" or len(groups) >= _WHOLE_GROUPS:
        val = _whole(groups, weights, share, seed)
        how = "by image" if kind == "image" else f"by {kind}: {len(groups)} of them, each on one side"
    else:
        val = _ends(groups, weights, share)
        how = f"by {kind}: of {len(groups)}, the end of each, so that neighbours meet once"
    train = [name for name in names if name not in val]
    for part, what in ((train, "to train on"), (list(val), "to validate on")):
        if not sum(weights[name] for name in part):
            raise ValueError(
                f"{index}: too few labelled people to set some aside, nobody is left {what}; give --val FILE"
            )
    return Split(tuple(train), tuple(name for name in names if name in val), how)


def _labelled(records: Records) -> tuple[list[str], dict[str, int]]:
    """The file names, and how many people with keypoints each image has."""
    images, people = records.images, records.people
    with_keypoints = (people.keypoints[:, :, 2] > 0).any(1) & ~people.crowds
    name_of = dict(zip(images.ids, images.file_names, strict=True))
    names = list(dict.fromkeys(images.file_names))
    weights = dict.fromkeys(names, 0)
    for row in np.flatnonzero(with_keypoints):
        if people.image_ids[row] in name_of:
            weights[name_of[people.image_ids[row]]] += 1
    return names, weights


def _groups(names: Sequence[str], index: Path, ids: Sequence[str]) -> tuple[Mapping[str, Any], str]:
    """The group of each image, and what kind of group it is."""
    if declared := _declared(index, len(names)):
        return declared
    folders = {name: str(PurePosixPath(name).parent) for name in names}
    if len(set(folders.values())) > 1:
        return folders, "folder"
    stems = {name: _stem(name) for name in names}
    if all(stems.values()) and len(set(stems.values())) <= len(names) / 2:
        return stems, "video"
    return {}, "image"


def _declared(index: Path, images: int) -> tuple[Mapping[str, Any], str] | None:
    """The field of the annotation file's images that groups them, where it has one."""
    if not index.name.endswith((".json", ".json.gz")):
        return None
    try:
        file = JsonIndex(str(index))
        records = [r for batch in file.batches("images", lambda *_: None) for r in batch if isinstance(r, dict)]
    except (ValueError, KeyError):
        return None
    for key in GROUPS:
        groups = {r["file_name"]: str(r[key]) for r in records if r.get(key) is not None and "file_name" in r}
        if len(groups) >= _COVERED * images and len(set(groups.values())) > 1:
            return groups, key
    return None


def _stem(name: str) -> str:
    """What comes before a file name's number, where that has letters: `clip7_000123.jpg` is of clip7."""
    match = re.match(r"^(.*?)[-_. ]*\d+$", PurePosixPath(name).stem)
    return match[1] if match and re.search(r"[^\W\d_]", match[1]) else ""


def _whole(groups: Mapping[Any, list[str]], weights: Mapping[str, int], share: float, seed: int) -> set[str]:
    """Whole groups at random, until they hold the share."""
    wanted = share * sum(weights.values())
    keys = list(groups)
    val: set[str] = set()
    held = 0
    for position in np.random.default_rng(seed).permutation(len(keys)):
        group = groups[keys[position]]
        weight = sum(weights[name] for name in group)
        if held and held + weight > max(1.5 * wanted, wanted + 1):
            continue
        val |= set(group)
        held += weight
        if held >= wanted:
            break
    return val


def _ends(groups: Mapping[Any, list[str]], weights: Mapping[str, int], share: float) -> set[str]:
    """The end of each group, in the order of the names."""
    val: set[str] = set()
    for group in groups.values():
        wanted, held = share * sum(weights[name] for name in group), 0
        for name in sorted(group, reverse=True):
            if held >= wanted:
                break
            val.add(name)
            held += weights[name]
    return val
