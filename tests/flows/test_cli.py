"""What the command understands, and what it says to who types it wrong."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.cli import main, make_parser, parsed
from pipeline.settings.profile import profile_text

ROOT = Path(__file__).parents[2]


def commands(
    parser: argparse.ArgumentParser, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """Every command that there is, with those inside it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield (*path, name), inner
                yield from commands(inner, (*path, name))


ALL = dict(commands(make_parser()))


@pytest.mark.parametrize(
    ("typed", "rest"),
    [
        (["exp", "show", "--csv", "--no-pager"], ["--csv", "--no-pager"]),
        (["exp", "show"], []),
        (["bench", "data", "--json", "--parts", "store"], ["--json", "--parts", "store"]),
        (["bench", "train", "--help"], ["--help"]),
    ],
)
def test_options_of_the_commands_behind_are_handed_on(typed: list[str], rest: list[str]) -> None:
    assert parsed(typed).rest == rest


def test_an_unknown_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(["run", "--fast"])
    assert "unrecognized arguments: --fast" in capsys.readouterr().err


def test_alone_it_lists_every_command_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    for path, _ in ALL.items():
        if len(path) == 1:
            assert len([line for line in lines if line.split()[:1] == [path[0]] and len(line.split()) > 2]) == 1
    assert sum(line.startswith("  ccm ") for line in lines) == 3


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_a_help_with_an_example(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*path, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "example" in said
    assert f"  ccm {' '.join(path)}" in said


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_argument_says_what_it_is(path: tuple[str, ...]) -> None:
    for action in ALL[path]._actions:
        if not isinstance(action, argparse._SubParsersAction):
            assert action.help, f"{' '.join(path)}: {action.dest}"


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("ccm 0.")


IN_A_PROJECT = [
    ["run"], ["stage", "ingest"], ["ui"], ["serve"], ["params"], ["params", "show"], ["params", "tidy"], ["profile"],
    ["data", "check"], ["exp", "show"], ["exp", "mean"], ["exp", "start"], ["exp", "grid", "-S", "a=1"], ["table", "7"],
    ["plots"],
]  # fmt: skip


@pytest.mark.parametrize("typed", IN_A_PROJECT, ids=" ".join)
def test_outside_a_project_it_says_so_in_a_line(
    typed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(typed) == 2
    said = capsys.readouterr().err
    assert said == f"ccm: {tmp_path}: no project here (no params.yaml, no dvc.yaml); go to the project's folder\n"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder without a repository."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(profile_text("built-in"))
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["stage", "nosuch"], "there is none of that name; allowed: ablate_postprocessing"),
        (["stage", "ingest"], "works item by item, name one; allowed: train, val, external, unlabeled"),
        (["stage", "ingest", "nosuch"], "has no item 'nosuch'; allowed: train, val, external, unlabeled"),
        (["stage", "train_joint", "ACHU->CH"], "has no item 'ACHU->CH'; allowed: ACHU-CH"),
        (["stage", "evaluate_ensemble", "all"], "allowed: none, for params.yaml leaves this stage out"),
        (["stage", "report", "x"], "has no items; leave 'x' out"),
        (["params", "show", "nosuch"], "no section 'nosuch'; allowed: profile, compute"),
        (["table", "99"], "allowed: 2 to 14"),
        (["exp", "grid"], "nothing to vary: add -S key=value,value"),
        (["run"], "not a git repository"),
        (["exp", "grid", "-S", "train_joint.epochs=1,2"], "not a git repository"),
    ],
)
def test_what_is_typed_wrong_is_said(
    typed: list[str], said: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (project / "params.yaml").read_text()
    assert main(typed) == 2
    error = capsys.readouterr().err
    assert error.startswith("ccm: ")
    assert said in error
    assert (project / "params.yaml").read_text() == before


def test_settings_are_checked_before_anything_runs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["git", "init", "-q"], check=True)
    assert main(["run"]) == 2
    assert "has no .dvc, so DVC does not know it: run `dvc init` here" in capsys.readouterr().err
    (project / ".dvc").mkdir()
    before = (project / "params.yaml").read_text()
    assert main(["run", "-S", "strategies=[C->C]"]) == 2
    assert "without the '>' that a shell reads: C-C" in capsys.readouterr().err
    assert (project / "params.yaml").read_text() == before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("nms_threshold: 0.5", "nms_threshold: 2", "detect_people.nms_threshold = 2"),
        ("bootstrap:", "bootstrp:", "evaluate.bootstrp"),
        ("train_images: 500", "train_images: many", "synthesize.built-in.train_images = 'many'"),
    ],
)
def test_a_wrong_param_stops_before_any_stage_works(
    old: str, new: str, said: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / "params.yaml"
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new))
    for typed in (["stage", "report"], ["params"]):
        assert main(typed) == 2
        assert said in capsys.readouterr().err
    assert {file.name for file in project.iterdir()} == {"params.yaml", "dvc.yaml"}


def test_a_missing_data_set_says_which_file_was_expected(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stage", "ingest", "val"]) == 2
    assert "person_keypoints_val2017.json" in capsys.readouterr().err


def test_a_port_that_cannot_be(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["ui", "--port", "99999"])
    assert ended.value.code == 2
    assert "'99999'; allowed: 1024 to 65535" in capsys.readouterr().err


def test_params_are_shown_merged(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["params", "show", "fine_tune", "--json"]) == 0
    training = json.loads(capsys.readouterr().out)["fine_tune"]["training"]
    assert (training["optimizer"]["learning_rate"], training["optimizer"]["name"], training["sigma"]) == (
        4e-4,
        "adam",
        1.0,
    )
    assert main(["params", "show", "fine_tune"]) == 0
    assert "learning_rate: 0.0004" in capsys.readouterr().out


def test_leftovers_are_named_and_removed_by_a_command(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("models/final/C-C", "models/final/ACHU-CH", "data/tables/extra", "data/index/ingest"):
        (project / folder).mkdir(parents=True)
    (project / "data/index/ingest/.gitignore").write_text("*")
    (project / "metrics/evaluate").mkdir(parents=True)
    (project / "metrics/evaluate/C-C.json").write_text("{}")
    assert main(["params", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["leftovers"] == ["data/tables/extra", "metrics/evaluate/C-C.json", "models/final/C-C"]
    assert main(["params"]) == 0
    assert "models/final/C-C" in capsys.readouterr().out
    assert main(["params", "tidy"]) == 2  # nobody to ask
    assert (project / "models/final/C-C").is_dir()
    assert main(["params", "tidy", "--yes"]) == 0
    assert not (project / "models/final/C-C").exists()
    assert (project / "models/final/ACHU-CH").is_dir()
    capsys.readouterr()
    assert main(["params", "tidy"]) == 0
    assert capsys.readouterr().out == "nothing is left over\n"


def test_profiles_say_what_they_are_for_and_which_is_in_use(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile"]) == 0
    said = capsys.readouterr().out
    assert "* built-in        rendered data and small models" in said
    assert "  labelled-only   the least there is" in said
    assert said.endswith("* in use, as it is\n")
    text = (project / "params.yaml").read_text().replace("pictures: 12", "pictures: 3")
    (project / "params.yaml").write_text(text)
    assert main(["profile"]) == 0
    assert capsys.readouterr().out.endswith("* in use, with 1 values of params.yaml edited since\n")


def test_what_is_printed_as_json_is_json_alone(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for typed in (["params", "--json"], ["params", "show", "--json"], ["table", "5", "--json"]):
        assert main(typed) == 0
        json.loads(capsys.readouterr().out)


def test_it_starts_without_what_it_does_not_need() -> None:
    """The list of commands comes from argparse alone: nothing heavy is imported for it."""
    heavy = {"torch", "prefect", "pandas", "pyarrow", "numpy", "pydantic", "yaml"}
    code = f"import sys; from flows.cli import main; main([]); print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
