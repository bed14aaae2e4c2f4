"""The keypoint set of a data set, made of the names and limbs that its file declares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from pipeline.records.keypoints import BUILT_IN, KeypointSet, load_keypoint_set
from pipeline.records.sides import mirror_pairs, sided, upper_body, words_of

DEFAULT_SIGMA = 0.079
_MADE = "# Made by `ccm init`"
# COCO's sigma of the joint that a name speaks of; how exactly people place it (in COCO's paws are wrists).
_ALIKE = {
    "eye": 0.025, "nose": 0.026, "snout": 0.026, "beak": 0.026, "mouth": 0.026, "lip": 0.026, "ear": 0.035,
    "brow": 0.026, "chin": 0.035, "jaw": 0.035, "shoulder": 0.079, "neck": 0.079, "head": 0.079, "elbow": 0.072,
    "wrist": 0.062, "hand": 0.062, "finger": 0.062, "thumb": 0.062, "hip": 0.107, "pelvis": 0.107, "tail": 0.107,
    "knee": 0.087, "ankle": 0.089, "foot": 0.089, "toe": 0.089, "heel": 0.089, "paw": 0.089, "hoof": 0.089,
}  # fmt: skip


@dataclass(frozen=True)
class OwnSet:
    """A keypoint set by the name that params give it; `text` is its new file, None where it is there already.

    `notes` say what was found and what was guessed.
    """

    name: str
    names: tuple[str, ...]
    upper_body: tuple[str, ...]
    mirrored: bool
    text: str | None
    notes: tuple[str, ...]


def own_set(
    wanted: str, names: Sequence[str], limbs: Sequence[Sequence[str]], origin: str, folder: Path = BUILT_IN
) -> OwnSet:
    """The set of these names: one that exists with just these, in this order, else a new one named `wanted`."""
    known = {path.stem: load_keypoint_set(str(path)) for path in sorted(folder.glob("*.yaml"))}
    for stem, keypoints in known.items():
        if keypoints.names == tuple(names):
            note = f"keypoints: the {len(names)} of the set {stem!r}, which is there"
            return OwnSet(stem, keypoints.names, keypoints.upper_body, bool(keypoints.flip_pairs), None, (note,))
    name = wanted
    while name in known:
        head, _, number = name.rpartition("-")
        name = f"{head}-{int(number) + 1}" if head and number.isdecimal() else f"{name}-2"
    pairs, upper = mirror_pairs(names), upper_body(names)
    sigmas, guessed = _sigmas(names, [known[stem] for stem in known if not _is_made(folder / f"{stem}.yaml")])
    text = _text(names, pairs, limbs, sigmas, upper, origin, guessed)
    notes = [f"keypoints: a new set {name!r} of {len(names)}, with {len(pairs)} mirror pairs and {len(limbs)} limbs"]
    paired = {each for pair in pairs for each in pair}
    if alone := [each for each in sided(names) if each not in paired]:
        notes.append(f"warning: {', '.join(alone)}: a side without its counterpart, itself in a mirror")
    if guessed:
        notes.append(
            f"warning: the sigmas of {_some(guessed)} are guessed from COCO's of similar joints: OKS and AP compare "
            "models of this set with each other, and with nothing else. Measure them (two people label the same "
            f"pictures) and edit pipeline/keypoint_sets/{name}.yaml"
        )
    return OwnSet(name, tuple(names), tuple(upper), bool(pairs), text, tuple(notes))


def _sigmas(names: Sequence[str], known: Sequence[KeypointSet]) -> tuple[list[float], list[str]]:
    """A sigma for each name, and the names whose sigma is a guess: those that no known set has."""
    published: dict[tuple[str, ...], float] = {}
    for keypoints in sorted(known, key=lambda each: Path(each.name).stem != "coco"):
        for name, sigma in zip(keypoints.names, keypoints.sigmas or (), strict=False):
            published.setdefault(tuple(words_of(name)), sigma)
    guessed = [name for name in names if tuple(words_of(name)) not in published]
    return [published.get(tuple(words_of(name)), _alike(name)) for name in names], guessed


def _alike(name: str) -> float:
    return next((s for part, s in _ALIKE.items() if any(part in word for word in words_of(name))), DEFAULT_SIGMA)


def _is_made(path: Path) -> bool:
    return path.read_text(encoding="utf-8-sig").startswith(_MADE)


def _text(
    names: Sequence[str],
    pairs: Sequence[Sequence[str]],
    limbs: Sequence[Sequence[str]],
    sigmas: Sequence[float],
    upper: Sequence[str],
    origin: str,
    guessed: Sequence[str],
) -> str:
    alike = f"# Guessed from COCO's of similar joints, {DEFAULT_SIGMA} where none is: {_some(guessed)}.\n"
    doubt = alike if guessed else ""
    parts = {
        "names": list(names),
        "flip_pairs": [list(pair) for pair in pairs],
        "limbs": [list(limb) for limb in limbs],
        "sigmas": list(sigmas),
        "upper_body": list(upper),
    }
    lines = [
        (doubt if key == "sigmas" else "")
        + yaml.safe_dump({key: value}, default_flow_style=None, width=118, allow_unicode=True, sort_keys=False)
        for key, value in parts.items()
    ]
    return f"{_MADE} from {origin}; mirror pairs and the upper body follow from the names.\n" + "".join(lines)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
