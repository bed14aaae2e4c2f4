"""Whatever a user gets wrong, `ccm` answers in lines without a traceback, with the file or key, and exit status 2."""

from __future__ import annotations

import copy
import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from flows.cli import main
from model import build, checkpoints
from pipeline.records.artefacts import write_json, written
from pipeline.settings import parse_params
from pipeline.settings.profile import PROFILES, profile_text
from pipeline.settings.reading import load_yaml

ROOT = Path(__file__).parents[2]
BUILT_IN: dict[str, Any] = load_yaml(profile_text("built-in"), "built-in")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copy(PROFILES / "built-in.yaml", "params.yaml")
    shutil.copy(ROOT / "dvc.yaml", "dvc.yaml")
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *typed: str, mentions: str = "") -> str:
    """What a command says to wrong input."""
    capsys.readouterr()
    try:
        code = main(typed)
    except SystemExit as left:  # argparse
        code = int(left.code or 0)
    said = capsys.readouterr()
    assert code == 2, said
    assert "Traceback" not in said.err + said.out
    assert mentions in said.err
    assert len(said.err) < 20_000
    return said.err


ITEMS = [
    ("train_joint", None), ("train_joint", "X"), ("train_teachers", None), ("train_teachers", "X"),
    ("train_detector", "X"), ("synthesize", None), ("synthesize", "X"), ("evaluate_ensemble", None),
    ("evaluate_ensemble", "X"), ("ingest", None), ("ingest", "../../etc"), ("report", "X"), ("nothing", None),
    ("..", None), ("", None), ("\x1b[2J", "\x1b[2J"),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "item"), ITEMS)
def test_stages_and_items_that_there_are_not(
    project: Path, capsys: pytest.CaptureFixture[str], stage: str, item: str | None
) -> None:
    said = refused(capsys, "stage", stage, *([] if item is None else [item]), mentions="stage")
    assert "\x1b" not in said
    assert not Path("data").exists()


@pytest.mark.parametrize(
    "typed",
    [
        ["ui", "--port", "99999"], ["ui", "--port", "http"], ["ui", "--port", "80"], ["run", "-S", "x"],
        ["run", "-S", "report.seed=[" + "[" * 100_000], ["params", "show", "nothing"], ["profile", "nothing"],
        ["export", "models/final/X"], ["predict", "nothing.jpg", "--lines"], ["stage"], ["nothing"],
        ["doctor", "--plan", "--rates", "nothing.json"], ["show", "nothing"],
    ],
)  # fmt: skip
def test_what_is_typed_wrong(project: Path, capsys: pytest.CaptureFixture[str], typed: list[str]) -> None:
    refused(capsys, *typed)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"a": 1}', b"\xff", b"[" * 100_000, b"3", b'{"train": {"x": "y"}}', None]
)
@pytest.mark.parametrize("typed", [["doctor", "--plan", "--rates"], ["show"], ["export", "--file"]])
@pytest.mark.parametrize("name", ["a.json", "a.parquet", "model.safetensors"])
def test_files_that_are_none(
    project: Path, capsys: pytest.CaptureFixture[str], typed: list[str], content: bytes | None, name: str
) -> None:
    if content is None:
        os.mkfifo(name)
    else:
        Path(name).write_bytes(content)
    if typed == ["show"] and name == "a.json" and content in (b"[]", b'{"a": 1}', b"3", b'{"train": {"x": "y"}}'):
        return  # JSON, which is shown as it is
    refused(capsys, *typed, name, mentions=name)


PARAMS = {
    "nested": "a: " + "[" * 100_000,
    "aliases": "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)),
    "a long value": (PROFILES / "built-in.yaml").read_text() + "more: " + "x" * 900_000,
    "a long key": (PROFILES / "built-in.yaml").read_text() + "x" * 900_000 + ": 1",
    "many keys": (PROFILES / "built-in.yaml").read_text() + "".join(f"more{i}: 1\n" for i in range(10_000)),
    "ten megabytes": "a: " + "x" * 10_000_000,
    "a list": "[1, 2]",
    "empty": "",
    "control characters": (PROFILES / "built-in.yaml").read_text() + '"\\e[2J": "\\e[2J"',
}  # fmt: skip


@pytest.mark.parametrize("text", PARAMS.values(), ids=PARAMS)
@pytest.mark.parametrize("typed", [["params"], ["params", "show"], ["stage", "report"], ["run", "-S", "report.seed=1"]])
def test_params_that_are_none(project: Path, capsys: pytest.CaptureFixture[str], text: str, typed: list[str]) -> None:
    Path("params.yaml").write_text(text)
    Path(".dvc").mkdir()
    os.system("git init -q")
    said = refused(capsys, *typed, mentions="params.yaml")
    assert max(map(len, said.splitlines())) < 2100
    assert "\x1b" not in said


@pytest.mark.parametrize("kind", ["pipe", "folder", "latin", "binary"])
def test_params_that_are_no_text(project: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    path = Path("params.yaml")
    path.unlink()
    {
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "latin": lambda: path.write_bytes("profile: größer".encode("latin-1")),
        "binary": lambda: path.write_bytes(bytes(range(256)) * 10),
    }[kind]()
    refused(capsys, "params", mentions="params.yaml")
    refused(capsys, "stage", "report", mentions="params.yaml")


@pytest.mark.parametrize(
    "text", ["", "[]", "stages: 3", "stages: {a: 1}", "stages: {a: {foreach: 3, do: {outs: [{}]}}}", "{"]
)
def test_a_dvc_yaml_that_is_none(project: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    Path("dvc.yaml").write_text(text)
    refused(capsys, "stage", "report", mentions="dvc.yaml")


def places(values: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key and list item of a params file."""
    inner = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    return [place, *(deeper for key, value in inner for deeper in places(value, (*place, key)))]


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(places(BUILT_IN)[1:]), ODD, st.booleans())
def test_any_value_anywhere_in_the_params(place: tuple[Any, ...], value: Any, remove: bool) -> None:
    """They are valid, or refused with the file's name; nothing else."""
    raw = copy.deepcopy(BUILT_IN)
    node = raw
    for key in place[:-1]:
        node = node[key]
    if remove:
        del node[place[-1]]
    else:
        node[place[-1]] = value
    problem = ""
    try:
        parse_params(raw, "params.yaml")
    except ValueError as error:
        problem = str(error)
    assert all(line.startswith("params.yaml") for line in problem.splitlines())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_as_params(project: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    Path("params.yaml").write_bytes(content)
    refused(capsys, "params", mentions="params.yaml")


MODEL = {"backbone": "mobilenetv3_small_050", "weights": "none", "input_size": (64, 64), "mixers": (16, 16)}
CARD = {"keypoint_names": list("abcde"), "trained_on": "nothing", "padding": 1.25}


def test_a_copy_that_cannot_be_made(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Outside of a git repository, and where nothing can be written."""
    refused(capsys, "init", "--labelled", "a.json", "--into", "copy", mentions="--into copy: no copy of the project")
    refused(capsys, "init", "--labelled", "a.json", "--into", "params.yaml/x", mentions="params.yaml/x")
    assert not Path("copy").exists()


def test_a_model_with_weights_that_are_no_numbers(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = build(MODEL, 5)
    path = checkpoints.save(network, "models/X", CARD)
    from safetensors.torch import load_file, save_file

    tensors, card = load_file(path), json.dumps(checkpoints.read_card(path))
    tensors["decoder.head.weight"][0] = torch.nan
    save_file(tensors, path, metadata={"card": card})
    refused(capsys, "export", "--file", "models/X", mentions="decoder.head.weight")
    refused(capsys, "predict", "x.jpg", "--lines", "--boxes", "whole", "--model", "models/X", mentions="weight")


def test_a_detector_that_is_missing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoints.save(build(MODEL, 5), "models/X", CARD)
    refused(
        capsys, "predict", "x.jpg", "--lines", "--model", "models/X", "--detector", "no/detector", mentions="no/det"
    )


@pytest.mark.parametrize("name", ["folder", "a-file/below", "read-only/file"])
def test_places_where_nothing_can_be_written(project: Path, name: str) -> None:
    Path("folder/inner").mkdir(parents=True)
    Path("a-file").write_text("kept")
    Path("read-only").mkdir(mode=0o500)
    if name.startswith("read-only") and os.access("read-only", os.W_OK):
        pytest.skip("root may write anywhere")
    with pytest.raises(ValueError, match=f"^{name}: "):
        write_json(name, {})
    assert Path("folder/inner").is_dir()
    assert Path("a-file").read_text() == "kept"
    assert not list(project.rglob("*.partial"))


def test_what_was_there_stays_when_the_disk_is_full(project: Path) -> None:
    write_json("figures.json", {"a": 1})

    def half_written() -> None:
        with written("figures.json") as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ValueError, match=r"^figures\.json: cannot be written: .*free some room"):
        half_written()
    assert json.loads(Path("figures.json").read_text()) == {"a": 1}
    assert not list(project.glob("*.partial"))


def test_a_read_only_file_system_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which refuses to remove the temporary file as well."""

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "write_text", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(ValueError, match=r"^figures\.json: cannot be written: Read-only file system"):
        write_json("figures.json", {"a": 1})


def test_keys_of_mixed_kinds_in_a_keypoint_set(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Path("mine.yaml").open("w") as file:
        YAML().dump({"names": ["a"], 1: 2, "more": 3, None: 4}, file)
    raw = load_yaml(profile_text("built-in"), "built-in")
    raw["data"]["keypoints"] = "mine.yaml"
    with Path("params.yaml").open("w") as file:
        YAML().dump(raw, file)
    refused(capsys, "params", mentions="mine")
