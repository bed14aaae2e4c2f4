"""Looks at every configured data set before anything runs: what is missing, what is odd. No training, no tables."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline import layout
from pipeline.records.keypoints import BUILT_IN, load_keypoint_set
from pipeline.records.tables import TableInfo, read_table, to_numpy
from pipeline.settings import Params, Source
from pipeline.sources import read_records
from pipeline.sources.assemble import assemble
from pipeline.sources.chosen import image_list
from pipeline.sources.detections import read_detections
from pipeline.sources.image_files import FileCheck, Found
from pipeline.sources.leaks import Seen, leaks
from pipeline.sources.odd_sets import set_oddities
from pipeline.sources.oddities import box_oddities, oddities
from pipeline.sources.orientation import orientation_of, settled
from pipeline.sources.records import Records

SECONDS = 40.0  # for the images of all sources together
_AT_ONCE = 200
_NAMED = 3  # examples of each kind of problem


@dataclass(frozen=True)
class Finding:
    """One thing to know. An error stops a run or spoils it; a warning is for a person to judge."""

    where: str
    level: str  # error | warning | fine
    message: str


def check(params: Params) -> int:
    """Print what `findings` finds; 1 when there is an error among it, else 0."""
    found = findings(params)
    for finding in found:
        print(f"{finding.level:7}  {finding.where}: {finding.message}")
    errors = sum(finding.level == "error" for finding in found)
    print(f"{errors} errors, {sum(finding.level == 'warning' for finding in found)} warnings")
    return int(errors > 0)


def findings(params: Params, seconds: float = SECONDS) -> list[Finding]:
    """Every configured source and detections file, looked at.

    Annotations are read whole; of the images as many as `seconds` allow (all of a small set), drawn evenly, and what is
    not looked at is said. Sources that a stage of this pipeline still has to render are not missed.
    """
    found: list[Finding] = []
    rendered = {str(layout.synthetic(name)) for name in params.synthesize}
    sources = params.data.sources
    seen: dict[str, Seen] = {}
    for name, source in sources.items():
        where = f"data.sources.{name}"
        if not Path(source.index).exists() and any(source.index.startswith(folder) for folder in rendered):
            found.append(Finding(where, "fine", "not rendered yet; the stage synthesize makes it"))
            continue
        try:
            found += _source(name, source, where, params.ingest.max_bad_share, seconds / len(sources), seen)
        except ValueError as error:
            found.append(Finding(where, "error", str(error)))
    found += _detections(params)
    return found + _leaks(params, seen) + _overlaps(params) + _unwatched(params) + _sets(params)


def _leaks(params: Params, seen: dict[str, Seen]) -> list[Finding]:
    """Pictures that stand in a validation set and elsewhere too, and what it took to look for them."""
    where, validation = "data.validation", params.data.validation
    started = time.process_time()
    found = [Finding(where, "warning", text) for text in leaks(validation, params.data.sources, seen)]
    spent = time.process_time() - started + sum(each.seconds for each in seen.values())
    count = sum(len(each.names) for each in seen.values())
    return [*found, Finding(where, "fine", f"{count} pictures compared by content and by looks, {spent:.1f} s of CPU")]


def _sets(params: Params) -> list[Finding]:
    """What looks wrong in the keypoint sets."""
    names = dict.fromkeys([params.data.keypoints, *(source.keypoints for source in params.data.sources.values())])
    return [
        Finding("data.keypoints", "warning", text) for name in names for text in set_oddities(load_keypoint_set(name))
    ]


def _source(
    name: str,
    source: Source,
    where: str,
    allowed: float,
    seconds: float,
    seen: dict[str, Seen],
) -> list[Finding]:
    """One source; its pictures that were looked at go into `seen`."""
    records = read_records(source)
    root = Path(source.images)
    if not root.is_dir():
        return [Finding(where, "error", f"images = {source.images!r}: no such folder")]
    own = Seen(source.images)
    looked = _looked_at(source, records, seconds, own)
    order = list(looked)
    settled_files = settled([looked[i] for i in order], [records.images.file_names[i] for i in order], where)
    looked = dict(zip(order, settled_files, strict=True))
    seen[name] = own
    bad = {position for position, file in looked.items() if file.fault}
    unseen = len(records.images.ids) - len(looked)
    sizes = zip(records.images.widths, records.images.heights, strict=True)
    assumed = [looked.get(i, Found(width or 1 << 30, height or 1 << 30)) for i, (width, height) in enumerate(sizes)]
    assemble(name, source.index, records, assumed, TableInfo(source.keypoints, {name: source.images}))
    found = _counts(records, where, unseen)
    odd = oddities(_with_sizes(records, looked), load_keypoint_set(source.keypoints))
    found += [Finding(where, "warning", text) for text in odd]
    found += _quarantined(records, where, allowed, unseen)
    if bad and unseen:
        share = len(bad) / len(looked)
        found.append(
            Finding(where, "warning", f"{share:.1%} of the images looked at are bad; {unseen} were not looked at")
        )
    return found + _dim(where, own) + _changed(name, where, looked, records)


def _dim(where: str, seen: Seen) -> list[Finding]:
    """Pictures that a network would see next to nothing in."""
    if not seen.dim:
        return []
    text = (
        f"{len(seen.dim)} pictures have hardly any contrast, such as {seen.dim[0]}: empty, or 10 to 14 bits in a file "
        "of 16, of which 65535 is white; spread their values, or leave them out"
    )
    return [Finding(where, "warning", text)]


def _with_sizes(records: Records, looked: dict[int, Found]) -> Records:
    """The records, with the sizes that the files have where the records say none."""
    images = records.images
    found = [looked.get(position, Found()) for position in range(len(images.ids))]
    widths = [width or file.width for width, file in zip(images.widths, found, strict=True)]
    heights = [height or file.height for height, file in zip(images.heights, found, strict=True)]
    return replace(records, images=replace(images, widths=widths, heights=heights))


def _looked_at(source: Source, records: Records, seconds: float, seen: Seen) -> dict[int, Found]:
    """What was found of as many images as the time allows, by position, in an order that covers the set evenly."""
    images = records.images
    order = np.random.default_rng(0).permutation(len(images.ids))
    looked: dict[int, Found] = {}
    check_files, until = (
        FileCheck(source.images, False, orientation_of(source), source.links),
        time.monotonic() + seconds,
    )
    for start in range(0, len(order), _AT_ONCE):
        some = order[start : start + _AT_ONCE].tolist()
        files = [(images.file_names[i], images.widths[i], images.heights[i]) for i in some]
        looked |= dict(zip(some, check_files(files), strict=True))
        for i in some:
            seen.add(images.file_names[i], looked[i])
        if time.monotonic() > until:
            break
    return looked


def _counts(records: Records, where: str, unseen: int) -> list[Finding]:
    people = records.people
    labelled = int((people.keypoints[:, :, 2] > 0).any(1).sum()) if len(people) else 0
    text = f"{len(records.images.ids)} images, {len(people)} people, {labelled} with keypoints"
    text += "".join(f", {count} {what.replace('_', ' ')} left out" for what, count in records.notes.items())
    text += "".join(f", {count} {what}" for what, count in records.derived.items())
    found = [Finding(where, "fine", text + (f"; {unseen} images not looked at, for lack of time" if unseen else ""))]
    if len(people) and not labelled:
        found.append(Finding(where, "warning", "nobody has a labelled keypoint"))
    return found


def _quarantined(records: Records, where: str, allowed: float, unseen: int) -> list[Finding]:
    quarantine = records.quarantine
    found = []
    for reason, count in quarantine.reasons().items():
        rows = [row for row in quarantine.rows if row[2] == reason][:_NAMED]
        named = "; ".join(record + (f" ({value})" if value else "") for _, record, _, value in rows)
        found.append(Finding(where, "warning", f"{count} x {reason}: {named}" + (" ..." if count > _NAMED else "")))
    if len(quarantine) > allowed * records.records:
        text = f"{len(quarantine)} of {records.records} records are bad, ingest.max_bad_share = {allowed} stops the run"
        found.append(Finding(where, "error", text))
    return found


def _changed(name: str, where: str, looked: dict[int, Found], records: Records) -> list[Finding]:
    """Files that differ from the manifest of the last ingest: nothing else notices, image trees are not tracked."""
    path = layout.manifest(name)
    if not path.is_file():
        return []
    try:
        manifest = read_table(path, "manifest").to_pydict()
    except ValueError as error:
        return [Finding(where, "warning", str(error))]
    known = dict(zip(manifest["file_name"], zip(manifest["bytes"], manifest["content"], strict=True), strict=True))
    names = records.images.file_names
    changed = [
        names[i]
        for i, file in looked.items()
        if not file.fault and names[i] in known and known[names[i]] != (file.size, file.content)
    ]
    if not changed:
        return []
    text = f"{len(changed)} images changed since the last ingest, such as {changed[0]}; `dvc repro -f ingest@{name}`"
    return [Finding(where, "warning", text)]


def _detections(params: Params) -> list[Finding]:
    """Detection files, against the images of their source where it was ingested already."""
    found = []
    for name, path in params.detect_people.sources.items():
        where = f"detect_people.sources.{name}"
        if not path.endswith(".json"):
            continue
        if not Path(path).is_file():
            found.append(Finding(where, "error", f"{path}: no such file"))
        elif layout.images(name).is_file():
            try:
                boxes = read_detections(path, read_table(layout.images(name), "images"))
            except ValueError as error:
                found.append(Finding(where, "error", str(error)))
                continue
            found.append(Finding(where, "fine", f"{boxes.num_rows} boxes"))
            sizes = np.stack([boxes[side].to_numpy() for side in ("width", "height")], 1)
            found += [Finding(where, "warning", text) for text in box_oddities(to_numpy(boxes, "bbox"), sizes)]
    return found


def _unwatched(params: Params) -> list[Finding]:
    """Keypoint sets that DVC does not watch: an edit of such a file would make nothing stale."""
    places = {"data.keypoints": params.data.keypoints}
    places |= {f"data.sources.{name}.keypoints": source.keypoints for name, source in params.data.sources.items()}
    found = []
    for where, name in places.items():
        if not (BUILT_IN / f"{name}.yaml").is_file():
            text = f"DVC does not watch {name}, an edit of it reruns nothing; move it into {BUILT_IN.parent.name}/"
            text += f"{BUILT_IN.name} and name it '{Path(name).stem}'"
            found.append(Finding(where, "warning", text))
    return found


def _overlaps(params: Params) -> list[Finding]:
    """Foreign sets must share keypoints with the target, and nothing may be trained on that it is validated on."""
    found = []
    target, sources = load_keypoint_set(params.data.keypoints), params.data.sources
    for name in params.align_labels.sources:
        own = load_keypoint_set(params.data.sources[name].keypoints)
        shared = len(own.positions_in(target))
        level = "fine" if shared else "error"
        found.append(Finding(f"align_labels.sources.{name}", level, f"{shared} keypoints shared with {target.name}"))
    for name in params.data.labelled + params.data.validation:
        own = load_keypoint_set(sources[name].keypoints)
        if not own.positions_in(target):
            text = f"shares no keypoint with {target.name}, the set of data.keypoints"
            found.append(Finding(f"data.sources.{name}", "error", text))
    if any(_overlap(sources[a], sources[b]) for a in params.data.labelled for b in params.data.validation):
        text = "the same annotations as data.labelled: the models would be validated on what they train on"
        found.append(Finding("data.validation", "error", text))
    return found


def _overlap(one: Source, other: Source) -> bool:
    """Whether two sources are of the same file, and no lists of images keep them apart."""
    if one.index != other.index:
        return False
    lists = [Path(source.only) for source in (one, other) if source.only is not None]
    if len(lists) < 2 or not all(path.is_file() for path in lists):
        return True
    return bool(set(image_list(lists[0])) & set(image_list(lists[1])))
