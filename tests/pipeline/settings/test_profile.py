"""Edits of params.yaml by command."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.settings.params import load_params
from pipeline.settings.profile import PROFILES, assign, changes, profile_changes, profiles, use_profile


@pytest.fixture
def params(tmp_path: Path) -> Path:
    """A params.yaml that is the built-in profile."""
    return Path(shutil.copy(PROFILES / "built-in.yaml", tmp_path / "params.yaml"))


def commit(path: Path) -> None:
    for arguments in (
        ["init", "-q"],
        ["add", path.name],
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "params"],
    ):
        subprocess.run(["git", *arguments], cwd=path.parent, check=True)


@pytest.mark.parametrize("name", sorted(profiles()))
def test_every_profile_is_complete_and_names_itself(name: str) -> None:
    assert load_params(profiles()[name]).profile == name


def test_changes_name_leaves_by_their_path() -> None:
    before = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    after = {"a": {"b": 2, "c": [1, 2], "e": 0}}
    assert [str(change) for change in changes(before, after)] == ["  a.b: 1 -> 2", "+ a.e = 0", "- d (was 1)"]


def test_switching_there_and_back_loses_nothing(params: Path) -> None:
    original = params.read_text()
    assert any(change.key == "profile" for change in profile_changes("paper", params))
    use_profile("paper", params)
    assert profile_changes("paper", params) == []
    use_profile("built-in", params)
    assert params.read_text() == original


def test_edits_that_stand_nowhere_else_are_not_overwritten(params: Path) -> None:
    assign(["report.pictures=7"], params)
    edited = params.read_text()
    with pytest.raises(ValueError, match="neither committed nor a saved profile"):
        use_profile("paper", params)
    assert params.read_text() == edited
    use_profile("paper", params, force=True)
    assert load_params(params).profile == "paper"


def test_committed_edits_may_be_overwritten(params: Path) -> None:
    assign(["report.pictures=7"], params)
    commit(params)
    use_profile("paper", params)
    assert load_params(params).profile == "paper"


def test_unknown_profile_names_those_that_exist(params: Path) -> None:
    with pytest.raises(ValueError, match=r"'nosuch'.*built-in, .*paper"):
        use_profile("nosuch", params)


def test_assign_keeps_comments_and_everything_else(params: Path) -> None:
    before = params.read_text()
    found = assign(["train_joint.training.epochs=77", "train_joint.training.optimizer.learning_rate=1e-4"], params)
    after = params.read_text()
    assert [change.after for change in found] == [77, 1e-4]
    assert load_params(params).train_joint.training.epochs == 77
    differing = [pair for pair in zip(before.splitlines(), after.splitlines(), strict=True) if pair[0] != pair[1]]
    assert len(differing) == 2


def test_assign_takes_lists(params: Path) -> None:
    assign(["strategies=[ACH->CH, C->C]"], params)
    assert load_params(params).strategies == ["ACH->CH", "C->C"]
    assign(["strategies.1=AC->C"], params)
    assert load_params(params).strategies == ["ACH->CH", "AC->C"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train_joint.training.epochs", "key=value"),
        ("train_joint.training.epochs=0", r"train_joint.training.epochs = 0"),
        ("train_joint.training.epoch=3", r"train_joint.training.epoch = 3: unknown key"),
        ("train_joint.trainnig.epochs=3", r"no key 'trainnig' in train_joint; allowed: .*training"),
        ("profile.name=3", "profile is a value"),
        ("strategies.9=C->C", "list of"),
        ("report.title=[", "not valid YAML"),
    ],
)
def test_wrong_settings_say_what_is_wrong_and_write_nothing(params: Path, setting: str, message: str) -> None:
    before = params.read_text()
    with pytest.raises(ValueError, match=message):
        assign([setting], params)
    assert params.read_text() == before
