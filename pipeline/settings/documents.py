"""What is made from the settings' models: the JSON schema that editors complete by, and the page of all keys.

`python -m pipeline.settings.documents` writes both; a test fails where they are stale.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pipeline.records.artefacts import written
from pipeline.settings.merging import Overrides, ParamsFile, Shared, sections_in
from pipeline.settings.networks import Training
from pipeline.settings.section import Section

SCHEMA, PAGE = Path("params.schema.json"), Path("docs/params.md")
_WHOLE = {Shared, *(field.annotation for field in Shared.model_fields.values())}
_HEAD = """# Every key of params.yaml

Made from the settings' models by `python -m pipeline.settings.documents`. `ccm params` checks the file, `ccm params
show [SECTION]` prints what it comes to. An editor that reads `params.schema.json`, which the first line of
`params.yaml` names, completes these keys and shows this text.

Networks stand once, by name, under `models`. What all trainings of keypoint models share stands once, under `training`;
the sections `train_joint`, `fine_tune`, `train_teachers.training` (all teachers) and `train_teachers.models.NAME` (one
of them) may hold any key of `training` again, down to `optimizer.learning_rate`, and theirs wins. Every key of a
training must stand in one of the two places, every other key in the file. A round's `training` and its
`students.NAME` are the same again.
"""


def schema_text() -> str:
    """The JSON schema of `params.yaml`."""
    schema = _without_defaults(ParamsFile.model_json_schema())
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"


def _without_defaults(value: Any) -> Any:
    """A schema without the defaults and titles that pydantic adds: nothing in the file has a default."""
    if isinstance(value, dict):
        return {
            key: _without_defaults(inner)
            for key, inner in value.items()
            if not (key == "default" or (key == "title" and isinstance(inner, str)))
        }
    return [_without_defaults(inner) for inner in value] if isinstance(value, list) else value


def page_text() -> str:
    """The page of all keys: a table for each section, in the order of the file."""
    parts = [_HEAD]
    for name, kind in _hints(ParamsFile).items():
        about = ParamsFile.model_fields[name].description or ""
        parts.append(f"\n## `{name}`\n\n{about}\n")
        rows = list(_rows(kind, ""))
        if rows:
            parts.append("\n| key | allowed | what it is |\n|---|---|---|\n" + "\n".join(rows) + "\n")
        else:
            parts.append(f"\nAllowed: {_allowed(kind)}.\n")
    return "".join(parts)


def _hints(model: type[Section]) -> dict[str, Any]:
    hints = get_type_hints(model, include_extras=True)
    return {name: hints[name] for name in model.model_fields}


def _rows(kind: Any, prefix: str) -> Iterator[str]:
    """Lines of the table for what stands below a key."""
    plain = _plain(kind)
    if get_origin(plain) is dict:
        names, values = get_args(plain)
        name = "NAME" if get_origin(_plain(names)) is not Literal else "LETTER"
        options = sections_in(values)
        if not options and prefix:
            return
        for option in options:
            yield from _rows(option, f"{prefix}{name}.")
    elif isinstance(plain, type) and issubclass(plain, Section):
        again = issubclass(plain, Overrides) and plain not in _WHOLE
        if again:
            yield f"| `{prefix}`... | | Any key of `training`: what is different here. |"
        for key, inner in _hints(plain).items():
            if again and key in Training.model_fields:
                continue
            about = (plain.model_fields[key].description or "").replace("\n", " ")
            nested = list(_rows(inner, f"{prefix}{key}."))
            yield f"| `{prefix}{key}` | {'' if nested else _allowed(inner)} | {about} |"
            yield from nested


def _plain(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _allowed(kind: Any) -> str:
    """What a value may be, in words."""
    plain = _plain(kind)
    origin, inner = get_origin(plain), get_args(plain)
    if origin is Literal:
        return " \\| ".join(map(str, inner))
    if origin in (Union, types.UnionType):
        return " \\| ".join(map(_allowed, inner))
    if origin is list:
        return f"list of {_allowed(inner[0])}"
    if origin is dict:
        return f"mapping of {_allowed(inner[1])}"
    if isinstance(plain, type) and issubclass(plain, Section):
        return "{" + ", ".join(f"{key}: {_allowed(inner)}" for key, inner in _hints(plain).items()) + "}"
    names = [extra["enum"] for extra in _extras(kind)]
    if names:
        return " \\| ".join(names[0])
    words = {str: "text", int: "whole number", float: "number", bool: "true \\| false", type(None): "null"}
    return words.get(plain, getattr(plain, "__name__", str(plain))) + _bounds(kind)


def _extras(kind: Any) -> list[Any]:
    marks = get_args(kind)[1:] if get_origin(kind) is Annotated else ()
    return [mark.json_schema_extra for mark in marks if getattr(mark, "json_schema_extra", None)]


def _bounds(kind: Any) -> str:
    if get_origin(kind) is not Annotated:
        return ""
    found = []
    for field in get_args(kind)[1:]:
        for mark in getattr(field, "metadata", []):
            for name, sign in (("ge", "from"), ("gt", "above"), ("le", "to"), ("lt", "below")):
                if getattr(mark, name, None) is not None:
                    found.append(f" {sign} {getattr(mark, name)}")
    return "".join(found)


def write() -> None:
    """Write both beside `params.yaml`."""
    for path, text in ((SCHEMA, schema_text()), (PAGE, page_text())):
        with written(path) as temporary:
            temporary.write_text(text)


if __name__ == "__main__":
    write()
