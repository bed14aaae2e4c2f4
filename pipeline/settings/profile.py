"""Editing `params.yaml` by command: switching to a profile, setting single keys. The file stays the only truth."""

from __future__ import annotations

import copy
import io
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_origin

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import CommentMark
from ruamel.yaml.tokens import CommentToken

from pipeline.records.artefacts import written
from pipeline.settings.merging import ParamsFile, kind_at
from pipeline.settings.reading import PARAMS_FILE, lines_of, load_yaml, parse_params, read_text

PROFILES = Path(__file__).parents[1] / "profiles"
BASE = "built-in"  # the profile that is written out in full; the others say what is different
_ABSENT = object()
_SCHEMA_LINE = "# yaml-language-server: $schema=params.schema.json"


class Change(NamedTuple):
    """One key that differs; `before` or `after` is None with `kind` "added" or "removed"."""

    key: str
    before: Any
    after: Any
    kind: str

    def __str__(self) -> str:
        if self.kind == "added":
            return f"+ {self.key} = {self.after!r}"
        if self.kind == "removed":
            return f"- {self.key} (was {self.before!r})"
        return f"  {self.key}: {self.before!r} -> {self.after!r}"


def profiles() -> dict[str, Path]:
    """The profiles that exist, by name."""
    return {path.stem: path for path in sorted(PROFILES.glob("*.yaml"))}


def about(name: str) -> str:
    """What a profile is for: the first sentence of its header."""
    text = profiles()[name].read_text()
    header = " ".join(line[1:].strip() for line in text.splitlines() if line.startswith("#") and "$schema" not in line)
    sentence = re.split(r"(?<=[.;]) ", header.partition(":")[2].strip())[0]
    return sentence.rstrip(".;")


def profile_text(name: str) -> str:
    """A profile as `params.yaml` holds it: the built-in one, with what is different in this one, and both's comments.

    Sections are merged key by key; a list is replaced, and of a mapping of names (networks, sources, ...) what the
    profile names is kept. ValueError for an unknown or invalid profile.
    """
    known = profiles()
    if name not in known:
        raise ValueError(f"profile {name!r}: there is none of that name; allowed: {', '.join(known) or 'none yet'}")
    text = known[name].read_text()
    if name != BASE and not _is_complete(load_yaml(text, str(known[name]))):
        text = overlaid(known[BASE].read_text(), text)
    parse_params(load_yaml(text, str(known[name])), str(known[name]))
    return text


def _is_complete(values: Any) -> bool:
    """Whether a file stands alone: a copy of params.yaml that somebody saved as a profile."""
    return isinstance(values, dict) and set(ParamsFile.model_fields) <= set(values)


def changes(before: Any, after: Any, prefix: str = "") -> list[Change]:
    """Every leaf that differs between two nested mappings; a list is one leaf."""
    if isinstance(before, dict) and isinstance(after, dict) and (before or after):
        found = []
        for key in list(before) + [key for key in after if key not in before]:
            path = f"{prefix}.{key}" if prefix else str(key)
            found += changes(before.get(key, _ABSENT), after.get(key, _ABSENT), path)
        return found
    if before is _ABSENT:
        return [Change(prefix, None, after, "added")]
    if after is _ABSENT:
        return [Change(prefix, before, None, "removed")]
    return [] if before == after else [Change(prefix, before, after, "changed")]


def profile_changes(name: str, path: Path = PARAMS_FILE) -> list[Change]:
    """What switching `path` to a profile would change. ValueError for an unknown or invalid profile."""
    before = load_yaml(read_text(path), str(path)) if path.is_file() else {}
    return changes(before, load_yaml(profile_text(name), name))


def use_profile(name: str, path: Path = PARAMS_FILE, *, force: bool = False) -> None:
    """Write a profile over `path`.

    ValueError when `path` holds edits that stand neither in git's last commit nor in a profile; `force` drops them.
    """
    text = profile_text(name)
    if not force and path.is_file() and not kept_elsewhere(path):
        raise ValueError(
            f"{path}: has edits that are neither committed nor a saved profile, and switching would lose them. "
            f"Commit it (git commit {path}), save it (cp {path} {PROFILES}/my-profile.yaml), or add --force"
        )
    with written(path) as temporary:
        temporary.write_text(text)


def assign(settings: Sequence[str], path: Path = PARAMS_FILE) -> list[Change]:
    """Set keys (`train_joint.epochs=3`) in `path`, keeping its comments, and return what changed.

    The result is validated as a whole before anything is written; ValueError names the setting or key that is wrong.
    """
    values = {}
    for setting in settings:
        key, value = split_setting(setting)
        values[key] = parse_value(value, setting)
    text = edited(values, path)
    found = changes(load_yaml(read_text(path), str(path)), load_yaml(text, str(path)))
    if found:
        with written(path) as temporary:
            temporary.write_text(text)
    return found


def edited(values: Mapping[str, Any], path: Path = PARAMS_FILE) -> str:
    """The text of `path` with these keys set, comments kept; ValueError unless the whole of it is valid."""
    before = read_text(path)
    if not isinstance(load_yaml(before, str(path)), dict):
        raise ValueError(f"{path}: no mapping of sections; `ccm profile built-in` writes one")
    document = _editor().load(before)
    for key, value in values.items():
        _set(document, key, value)
    text = _dumped(document)
    parse_params(load_yaml(text, str(path)), str(path), partial(lines_of, text))
    return text


def parse_value(text: str, where: str) -> Any:
    """A setting's value, read as YAML: numbers, true, null, [lists], {mappings}, else a string."""
    return load_yaml(text, where)


def split_setting(setting: str) -> tuple[str, str]:
    """`key=value` in its two halves; ValueError when it is not that."""
    key, sign, value = setting.partition("=")
    if not sign or not key.strip():
        raise ValueError(f"{setting!r}: a setting is written key=value, for example train_joint.epochs=3")
    return key.strip(), value


def _set(document: Any, key: str, value: Any) -> None:
    parts = key.split(".")
    node = document
    for depth, part in enumerate(parts):
        where = ".".join(parts[:depth]) or "the file"
        index: Any = part
        if isinstance(node, list):
            if not part.isdigit() or int(part) >= len(node):
                raise ValueError(f"{key}: {where} is a list of {len(node)}; allowed: a number below that")
            index = int(part)
        elif not isinstance(node, dict):
            raise ValueError(f"{key}: {where} is a value and has no key {part!r}")
        if depth == len(parts) - 1:
            node[index] = value
            return
        if isinstance(node, dict) and part not in node:
            if not _may_be_added(parts[: depth + 1]):
                raise ValueError(f"{key}: no key {part!r} in {where}; allowed: {', '.join(map(str, node))}")
            node[index] = _inline()
        node = node[index]


def _may_be_added(parts: Sequence[str]) -> bool:
    """Whether a section that the file leaves out may stand there: one of `training` that a stage says anew."""
    return kind_at(parts) is not None


def _editor() -> YAML:
    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 4096
    editor.indent(mapping=2, sequence=4, offset=2)
    editor.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return editor


def _dumped(document: Any) -> str:
    stream = io.StringIO()
    _editor().dump(document, stream)
    return stream.getvalue()


def _inline() -> CommentedMap:
    made = CommentedMap()
    made.fa.set_flow_style()
    return made


def overlaid(base: str, text: str) -> str:
    """A complete params text with what `text` says over it, values and comments, and the header of `text`."""
    document, own = _editor().load(base), _editor().load(text)
    _strip_gaps(document)
    _strip_gaps(own)
    _overlay(document, own, ())
    document.ca.comment = None
    body = re.sub(r"^(?=\w+:(?: .*)?$)", "\n", _dumped(document), flags=re.MULTILINE)  # a gap before each section
    header = [line for line in text.splitlines() if line.startswith("#")]
    return "\n".join([_SCHEMA_LINE, *header, body.lstrip("\n")])


def _overlay(base: CommentedMap, own: CommentedMap, place: tuple[str, ...]) -> None:
    """Put `own` over `base`, values and the comments beside them."""
    if _names(place):
        for key in [key for key in base if key not in own]:
            del base[key]
            base.ca.items.pop(key, None)
    for key, value in own.items():
        before = base.get(key)
        if isinstance(value, CommentedMap) and isinstance(before, CommentedMap):
            if value or not _names((*place, key)):
                _overlay(before, value, (*place, key))
            else:
                base[key] = _inline()
        else:
            base[key] = copy.deepcopy(value)
        if key in own.ca.items:
            base.ca.items[key] = own.ca.items[key]


def _names(place: tuple[str, ...]) -> bool:
    """Whether the keys at a place are names that people choose, not a section's."""
    return get_origin(kind_at(place)) is dict


def _strip_gaps(node: Any) -> None:
    """Keep of every comment what stands beside a value; blank lines are made anew."""
    if isinstance(node, CommentedMap):
        for key, tokens in list(node.ca.items.items()):
            beside = next((t for t in tokens if isinstance(t, CommentToken)), None)
            line = beside.value.split("\n")[0] if beside is not None else ""
            node.ca.items.pop(key)
            if line.startswith("#"):
                column = beside.start_mark.column if beside is not None else 0
                node.ca.items[key] = [None, None, CommentToken(line + "\n", CommentMark(column), None), None]
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _strip_gaps(inner)


def kept_elsewhere(path: Path) -> bool:
    """Whether what `path` says stands in a profile or in git's last commit too."""
    mine = load_yaml(read_text(path), str(path))
    return any(_same(mine, text) for text in _kept_texts(path))


def _kept_texts(path: Path) -> Iterable[str]:
    yield from map(profile_text, profiles())
    command = ["git", "show", f"HEAD:./{path.name}"]
    try:
        yield subprocess.run(command, capture_output=True, text=True, check=True, cwd=path.resolve().parent).stdout
    except (OSError, subprocess.CalledProcessError):  # no git, no commit, or not in it
        return


def _same(values: Any, text: str) -> bool:
    try:
        return bool(values == load_yaml(text, ""))
    except ValueError:
        return False
