"""What a keypoint set is: names, mirror pairs, sigmas and limbs, declared once in a small YAML file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pipeline.records.text import check_yaml, one_line, read_file

BUILT_IN = Path(__file__).parents[1] / "keypoint_sets"


@dataclass(frozen=True)
class KeypointSet:
    """The keypoints of a data set, in the order its annotations list them.

    `name` is what it was asked for by: a name in `pipeline/keypoint_sets`, or a path. `sigmas` are COCO's per-keypoint
    OKS constants (None: no OKS can be computed, only PCK); `flip_pairs` and `limbs` are pairs of names; `upper_body`
    names the half that half-body augmentation may keep.
    """

    name: str
    names: tuple[str, ...]
    flip_pairs: tuple[tuple[str, str], ...]
    limbs: tuple[tuple[str, str], ...]
    sigmas: tuple[float, ...] | None
    upper_body: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON values, as `keypoint_set_from` reads it."""
        pairs = {key: [list(pair) for pair in getattr(self, key)] for key in ("flip_pairs", "limbs")}
        sigmas = None if self.sigmas is None else list(self.sigmas)
        return {"names": list(self.names), "sigmas": sigmas, "upper_body": list(self.upper_body), **pairs}

    def index(self, name: str) -> int:
        """Position of a keypoint; ValueError names the ones there are."""
        if name not in self.names:
            raise ValueError(f"keypoint set '{self.name}' has no '{name}'; it has {', '.join(self.names)}")
        return self.names.index(name)

    @property
    def mirror(self) -> np.ndarray:
        """[K] int64: for each keypoint, the one it becomes when the picture is mirrored."""
        order = np.arange(len(self.names))
        for left, right in self.flip_pairs:
            i, j = self.index(left), self.index(right)
            order[i], order[j] = j, i
        return order

    @property
    def flip_indices(self) -> list[tuple[int, int]]:
        """The mirror pairs as index pairs."""
        return [(self.index(left), self.index(right)) for left, right in self.flip_pairs]

    @property
    def limb_indices(self) -> list[tuple[int, int]]:
        """The limbs as index pairs, for drawing."""
        return [(self.index(a), self.index(b)) for a, b in self.limbs]

    def positions_in(self, other: KeypointSet) -> dict[int, int]:
        """Index here -> index in `other`, for the keypoints both have, matched by name (section 4.3)."""
        return {i: other.names.index(name) for i, name in enumerate(self.names) if name in other.names}


def load_keypoint_set(name_or_path: str) -> KeypointSet:
    """Read a set by its name in `pipeline/keypoint_sets` (`coco`, `aic`, ...), or anybody's own YAML file by its path.

    A name may be a path from that folder, without the ending: `../../my/set`. ValueError names the file and the key.
    """
    path = keypoint_file(name_or_path)
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in BUILT_IN.glob("*.yaml")))
        raise ValueError(f"keypoint set '{name_or_path}': neither a built-in set ({known}) nor a YAML file")
    return _read(name_or_path, path, path.stat().st_mtime_ns)


def keypoint_file(name_or_path: str) -> Path:
    """The YAML file of a set: a path that ends in .yaml or .yml, else a name in `pipeline/keypoint_sets`."""
    if name_or_path.endswith((".yaml", ".yml")):
        return Path(name_or_path)
    return BUILT_IN / f"{name_or_path}.yaml"


@cache
def _read(name: str, path: Path, modified: int) -> KeypointSet:
    """A set, read once for each state of its file."""
    text = read_file(path)
    check_yaml(text, str(path))
    try:
        raw = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:  # the others: a date or key that cannot be
        raise ValueError(f"{path}: not valid YAML: {one_line(error)}") from None
    return keypoint_set_from(raw, name, path)


def keypoint_set_from(raw: Any, asked_for: str, path: str | Path) -> KeypointSet:
    """A set from the content of its file; `path` names the file in errors."""
    if not isinstance(raw, dict):
        raise ValueError(f"{path}: expected a mapping with names, flip_pairs, limbs and sigmas")
    allowed = {"names", "flip_pairs", "limbs", "sigmas", "upper_body"}
    if unknown := set(raw) - allowed:
        raise ValueError(f"{path}: unknown key {sorted(unknown, key=str)[0]!r}; allowed: {', '.join(sorted(allowed))}")
    names = _strings(path, "names", raw.get("names"))
    if not names or len(set(names)) != len(names):
        raise ValueError(f"{path}: names: expected at least one name, each once, got {list(names)}")
    pairs = _pairs(path, "flip_pairs", raw.get("flip_pairs", []), names)
    mirrored = [name for pair in pairs for name in pair]
    if len(set(mirrored)) != len(mirrored):
        raise ValueError(f"{path}: flip_pairs: a keypoint stands in more than one pair: {mirrored}")
    upper = _strings(path, "upper_body", raw.get("upper_body", []))
    if missing := [name for name in upper if name not in names]:
        raise ValueError(f"{path}: upper_body: '{missing[0]}' is not among names")
    sigmas = raw.get("sigmas")
    if sigmas is not None:
        if not isinstance(sigmas, list) or len(sigmas) != len(names):
            raise ValueError(f"{path}: sigmas: expected {len(names)} numbers, one a name, got {sigmas!r}")
        # COCO's largest is 0.107; a sigma typed ten times too large makes every pose look right.
        for name, sigma in zip(names, sigmas, strict=True):
            if not isinstance(sigma, int | float) or isinstance(sigma, bool) or not 0.001 <= sigma <= 0.3:
                raise ValueError(
                    f"{path}: sigmas: {name} = {sigma!r}: allowed is 0.001 to 0.3 (COCO's are 0.025-0.107)"
                )
        sigmas = tuple(float(sigma) for sigma in sigmas)
    limbs = _pairs(path, "limbs", raw.get("limbs", []), names)
    return KeypointSet(asked_for, names, pairs, limbs, sigmas, upper)


def _strings(path: str | Path, key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{path}: {key}: expected a list of names, got {value!r}")
    return tuple(value)


def _pairs(path: str | Path, key: str, value: Any, names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, list):
        raise ValueError(f"{path}: {key}: expected a list of pairs of names, got {value!r}")
    pairs = []
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2 or pair[0] == pair[1]:
            raise ValueError(f"{path}: {key}: expected a pair of two names, got {pair!r}")
        if missing := [name for name in pair if name not in names]:
            raise ValueError(f"{path}: {key}: '{missing[0]}' is not among names")
        pairs.append((str(pair[0]), str(pair[1])))
    return tuple(pairs)
