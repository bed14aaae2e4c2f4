"""What the names of keypoints tell: which are left and right of each other, which belong to the upper body."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Left and right as people write them. Single letters are sides only where both of a pair are there.
WORDS = (
    ("left", "right"), ("links", "rechts"), ("linke", "rechte"), ("linker", "rechter"), ("linkes", "rechtes"),
    ("gauche", "droite"), ("gauche", "droit"), ("izquierda", "derecha"), ("izquierdo", "derecho"), ("izq", "der"),
    ("sinistra", "destra"), ("sinistro", "destro"), ("esquerda", "direita"), ("esquerdo", "direito"),
    ("lewy", "prawy"), ("lewa", "prawa"), ("lewe", "prawe"), ("vänster", "höger"), ("vanster", "hoger"),
    ("venstre", "højre"), ("venstre", "høyre"), ("venstre", "hoyre"), ("hidari", "migi"), ("sol", "sağ"),
    ("левый", "правый"), ("левая", "правая"), ("левое", "правое"), ("左", "右"),
    ("lft", "rgt"), ("lt", "rt"), ("sx", "dx"), ("l", "r"), ("g", "d"), ("i", "d"),
)  # fmt: skip
_SIDED = {word for pair in WORDS for word in pair if len(word) > 1 or word in "左右lr"}
_UPPER = (
    "nose", "eye", "ear", "head", "neck", "face", "mouth", "chin", "lip", "brow", "jaw", "shoulder", "elbow", "wrist",
    "hand", "finger", "thumb", "palm", "arm", "chest", "beak", "snout", "front", "fore", "upper", "throat",
)  # fmt: skip
_LOWER = (
    "hip", "knee", "ankle", "foot", "feet", "toe", "heel", "leg", "pelvis", "thigh", "tail", "back", "hind", "rear",
    "lower",
)  # fmt: skip


def words_of(name: str) -> list[str]:
    """`LWrist`, `l_wrist` and `wrist-L` in their words, lower case: [l, wrist], [l, wrist], [wrist, l]."""
    parts = re.findall(r"[左右]|[^\W\d_左右]+|\d+", name)
    words: list[str] = []
    for part in parts:
        words += re.findall(r"[A-ZÄÖÅ]+(?![a-zäöå])|[A-ZÄÖÅ]?[^A-ZÄÖÅ\d]+|\d+", part) or [part]
    return [word.lower() for word in words]


def mirror_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs (left, right) that become each other in a mirrored picture, by their names; each name once at most."""
    keys = {tuple(words_of(name)): name for name in names}
    joined = {"".join(key): name for key, name in keys.items()}
    pairs: list[tuple[str, str]] = []
    taken: set[str] = set()
    for left, right in WORDS:
        for key, name in keys.items():
            other = _by_word(key, left, right, keys) or _glued("".join(key), left, right, joined)
            if other is not None and not {name, other} & taken and name != other:
                pairs.append((name, other))
                taken |= {name, other}
    return sorted(pairs, key=lambda pair: min(names.index(name) for name in pair))


def sided(names: Sequence[str]) -> list[str]:
    """The names that speak of a side in so many words."""
    return [name for name in names if set(words_of(name)) & _SIDED]


def upper_body(names: Sequence[str]) -> list[str]:
    """The names of the upper half (a quadruped's front); [] where the names do not tell two halves apart."""
    lower = [name for name in names if _speaks_of(name, _LOWER) and not _speaks_of(name, ["front", "fore", "upper"])]
    upper = [name for name in names if name not in lower and _speaks_of(name, _UPPER)]
    return upper if len(upper) > 1 and len(lower) > 1 else []


def _by_word(key: tuple[str, ...], left: str, right: str, keys: dict[tuple[str, ...], str]) -> str | None:
    for place, word in enumerate(key):
        if word != left:
            continue
        before, after = key[:place], key[place + 1 :]
        if len(left) == 1:  # a to z are no sides
            letters = {
                other[place]
                for other in keys
                if len(other) == len(key) and other[:place] == before and other[place + 1 :] == after
            }
            if letters - {left, right} and all(len(letter) == 1 for letter in letters):
                continue
        if found := keys.get((*before, right, *after)):
            return found
    return None


def _glued(name: str, left: str, right: str, joined: dict[str, str]) -> str | None:
    """`lefteye` and `eyeleft`, `lwrist`: the side at one end of the word, where its counterpart is there."""
    if left in ("g", "i"):
        return None
    if name.startswith(left) and (found := joined.get(right + name.removeprefix(left))):
        return found
    if len(left) > 1 and name.endswith(left) and (found := joined.get(name.removesuffix(left) + right)):
        return found
    return None


def _speaks_of(name: str, parts: Sequence[str]) -> bool:
    words = words_of(name)
    return any(word == part or (len(part) > 3 and part in word) for word in words for part in parts)
