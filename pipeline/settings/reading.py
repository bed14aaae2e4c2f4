"""Reading `params.yaml`: what it says, what that comes to, and every problem with its line, key, value and remedy."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from pipeline.records.text import check_yaml, clipped, one_line, printable, read_file
from pipeline.settings.checks import problems
from pipeline.settings.merging import ParamsFile, kind_at, origins, resolve, sections_in
from pipeline.settings.networks import DetectorModel, KeypointModel
from pipeline.settings.params import Params

PARAMS_FILE = Path("params.yaml")
Place = tuple[Any, ...]
Lines = Mapping[Place, int]

_ARCHITECTURES = ", ".join(
    repr(name)
    for kind in (KeypointModel, DetectorModel)
    for name in get_args(kind.model_fields["architecture"].annotation)
)
_MESSAGES = 20  # that are shown of one file
_REPR = 120  # characters of a value that a message shows


def load_params(path: str | Path = PARAMS_FILE) -> Params:
    """Read and validate the whole file. ValueError lists every problem: line, key's path, value, what is allowed."""
    path = Path(path)
    text = read_text(path)
    return parse_params(load_yaml(text, str(path)), str(path), partial(lines_of, text))


def read_text(path: Path) -> str:
    """The text of a params file; ValueError when there is none, or it is no text."""
    if not path.exists():
        raise ValueError(
            f"{path}: no such file; run from the project's folder, or make one with `ccm profile built-in`"
        )
    return read_file(path)


def load_yaml(text: str, where: str) -> Any:
    """The content of a YAML text, read as DVC reads it (YAML 1.2: 1e-3 is a number). ValueError names `where`."""
    check_yaml(text, where)
    try:
        return copy.deepcopy(_loaded(text))
    except (YAMLError, ValueError, TypeError, OverflowError) as error:  # the others: a date or key that cannot be
        raise ValueError(f"{where}: not valid YAML: {one_line(error)}") from None


@lru_cache(maxsize=8)  # a command asks for the same text several times: 56 ms for params.yaml, its copy takes 0.1
def _loaded(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


@lru_cache(maxsize=8)
def lines_of(text: str) -> Lines:
    """The line, counted from 1, that each key and list item of a YAML text stands on, by its place."""
    found: dict[Place, int] = {}
    root = YAML(typ="safe", pure=True).compose(text)
    if root is not None:
        _collect(root, (), found)
    return found


def _collect(node: Node, place: Place, found: dict[Place, int]) -> None:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            found[(*place, key.value)] = key.start_mark.line + 1
            _collect(value, (*place, key.value), found)
    elif isinstance(node, SequenceNode):
        for number, item in enumerate(node.value):
            found[(*place, number)] = item.start_mark.line + 1
            _collect(item, (*place, number), found)


def parse_params(raw: Any, where: str, lines: Callable[[], Lines] = dict) -> Params:
    """Validate the content of a params file and merge it; `where` names the file in errors, `lines` finds its lines,
    which only errors ask for.
    """
    if not isinstance(raw, dict):
        raise ValueError(f"{where}: expected a mapping of sections, got {type(raw).__name__}")
    try:
        ParamsFile.model_validate(raw)
    except ValidationError as error:
        _fail(where, [_message(problem) for problem in error.errors()], lines())
    merged, wrong_names = resolve(raw)
    if wrong_names:
        _fail(where, [(_place(line), line) for line in wrong_names], lines())
    try:
        params = Params.model_validate(merged)
    except ValidationError as error:
        known = lines()
        _fail(where, [_merged_message(problem, known) for problem in error.errors()], known)
    if found := problems(params):
        _fail(where, [(_place(line), line) for line in found], lines())
    return params


def _fail(where: str, messages: list[tuple[Place, str]], lines: Lines) -> None:
    """ValueError with a line for each message, the same one once, in the order of the file."""
    # A key may hold anything, the end of a line too.
    located = dict.fromkeys((_line(place, lines), printable(text).replace("\n", "\\n")) for place, text in messages)
    told = [clipped(f"{where}:{line}: {text}" if line else f"{where}: {text}") for line, text in sorted(located)]
    if len(told) > _MESSAGES:
        told[_MESSAGES:] = [f"{where}: and {len(told) - _MESSAGES} more"]
    raise ValueError("\n".join(told)) from None


def _line(place: Place, lines: Lines) -> int:
    """Where a place stands, or the nearest section about it; 0 where no line is known."""
    for length in range(len(place), 0, -1):
        if place[:length] in lines:
            return lines[place[:length]]
    return 0


def _place(line: str) -> Place:
    """The place that a message of ours is about: it starts with the key's path."""
    path = line.split(" ")[0].rstrip(":")
    return tuple(int(part) if part.isdigit() else part for part in path.split("."))


def _message(problem: Any) -> tuple[Place, str]:
    """A problem of the file itself."""
    place = _without_tag(problem["loc"])
    path, given = ".".join(map(str, place)), _shown(problem["input"])
    if problem["type"] == "extra_forbidden":
        return place, f"{path} = {given}: unknown key; allowed: {', '.join(_keys_at(place[:-1]))}"
    if problem["type"] == "missing":
        return place, f"{path}: missing; every key stands in the file (`ccm profile built-in` writes a complete one)"
    if problem["type"] in ("union_tag_invalid", "union_tag_not_found"):
        model = problem["input"]
        if not isinstance(model, dict):
            return place, f"{path} = {given}: a mapping that describes a network belongs there"
        given = _shown(model["architecture"]) if "architecture" in model else "missing"
        return (
            *place,
            "architecture",
        ), f"{path}.architecture = {given}: allowed: {_ARCHITECTURES}"
    return place, f"{path} = {given}: {problem['msg'].removeprefix('Value error, ')}"


def _merged_message(problem: Any, lines: Lines) -> tuple[Place, str]:
    """A problem of the merged params: what is missing in all places, or fits no other value."""
    places = origins(problem["loc"])
    if problem["type"] == "missing":
        others = " or ".join(".".join(map(str, place)) for place in places[1:])
        path = ".".join(map(str, places[0]))
        return places[0], f"{path}: missing" + (f"; set it here, or for others too as {others}" if others else "")
    place = next((place for place in places if place in lines), places[0])
    return place, f"{'.'.join(map(str, place))} = {_shown(problem['input'])}: {problem['msg']}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _REPR else f"{text[: _REPR - 4]} ..."


def _without_tag(place: Place) -> Place:
    """A place without the marks that pydantic adds: which kind of network it has tried."""
    if place[:1] == ("models",) and len(place) > 2:
        place = (*place[:2], *place[3:])
    return tuple(part for part in place if not str(part).startswith(("function-", "constrained-", "literal[")))


def _keys_at(place: Place) -> list[str]:
    """The keys that a section may have."""
    return sorted(key for section in sections_in(kind_at(place)) for key in section.model_fields)
