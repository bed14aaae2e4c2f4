"""`ccm annotate merge`: corrected labels become a labelled source, and a summary says what was changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
from pycocotools import mask

from pipeline.annotation import coco, label_studio
from pipeline.annotation.people import Export, Person, Sent, are_places, by_picture, labelled_box
from pipeline.evaluation.results_file import source_id
from pipeline.records.artefacts import read_json, write_json
from pipeline.records.keypoints import KeypointSet
from pipeline.records.text import one_line

CORRECTIONS = Path("corrections")
SAME = 0.3  # overlap (IoU) from which a returned person is the one that was sent
MOVED = 0.5  # pixels: programs round places
_OWN = 0.25  # of the distance between two mirror keypoints: nearer to the other's old place than this is an exchange


@dataclass
class Merge:
    """What came back, beside what was sent."""

    pairs: list[tuple[Sent, Person]] = field(default_factory=list)
    added: list[Person] = field(default_factory=list)  # on pictures that were sent
    removed: list[Sent] = field(default_factory=list)  # of pictures that came back
    emptied: list[Sent] = field(default_factory=list)  # of pictures that came back with nobody
    unseen: int = 0  # people of pictures that did not come back

    def changed(self) -> list[tuple[Sent, Person]]:
        """The pairs of which a keypoint was moved, added or removed."""
        return [(sent, back) for sent, back in self.pairs if differs(sent, back).any()]


def read_returned(path: Path, names: Sequence[str]) -> dict[str, list[Person]]:
    """The people by picture of a file from CVAT (COCO Keypoints 1.0) or Label Studio (JSON).

    ValueError names file and record.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    if is_zipfile(path):
        raise ValueError(f"{path}: a zip; unpack it, and name the JSON in it (CVAT: annotations/...json)")
    content = read_json(path)
    return (
        label_studio.people_in(content, path, names)
        if isinstance(content, list)
        else coco.people_in(content, path, names)
    )


def matched(export: Export, returned: dict[str, list[Person]], path: Path) -> Merge:
    """Who is who: on each picture the pairs that overlap most.

    Raises:
        ValueError: a picture that was not exported.
    """
    sent, back = by_picture(export.people), _renamed(returned, export, path)
    found = Merge(unseen=sum(len(people) for picture, people in sent.items() if picture not in back))
    for picture, people in back.items():
        ours = [p for p in sent[picture] if isinstance(p, Sent)]
        if not people:
            found.emptied += ours
            continue
        people = [_boxed(person) for person in people]
        partner = _pairs(ours, people)
        for i, j in partner.items():
            people[j] = _with_box_sent(ours[i], people[j])
        found.pairs += [(ours[i], people[j]) for i, j in partner.items()]
        found.removed += [person for i, person in enumerate(ours) if i not in partner]
        found.added += [person for j, person in enumerate(people) if j not in partner.values() and _any(person)]
    return found


def _any(person: Person) -> bool:
    return bool((person.keypoints[:, 2] > 0).any())


def _is_hull(person: Person) -> bool:
    """Is the box no more than what its keypoints span? CVAT keeps no boxes of skeletons, and exports that."""
    points = person.keypoints[person.keypoints[:, 2] > 0, :2]
    if not len(points):
        return False
    spanned = np.concatenate([points.min(0), np.ptp(points, axis=0)])
    return bool(np.abs(spanned - person.box).max() <= 2 * MOVED)


def _boxed(person: Person) -> Person:
    """With a margin round the keypoints where the box has none."""
    return replace(person, box=labelled_box(person.keypoints)) if _is_hull(person) else person


def _with_box_sent(sent: Sent, back: Person) -> Person:
    """With the box that was sent, grown to hold the keypoints, where nobody drew the one that came back."""
    points = back.keypoints[back.keypoints[:, 2] > 0, :2]
    if not len(points) or not np.allclose(back.box, labelled_box(back.keypoints)):
        return back
    low = np.minimum(sent.box[:2], points.min(0))
    high = np.maximum(sent.box[:2] + sent.box[2:], points.max(0))
    return replace(back, box=np.concatenate([low, high - low]))


def _renamed(returned: dict[str, list[Person]], export: Export, path: Path) -> dict[str, list[Person]]:
    """Returned people by the name that their picture was exported under, with or without folders before it."""
    names = {person.picture for person in export.people}
    by_end: dict[str, set[str]] = {}
    for name in names:
        by_end.setdefault(Path(name).name, set()).add(name)
    back: dict[str, list[Person]] = {}
    for picture, people in returned.items():
        own = (
            {picture} & names
            or {n for n in names if picture.endswith(f"/{n}")}
            or by_end.get(Path(picture).name, set())
        )
        if not own and not people:
            continue  # a picture of the same task that was not exported, and nothing on it
        if len(own) != 1:
            raise ValueError(f"{path}: the picture {picture!r} was not exported, or several are called like it")
        back.setdefault(own.pop(), []).extend(people)
    return back


def _pairs(ours: Sequence[Person], theirs: Sequence[Person]) -> dict[int, int]:
    """Pairs by overlap, the best first; of equal ones the nearest keypoints decide."""
    if not ours or not theirs:
        return {}
    overlap = np.array([[_overlap(a, b) for a in ours] for b in theirs])
    apart = np.array([[_apart(a, b) for a in ours] for b in theirs])
    order = sorted(np.ndindex(overlap.shape), key=lambda ji: (-round(float(overlap[ji]), 3), float(apart[ji])))
    pairs: dict[int, int] = {}
    for j, i in order:
        if overlap[j, i] >= SAME and i not in pairs and j not in pairs.values():
            pairs[i] = j
    return pairs


def _overlap(a: Person, b: Person) -> float:
    """IoU of two people's boxes, or of what the keypoints span that both have where that is more."""
    both = (a.keypoints[:, 2] > 0) & (b.keypoints[:, 2] > 0)
    boxes = [(a.box, b.box)]
    if both.any():
        boxes.append((labelled_box(a.keypoints[both]), labelled_box(b.keypoints[both])))
    return max(float(mask.iou(x[None], y[None], np.zeros(1, np.uint8))[0, 0]) for x, y in boxes)


def _apart(a: Person, b: Person) -> float:
    both = (a.keypoints[:, 2] > 0) & (b.keypoints[:, 2] > 0)
    return float(np.hypot(*(a.keypoints - b.keypoints)[both, :2].T).mean()) if both.any() else np.inf


def differs(sent: Person, back: Person) -> np.ndarray:
    """[K] keypoints that were moved, added or removed. A changed visibility alone is no correction of a place."""
    labelled = (sent.keypoints[:, 2] > 0) != (back.keypoints[:, 2] > 0)
    moved = np.hypot(*(sent.keypoints - back.keypoints)[:, :2].T) > MOVED
    return labelled | (moved & (back.keypoints[:, 2] > 0))


def exchanged(sent: Person, back: Person, mirror: np.ndarray) -> np.ndarray:
    """[K] keypoints that now stand where their mirror keypoint stood, and the other way round."""
    before, after = sent.keypoints, back.keypoints
    apart = np.hypot(*(before - before[mirror])[:, :2].T)
    to_other = np.hypot(*(after - before[mirror])[:, :2].T)
    swapped = (before[:, 2] > 0) & (after[:, 2] > 0) & (apart > MOVED) & (to_other <= _OWN * apart)
    return swapped & swapped[mirror] & (mirror != np.arange(len(mirror)))


def source_name(source: str) -> str:
    """The labelled source that holds the corrected people of an unlabelled one."""
    return f"{source}_corrected"


def corrections_file(source: str) -> Path:
    """Where they lie: a COCO annotation file for git."""
    return CORRECTIONS / f"{source}.json"


def write_corrections(
    merge: Merge, export: Export, keypoints: KeypointSet, origin: str, by: str, confirmed: bool
) -> dict[str, int]:
    """Add what was corrected to the files of `corrections/`, one a source; people by source that are in them now.

    A person that is there already is replaced. People whose labels came back unchanged are left in U, for nobody knows
    whether anybody looked, unless `confirmed` says so. Who was taken out of a picture stands there as a crowd, which
    trains nothing and keeps the person out of U.
    """
    unchanged = {sent.person for sent, _ in merge.pairs} - {sent.person for sent, _ in merge.changed()}
    entries: dict[str, list[tuple[Sent, dict[str, Any]]]] = {}
    about = {"file": origin} | ({"by": by} if by else {})
    for sent, back in merge.pairs:
        if confirmed or sent.person not in unchanged:
            own = about | {"person": sent.person, "teacher": sent.teacher, "changed": sent.person not in unchanged}
            entries.setdefault(sent.source, []).append((sent, _entry(sent, back, sent.person, own)))
    for sent in merge.removed + (merge.emptied if confirmed else []):
        own = about | {"person": sent.person, "teacher": sent.teacher, "removed": True}
        gone = _entry(sent, sent, sent.person, own) | {
            "iscrowd": 1,
            "num_keypoints": 0,
            "keypoints": [0] * 3 * len(keypoints),
        }
        entries.setdefault(sent.source, []).append((sent, gone))
    pictures = {person.picture: person for person in export.people}
    for person in merge.added:
        beside = pictures[person.picture]
        identity = f"{beside.image}:added-{'-'.join(f'{value:.0f}' for value in person.box)}"
        entries.setdefault(beside.source, []).append(
            (beside, _entry(beside, person, identity, about | {"added": True}))
        )
    return {source: _write(source, found, keypoints) for source, found in entries.items()}


def _entry(sent: Sent, back: Person, identity: str, about: dict[str, Any]) -> dict[str, Any]:
    return coco.annotation(identity, source_id(sent.image), back) | {"came_from": about}


def _write(source: str, found: Sequence[tuple[Sent, dict[str, Any]]], keypoints: KeypointSet) -> int:
    path = corrections_file(source)
    images, people = _there(path)
    for sent, entry in found:
        identity, (width, height) = source_id(sent.image), sent.size
        if entry["came_from"].get("added"):
            people = {key: p for key, p in people.items() if not _same_added(p, entry)}
        images[identity] = {"id": identity, "file_name": sent.file_name, "width": width, "height": height}
        people[entry["id"]] = entry
    content = {
        "images": [images[key] for key in sorted(images, key=str)],
        "annotations": [people[key] for key in sorted(people)],
        "categories": [coco.category(keypoints)],
    }
    write_json(path, content)
    return sum(not entry["iscrowd"] for entry in people.values())


def _there(path: Path) -> tuple[dict[Any, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Images and people, by id, that earlier merges took; a file that somebody has edited is checked."""
    content = read_json(path) if path.exists() else {"images": [], "annotations": []}
    try:
        images = {image["id"]: dict(image) for image in content["images"]}
        people = {entry["id"]: dict(entry) for entry in content["annotations"]}
        for entry in people.values():
            if not isinstance(entry["id"], str) or entry["iscrowd"] not in (0, 1) or entry["image_id"] not in images:
                raise ValueError(f"annotation {entry['id']!r:.80}: its id, image_id or iscrowd")
            box = np.asarray(entry["bbox"], float)
            if box.shape != (4,) or not are_places(box):
                raise ValueError(f"annotation {entry['id']!r:.80}: its bbox")
            entry["came_from"].get("added")
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        what = f"{type(error).__name__}: {one_line(error):.200}"
        raise ValueError(f"{path}: not what `ccm annotate merge` writes ({what}); git has it as it was") from None
    return images, people


def _same_added(there: dict[str, Any], entry: dict[str, Any]) -> bool:
    """Is it the same added person, as an earlier merge took it?"""
    if there["image_id"] != entry["image_id"] or not there["came_from"].get("added"):
        return False
    boxes = (np.asarray(e["bbox"], float)[None] for e in (there, entry))
    return float(mask.iou(*boxes, np.zeros(1, np.uint8))[0, 0]) >= SAME


def summary(merge: Merge, keypoints: KeypointSet) -> Iterator[str]:
    """What was changed, in lines: people first, then keypoint by keypoint."""
    changed = merge.changed()
    yield (
        f"{len(merge.pairs)} people came back, {len(changed)} of them corrected; {len(merge.added)} added, "
        f"{len(merge.removed)} removed; {merge.unseen} on pictures that did not come back"
    )
    if merge.emptied:
        yield f"  {len(merge.emptied)} people on pictures that came back empty stay (--confirmed: they were removed)"
    mirror = np.asarray(keypoints.mirror)
    pairs: Counter[str] = Counter()
    counts, moved = {kind: np.zeros(len(keypoints), int) for kind in ("moved", "added", "removed")}, []
    for sent, back in changed:
        before, after = sent.keypoints[:, 2] > 0, back.keypoints[:, 2] > 0
        swapped = exchanged(sent, back, mirror)
        for number in np.flatnonzero(swapped & (np.arange(len(mirror)) < mirror)).tolist():
            pairs[f"{keypoints.names[number]} and {keypoints.names[mirror[number]]}"] += 1
        counts["added"] += after & ~before
        counts["removed"] += before & ~after
        counts["moved"] += differs(sent, back) & before & after & ~swapped
        distance = np.where(differs(sent, back) & before & after & ~swapped, _in_sigmas(sent, back, keypoints), np.nan)
        moved.append(distance)
    unit = "sigmas" if keypoints.sigmas is not None else "% of the box's side"
    means = np.stack(moved) if moved else np.full((0, len(keypoints)), np.nan)
    for k, name in enumerate(keypoints.names):
        parts = [f"{counts[kind][k]} {kind}" for kind in ("moved", "added", "removed") if counts[kind][k]]
        if parts:
            far = means[:, k][np.isfinite(means[:, k])]
            yield f"  {name}: {', '.join(parts)}" + (
                f", by {np.median(far):.1f} {unit} in the median" if len(far) else ""
            )
    yield from (f"  exchanged: {names} of {count} people" for names, count in pairs.items())


def _in_sigmas(sent: Person, back: Person, keypoints: KeypointSet) -> np.ndarray:
    """[K] distances as COCO measures them, in 2 sigma times the square root of the box's area."""
    distance = np.hypot(*(sent.keypoints - back.keypoints)[:, :2].T)
    side = float(np.sqrt(np.prod(sent.box[2:])))
    return distance / side * 100 if keypoints.sigmas is None else distance / (2 * np.asarray(keypoints.sigmas) * side)
