"""From files to a project that trains on them: what would be written, why, and the writing."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.records.artefacts import written
from pipeline.records.keypoints import keypoint_file
from pipeline.settings import PARAMS_FILE, Params, Source, parse_params
from pipeline.settings.profile import kept_elsewhere, profile_text
from pipeline.settings.reading import lines_of, load_yaml
from pipeline.setup.advice import Advice, Roles, advice, strategy
from pipeline.setup.facts import Facts, Machine, facts_of
from pipeline.setup.files import Found, found, images_root, slug
from pipeline.setup.keypoints import OwnSet, own_set
from pipeline.setup.splitting import split
from pipeline.setup.subject import subject_of, title_of
from pipeline.setup.text import params_text
from pipeline.sources import read_records
from pipeline.sources.records import Records

SPLITS = Path("splits")
_NAMELESS = ("annotations", "labels", "data", "dataset", "json", "train", "images")


@dataclass(frozen=True)
class Given:
    """What somebody has, as typed: files, folders, and how to split."""

    labelled: Sequence[str]
    external: Sequence[str] = ()
    unlabelled: Sequence[str] = ()
    validation: Sequence[str] = ()
    share: float = 0.1
    base: str = "built-in"
    seed: int = 0

    def command(self) -> str:
        """The command that says the same."""
        lists = {"labelled": self.labelled, "external": self.external, "unlabelled": self.unlabelled}
        lists |= {"val": self.validation}
        parts = ["ccm", "init"]
        for name, values in lists.items():
            parts += [f"--{name}", *values] if values else []
        if not self.validation and self.share != 0.1:
            parts += ["--val-share", f"{self.share:g}"]
        parts += ["--base", self.base] if self.base != "built-in" else []
        return shlex.join(parts)


@dataclass(frozen=True)
class Plan:
    """What `write` would write, and the lines that tell of it."""

    params: str
    files: dict[Path, str]
    told: tuple[str, ...]


@dataclass
class _Sources:
    """The sources as they come together."""

    keypoints: OwnSet
    sets: dict[tuple[str, ...], OwnSet]
    temporary: Path
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[Path, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    def name(self, wanted: str) -> str:
        """A source's name that is not taken."""
        name, number = wanted, 1
        while name in self.entries:
            number += 1
            name = f"{wanted}-{number}"
        return name

    def set_of(self, each: Found) -> OwnSet:
        """The keypoint set of a file: the target's, another's that is known, or a new one."""
        names = each.about.names
        if names not in self.sets:
            made = own_set(_set_name(each), names, each.about.limbs, each.path.name)
            self.sets[names] = made
            self.told += made.notes
        made = self.sets[names]
        if made.text is not None:
            self.files[keypoint_file(made.name)] = made.text
        return made

    def read(self, each: Found, role: str) -> tuple[dict[str, Any], Records, Path]:
        """A file's entry for `data.sources`, its records, and the root of its images."""
        keypoints = self.set_of(each)
        usable = keypoints.name
        if keypoints.text is not None:  # not written yet
            usable = str(self.temporary / f"{keypoints.name}.yaml")
            Path(usable).write_text(keypoints.text)
        source = Source(
            format=each.about.format, index=str(each.path), images=str(each.images or "."), keypoints=usable
        )
        records = read_records(source)
        root = each.images or images_root(each.path, records.images.file_names)
        entry = {"format": each.about.format, "index": shown(each.path), "images": shown(root)}
        self.told.append(
            f"{role}: {each.path}: {each.about.format}, {len(records.images.ids):,} images, {len(records.people):,} "
            f"annotated, pictures in {root}"
        )
        return entry | {"keypoints": keypoints.name}, records, root


def plan(given: Given, machine: Machine) -> Plan:
    """Read what was given and think of params for it. ValueError where a file is missing, broken or of no use."""
    base = profile_text(given.base)
    labelled = [each for text in given.labelled for each in found(text)]
    validation = [each for text in given.validation for each in found(text)]
    if not validation and not all(each.validates for each in labelled):
        validation = [each for each in labelled if each.validates]
        labelled = [each for each in labelled if not each.validates]
    if not labelled:
        raise ValueError("--labelled: name at least one annotation file")
    with tempfile.TemporaryDirectory() as folder:
        target = own_set(
            _set_name(labelled[0]), labelled[0].about.names, labelled[0].about.limbs, labelled[0].path.name
        )
        sources = _Sources(target, {labelled[0].about.names: target}, Path(folder), told=list(target.notes))
        roles, facts = _sources(sources, given, labelled, validation)
    values = load_yaml(base, given.base)
    chosen, why = _advised(values, sources, roles, facts, machine, _categories(labelled))
    header = [
        f"Made by `{given.command()}`",
        f"of profile `{given.base}`; the reason stands beside each value that the data or the machine decided.",
        "This file is the single source of truth: edit it, and `dvc repro` reruns what the edit made stale.",
    ]
    told = [*sources.told, f"strategy {chosen['strategies'][0][0]}: {why}"]
    told += [f"{path} = {value}: {reason}" for path, (value, reason) in chosen.items() if reason and path in _TOLD]
    return Plan(params_text(base, chosen, header), sources.files, tuple(told))


_TOLD = ("training.batch_size", "train_joint.samples_per_epoch", "training.augmentation.flip", "compute.workers")


def _sources(
    sources: _Sources, given: Given, labelled: Sequence[Found], validation: Sequence[Found]
) -> tuple[Roles, Facts]:
    """Read all sources into entries; those without a validation set are split."""
    train, val, read = [], [], []
    for each in labelled:
        entry, records, root = sources.read(each, "labelled")
        name = sources.name("train" if len(labelled) == 1 else slug(each.path.name.split(".")[0]))
        train.append(name)
        sources.entries[name] = entry
        if not validation:
            parts = split(records, each.path, given.share, given.seed)
            second = sources.name("val" if len(labelled) == 1 else f"{name}-val")
            val.append(second)
            sources.entries[second] = dict(entry)
            for part, names in ((name, parts.train), (second, parts.val)):
                listed = SPLITS / f"{part}.txt"
                sources.entries[part]["only"] = str(listed)
                sources.files[listed] = "".join(f"{line}\n" for line in names)
            sources.told.append(
                f"split {parts.how}: {len(parts.train):,} images to train on, {len(parts.val):,} to validate on, "
                f"listed in {SPLITS}/ (seed {given.seed})"
            )
        read.append((records, root))
    for each in validation:
        entry, _, _ = sources.read(each, "validation")
        name = sources.name("val" if len(validation) == 1 else slug(each.path.name.split(".")[0]))
        val.append(name)
        sources.entries[name] = entry
    external = []
    for each in (each for text in given.external for each in found(text)):
        name = sources.name("external" if len(given.external) == 1 else slug(each.path.name.split(".")[0]))
        sources.entries[name], _, _ = sources.read(each, "external")
        external.append(name)
    unlabelled = []
    for text in given.unlabelled:
        name = sources.name("unlabeled" if len(given.unlabelled) == 1 else slug(Path(text).name))
        sources.entries[name] = _unlabelled(Path(text)) | {"keypoints": sources.keypoints.name}
        sources.told.append(f"unlabelled: {text}")
        unlabelled.append(name)
    return Roles(tuple(train), tuple(val), tuple(external), tuple(unlabelled)), facts_of(read)


def _unlabelled(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise ValueError(f"--unlabelled {path}: no such folder of pictures, list of them, or COCO file")
    if path.name.endswith((".json", ".json.gz")):
        records = read_records(Source(format="coco", index=str(path), images=".", keypoints="coco"))
        return {"format": "coco", "index": shown(path), "images": shown(images_root(path, records.images.file_names))}
    return {"format": "folder", "index": shown(path), "images": shown(path if path.is_dir() else path.parent)}


def _advised(
    base: dict[str, Any],
    sources: _Sources,
    roles: Roles,
    facts: Facts,
    machine: Machine,
    categories: Sequence[str],
) -> tuple[Advice, str]:
    """Every key that is different from the profile, and why the strategy is what it is."""
    detectors = list(base["train_detector"]["models"])
    detector = detectors[0] if detectors else None
    teachers = base["train_teachers"]["models"]
    if roles.unlabelled and not (detector and teachers):
        raise ValueError("--unlabelled: this profile trains no detector or no teachers; allowed is --base built-in")
    phi_theta, why = strategy(facts, roles, detector)
    mined = roles.labelled if "H" in phi_theta else ()
    by_detector = (*mined, *roles.validation, *roles.unlabelled) if detector else ()
    boxes = ["detected", "ground_truth"] if detector else ["ground_truth"]
    kept = {base["train_joint"]["model"]}
    kept |= {base["train_detector"]["models"][detector]["model"]} if detector else set()
    kept |= {each["model"] for each in teachers.values()} if roles.unlabelled else set()
    found: Advice = {"profile": (f"own-{sources.keypoints.name}", "")}
    found["data.keypoints"] = (sources.keypoints.name, f"{len(sources.keypoints.names)} keypoints")
    found["data.labelled"] = (
        _one_or_list(roles.labelled),
        f"{facts.images:,} images, {facts.labelled:,} with keypoints",
    )
    found["data.validation"] = (_one_or_list(roles.validation), "")
    found |= {f"data.sources.{name}": (entry, "") for name, entry in sources.entries.items()}
    found |= {f"models.{name}": ({}, "") for name in sorted(kept)}
    found["synthesize"] = ({}, "the data are your own")
    found["align_labels.sources"] = (list(roles.external), "")
    if not detector:
        found["train_detector.models"] = ({}, "")
    found["detect_people.sources"] = (dict.fromkeys(by_detector, f"models/detectors/{detector}"), "")
    found["mine_hard_negatives.sources"] = (list(mined), "")
    if not roles.unlabelled:
        found["train_teachers.models"] = ({}, "")
    found["pseudo_label.sources"] = (list(roles.unlabelled), "")
    found["strategies"] = ([phi_theta], why)
    found["evaluate.sets"] = (list(roles.validation), "")
    found["evaluate.boxes"] = (boxes, "")
    found["ablate_postprocessing.set"] = (roles.validation[0], "")
    found["ablate_postprocessing.boxes"] = (boxes[0], "")
    found["evaluate_ensemble"] = ({}, "")
    subject = subject_of(categories, sources.keypoints.names)
    found["report.title"] = (title_of(categories, subject), "")
    if subject != "people":
        found["report.subject"] = (subject, "")
    for path, leaf in advice(base, facts, machine, sources.keypoints, phi_theta).items():
        parent = ".".join(path.split(".")[:2])
        if found.get(parent, (None, ""))[0] == {} and parent.startswith("models."):
            del found[parent]  # something is said of it now
        found[path] = leaf
    return found, why


def _categories(labelled: Iterable[Found]) -> list[str]:
    return list(dict.fromkeys(str(name) for each in labelled for name in each.about.categories))


def _set_name(each: Found) -> str:
    """What a new keypoint set is called: by the only category, if that says anything, else by the folder."""
    categories = each.about.categories
    if len(categories) == 1 and str(categories[0]).lower() not in ("person", "people", "human", "0"):
        return slug(str(categories[0]))
    parents = [parent.name for parent in each.path.resolve().parents]
    return slug(next((name for name in parents if name and name.lower() not in _NAMELESS), each.path.stem))


def _one_or_list(names: Sequence[str]) -> str | list[str]:
    return names[0] if len(names) == 1 else list(names)


def shown(path: Path) -> str:
    """A path as params hold it: from the project's folder where it lies in or beside it, else absolute."""
    near = os.path.relpath(path.resolve())
    return near if not near.startswith(os.path.join("..", "..")) else str(path.resolve())


def write(made: Plan, *, force: bool) -> list[str]:
    """Write the files, params.yaml last; lines that say what was written and kept.

    A params.yaml that stands neither in git nor in a profile is kept beside it, unless `force` drops it. ValueError,
    and nothing written, where the params would not run.
    """
    said, new = [], [path for path in made.files if not path.exists()]
    for path, text in made.files.items():
        with written(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    try:
        checked(made)
    except ValueError:
        for path in new:
            path.unlink(missing_ok=True)
        raise
    if PARAMS_FILE.is_file() and not force and not kept_elsewhere(PARAMS_FILE):
        backup = next(p for n in range(1, 1000) if not (p := Path(f"{PARAMS_FILE}.before-init-{n}")).exists())
        with written(backup) as temporary:
            temporary.write_bytes(PARAMS_FILE.read_bytes())
        said.append(f"{PARAMS_FILE} had edits that stand nowhere else: kept as {backup}")
    with written(PARAMS_FILE) as temporary:
        temporary.write_text(made.params, encoding="utf-8")
    return [*said, *(f"wrote {shown(path)}" for path in [*made.files, PARAMS_FILE])]


def checked(made: Plan) -> Params:
    """The params that were thought of, validated."""
    return parse_params(load_yaml(made.params, str(PARAMS_FILE)), str(PARAMS_FILE), partial(lines_of, made.params))
