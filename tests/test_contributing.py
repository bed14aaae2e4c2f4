"""CONTRIBUTING.md says where a new thing goes: its examples are added to a copy of the project and work."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.edits import EXAMPLES, Example

ROOT = Path(__file__).parents[1]
ROOMS = ("flows", "pipeline", "model", "postproc", "tests")
FILES = ("dvc.yaml", "params.yaml")


def files_of(example: Example) -> set[str]:
    return {name.split("#")[0] for name in example.files}


def test_each_touches_two_files_at_most() -> None:
    assert all(len(files_of(example)) <= 2 for example in EXAMPLES.values())


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_page_names_the_files(name: str) -> None:
    """The table's row of this kind lists what the example touches, folders for what is new."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith(f"| {name} "))
    listed = re.findall(r"`([^`]+)`", row.split("|")[2])
    patterns = [entry.replace("NAME", r"\w+").replace("NN", r"\d\d") for entry in listed]
    unlisted = [path for path in files_of(EXAMPLES[name]) if not any(re.fullmatch(p, path) for p in patterns)]
    assert not unlisted
    assert len(listed) == len(files_of(EXAMPLES[name]))


_CHECKS = """
import json, os, traceback
from pathlib import Path
found, here = {}, Path.cwd()
for name, check in json.loads(Path("checks.json").read_text()).items():
    os.chdir(here)
    try:
        exec(compile(check, name, "exec"), {})
        found[name] = ""
    except Exception:
        found[name] = traceback.format_exc()
(here / "found.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What went wrong with each, all of them added to one copy of the project."""
    folder = tmp_path_factory.mktemp("copy")
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("*.pyc"))
    for file in FILES:
        shutil.copy(ROOT / file, folder / file)
    for example in EXAMPLES.values():
        for path, text in example.add.items():
            assert not (folder / path).exists()
            (folder / path).write_text(text)
        for key, (old, new) in example.replace.items():
            path = folder / key.split("#")[0]
            assert path.read_text().count(old) == 1, f"{key}: {old!r}"
            path.write_text(path.read_text().replace(old, new))
    (folder / "checks.json").write_text(json.dumps({name: example.check for name, example in EXAMPLES.items()}))
    surroundings = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    surroundings.pop("PREFECT_API_URL", None)
    subprocess.run([sys.executable, "-c", _CHECKS], cwd=folder, env=surroundings, check=True)
    return dict(json.loads((folder / "found.json").read_text()))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_works(name: str, found: dict[str, str]) -> None:
    assert found[name] == ""
