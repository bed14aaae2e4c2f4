"""What every section of the params has in common, and the kinds of values they are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Size = Annotated[list[Annotated[int, Field(ge=32, le=2048)]], Field(min_length=2, max_length=2)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
_NAME = {"type": "string", "pattern": r"^[A-Za-z0-9_-]+$"}
Names = Annotated[
    list[Name],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [_NAME, {"type": "array", "items": _NAME, "minItems": 1}]}),
]
"""One name, or a list of them; a list in any case once it is read."""


def one_of(names: Sequence[str]) -> Callable[[str], str]:
    """A check that a text is one of these names, for those that the code has and the settings do not repeat."""

    def check(value: str) -> str:
        if value not in names:
            raise ValueError(f"allowed: {', '.join(names)}")
        return value

    return check


class Section(BaseModel):
    """A part of the params file: no unknown keys, no silent conversions, no changes after reading.

    The text below a field is its documentation: in `docs/params.md`, and in an editor that reads the JSON schema.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)
