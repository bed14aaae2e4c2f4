"""Edits of params.yaml by command."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.settings import load_params
from pipeline.settings.merging import ParamsFile
from pipeline.settings.profile import (
    PROFILES,
    about,
    assign,
    changes,
    profile_changes,
    profile_text,
    profiles,
    use_profile,
)
from pipeline.settings.reading import load_yaml, parse_params


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
def test_every_profile_comes_to_a_whole_file_and_names_itself(name: str) -> None:
    values = load_yaml(profile_text(name), name)
    assert set(values) == set(ParamsFile.model_fields)
    assert parse_params(values, name).profile == name
    assert about(name)


@pytest.mark.parametrize("name", sorted(profiles()))
def test_a_profile_is_the_built_in_one_with_what_it_says(name: str) -> None:
    """Merged by hand: what the file names is there, and what it does not name is as in the built-in profile."""
    said, whole = (load_yaml(text, name) for text in (profiles()[name].read_text(), profile_text(name)))
    base = load_yaml(profiles()["built-in"].read_text(), "built-in")

    def check(said: dict, whole: dict, base: dict) -> None:
        for key, value in whole.items():
            if key not in said:
                assert value == base[key]
            elif isinstance(said[key], dict) and isinstance(base.get(key), dict):
                check(said[key], value, base[key])
            else:
                assert value == said[key]

    check(said, whole, base)


def test_a_profile_says_less_than_the_whole() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path in profiles().items()}
    assert lengths.pop("built-in") <= 110
    assert max(lengths.values()) <= 60


def test_a_written_profile_keeps_the_comments_of_both() -> None:
    text = profile_text("paper")
    assert "# the best of Table 6" not in text.splitlines()[0]
    assert "4.1, the best of Table 6" in text
    assert "cut the people to train on out of their images once" in text
    assert "# Profile `paper`" in text
    assert "# Profile `built-in`" not in text


def test_a_copy_of_params_yaml_is_a_profile_too(params: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    shutil.copytree(PROFILES, folder)
    monkeypatch.setattr("pipeline.settings.profile.PROFILES", folder)
    assign(["report.pictures=7", "profile=mine"], params)
    shutil.copy(params, folder / "mine.yaml")
    assert profile_text("mine") == params.read_text()


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
    found = assign(["train_joint.epochs=77", "fine_tune.optimizer.learning_rate=1e-5"], params)
    after = params.read_text()
    assert [change.after for change in found] == [77, 1e-5]
    assert load_params(params).train_joint.training.epochs == 77
    differing = [pair for pair in zip(before.splitlines(), after.splitlines(), strict=True) if pair[0] != pair[1]]
    assert len(differing) == 2


def test_assign_may_say_anew_what_all_trainings_share(params: Path) -> None:
    assign(["train_joint.seed=3", "train_joint.optimizer.learning_rate=0.01"], params)
    loaded = load_params(params)
    assert (loaded.train_joint.training.seed, loaded.fine_tune.training.seed) == (3, 0)
    assert loaded.train_joint.training.optimizer.learning_rate == 0.01
    assert loaded.train_joint.training.optimizer.warmup_steps == 30


def test_assign_takes_lists(params: Path) -> None:
    assign(["strategies=[ACH-CH, C-C]"], params)
    assert load_params(params).strategies == ["ACH-CH", "C-C"]
    assign(["strategies.1=AC-C"], params)
    assert load_params(params).strategies == ["ACH-CH", "AC-C"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train_joint.epochs", "key=value"),
        ("train_joint.epochs=0", r"train_joint.epochs = 0"),
        ("train_joint.epoch=3", r"train_joint.epoch = 3: unknown key"),
        ("train_joint.optimiser.name=adam", r"no key 'optimiser' in train_joint; allowed: .*epochs"),
        ("profile.name=3", "profile is a value"),
        ("strategies.9=C-C", "list of"),
        ("report.title=[", "not valid YAML"),
    ],
)
def test_wrong_settings_say_what_is_wrong_and_write_nothing(params: Path, setting: str, message: str) -> None:
    before = params.read_text()
    with pytest.raises(ValueError, match=message):
        assign([setting], params)
    assert params.read_text() == before
