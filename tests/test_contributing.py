"""CONTRIBUTING.md says where a new thing goes: each of its examples is added to a copy of the project and works."""

from __future__ import annotations

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


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_works(name: str, tmp_path: Path) -> None:
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    for file in FILES:
        shutil.copy(ROOT / file, tmp_path / file)
    example = EXAMPLES[name]
    for path, text in example.add.items():
        assert not (tmp_path / path).exists()
        (tmp_path / path).write_text(text)
    for key, (old, new) in example.replace.items():
        path = tmp_path / key.split("#")[0]
        assert path.read_text().count(old) == 1, f"{key}: {old!r}"
        path.write_text(path.read_text().replace(old, new))
    (tmp_path / "check.py").write_text(example.check)
    surroundings = os.environ | {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    surroundings.pop("PREFECT_API_URL", None)
    done = subprocess.run([sys.executable, "check.py"], cwd=tmp_path, env=surroundings, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
