"""Editing `params.yaml` by command: switching to a profile, setting single keys. The file stays the only truth."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.records.artefacts import written
from pipeline.settings.params import PARAMS_FILE, parse_params

PROFILES = Path(__file__).parents[1] / "profiles"
_ABSENT = object()


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
    text = _profile_text(name)
    before = _load(path.read_text(), str(path)) if path.is_file() else {}
    return changes(before, _load(text, name))


def use_profile(name: str, path: Path = PARAMS_FILE, *, force: bool = False) -> None:
    """Write a profile over `path`.

    ValueError when `path` holds edits that stand neither in git's last commit nor in a profile; `force` drops them.
    """
    text = _profile_text(name)
    if not force and path.is_file() and not _kept_elsewhere(path):
        raise ValueError(
            f"{path}: has edits that are neither committed nor a saved profile, and switching would lose them. "
            f"Commit it (git commit {path}), save it (cp {path} {PROFILES}/my-profile.yaml), or add --force"
        )
    with written(path) as temporary:
        temporary.write_text(text)


def assign(settings: Sequence[str], path: Path = PARAMS_FILE) -> list[Change]:
    """Set keys (`train_joint.training.epochs=3`) in `path`, keeping its comments, and return what changed.

    The result is validated as a whole before anything is written; ValueError names the setting or key that is wrong.
    """
    values = {}
    for setting in settings:
        key, value = split_setting(setting)
        values[key] = parse_value(value, setting)
    text = edited(values, path)
    found = changes(_load(path.read_text(), str(path)), _load(text, str(path)))
    if found:
        with written(path) as temporary:
            temporary.write_text(text)
    return found


def edited(values: Mapping[str, Any], path: Path = PARAMS_FILE) -> str:
    """The text of `path` with these keys set, comments kept; ValueError unless the whole of it is valid."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file; make one with `ccm profile built-in`")
    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 4096
    editor.indent(mapping=2, sequence=4, offset=2)
    editor.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    document = editor.load(path.read_text())
    for key, value in values.items():
        _set(document, key, value)
    stream = io.StringIO()
    editor.dump(document, stream)
    parse_params(_load(stream.getvalue(), str(path)), str(path))
    return stream.getvalue()


def parse_value(text: str, where: str) -> Any:
    """A setting's value, read as YAML: numbers, true, null, [lists], {mappings}, else a string."""
    return _load(text, where)


def split_setting(setting: str) -> tuple[str, str]:
    """`key=value` in its two halves; ValueError when it is not that."""
    key, sign, value = setting.partition("=")
    if not sign or not key.strip():
        raise ValueError(f"{setting!r}: a setting is written key=value, for example train_joint.training.epochs=3")
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
        elif isinstance(node, dict) and part not in node:
            raise ValueError(f"{key}: no key {part!r} in {where}; allowed: {', '.join(map(str, node))}")
        else:
            node = node[index]


def _profile_text(name: str) -> str:
    known = profiles()
    if name not in known:
        raise ValueError(f"profile {name!r}: there is none of that name; allowed: {', '.join(known) or 'none yet'}")
    text = known[name].read_text()
    parse_params(_load(text, str(known[name])), str(known[name]))
    return text


def _kept_elsewhere(path: Path) -> bool:
    mine = _load(path.read_text(), str(path))
    return any(_same(mine, text) for text in _kept_texts(path))


def _kept_texts(path: Path) -> Iterable[str]:
    yield from (profile.read_text() for profile in profiles().values())
    command = ["git", "show", f"HEAD:./{path.name}"]
    try:
        yield subprocess.run(command, capture_output=True, text=True, check=True, cwd=path.resolve().parent).stdout
    except (OSError, subprocess.CalledProcessError):  # no git, no commit, or not in it
        return


def _same(values: Any, text: str) -> bool:
    try:
        return bool(values == _load(text, ""))
    except ValueError:
        return False


def _load(text: str, where: str) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise ValueError(f"{where}: not valid YAML: {error}") from error
