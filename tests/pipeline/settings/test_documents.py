"""What is made from the settings' models is made anew after a change of theirs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipeline.settings import documents
from pipeline.settings.profile import PROFILES, profile_text, profiles
from pipeline.settings.reading import load_yaml

ROOT = Path(__file__).parents[3]


def test_the_schema_and_the_page_are_not_stale() -> None:
    remedy = "run python -m pipeline.settings.documents"
    assert (ROOT / documents.SCHEMA).read_text() == documents.schema_text(), remedy
    assert (ROOT / documents.PAGE).read_text() == documents.page_text(), remedy


def test_params_name_the_schema_as_editors_read_it() -> None:
    first = (ROOT / "params.yaml").read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema={documents.SCHEMA}"
    assert (ROOT / documents.SCHEMA).is_file()
    assert all(profile_text(name).splitlines()[0] == first for name in profiles())


@pytest.mark.parametrize("name", sorted(profiles()))
def test_every_profile_fits_the_schema(name: str) -> None:
    jsonschema.validate(load_yaml(profile_text(name), name), json.loads(documents.schema_text()))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("train_joint", "epochs"), 0),
        (("train_joint", "epohcs"), 3),
        (("models", "lite0", "architecture"), "unet"),
        (("training", "augmentation", "flip"), 2.0),
        (("evaluate", "boxes"), ["annotated"]),
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(path: tuple[str, ...], value: Any) -> None:
    values = load_yaml((PROFILES / "built-in.yaml").read_text(), "x")
    section = values
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values, json.loads(documents.schema_text()))


def test_the_page_has_every_key_of_the_file_with_a_text() -> None:
    page = documents.page_text()
    for section, values in load_yaml((PROFILES / "built-in.yaml").read_text(), "x").items():
        assert f"## `{section}`" in page
        rows = page.split(f"## `{section}`")[1].split("\n## ")[0]
        for key in values if isinstance(values, dict) else ():
            if f"| `{key}` |" not in rows:
                assert "NAME" in rows or "..." in rows or "LETTER" in rows, f"{section}.{key}"
    assert not [line for line in page.splitlines() if line.startswith("| `") and line.rstrip().endswith("| |")]
