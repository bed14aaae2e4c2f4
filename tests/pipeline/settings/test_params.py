from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.settings.params import Params, load_params, parse_params, parse_strategy, unused_settings
from pipeline.settings.profile import PROFILES

RAW = YAML(typ="safe", pure=True).load((PROFILES / "built-in.yaml").read_text())


def changed(path: str, value: Any) -> dict[str, Any]:
    """The built-in profile with one key set, made or (value ...) taken out."""
    raw = copy.deepcopy(RAW)
    *parents, last = path.split(".")
    section = raw
    for key in parents:
        section = section[int(key)] if isinstance(section, list) else section[key]
    if value is ...:
        del section[last]
    else:
        section[last] = value
    return raw


@pytest.mark.parametrize("profile", sorted(PROFILES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_profile_is_valid_and_says_its_name(profile: Path) -> None:
    assert load_params(profile).profile == profile.stem


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("mine_hard_negatives.score_threshold", 1.5, "less than or equal to 1"),
        ("mine_hard_negatives.score_threshold", "0.5", "valid number"),
        (
            "mine_hard_negatives.score_treshold",
            0.5,
            "unknown key; allowed: report_thresholds, score_threshold, sources",
        ),
        ("mine_hard_negatives.score_threshold", ..., "missing"),
        ("minehardnegatives", {}, "unknown key"),
        ("train_joint.training.epochs", 0, "greater than or equal to 1"),
        ("train_joint.training.epochs", 2.5, "valid integer"),
        ("train_joint.training.sigma", 20.0, "less than or equal to 10"),
        ("train_joint.model.input_size", [128], "at least 2 items"),
        ("train_joint.model.architecture", "unet", "'ccm', 'simple_baseline' or 'hrnet'"),
        ("train_teachers.models.lite0.training.optimizer.name", "adma", "'adam', 'adamw' or 'sgd'"),
        ("train_teachers.models.lite0.model.backbnoe", "x", "unknown key; allowed: architecture"),
        ("evaluate.postprocessing.shift", 2.0, "less than or equal to 1"),
        ("evaluate.postprocessing.refinement", "cubic", "'parabola'"),
        ("compute.device", "gpu", "pattern"),
        ("strategies", ["ACX->C"], "letters A, C, H, U"),
        ("strategies", ["ACHU"], "letters A, C, H, U"),
        ("strategies", [], "at least 1 item"),
        ("strategies", ["C->C", "C->C"], "more than once"),
        ("pseudo_label.sources", [], "uses U, but pseudo_label.sources is empty"),
        ("align_labels.sources", ["aic"], "no source 'aic' in data.sources; allowed: external, train"),
        ("data.keypoints", "coco18", "neither a built-in set"),
        ("data.labelled", "trian", "no source 'trian'"),
        ("evaluate.sets", ["external"], "has no detections"),
    ],
)
def test_a_wrong_value_is_named_with_its_path(path: str, value: Any, said: str) -> None:
    with pytest.raises(ValueError) as error:
        parse_params(changed(path, value), "params.yaml")
    line = next(line for line in str(error.value).splitlines() if said in line)
    assert path.split(".")[-1] in line
    assert line.startswith("params.yaml: ")


def test_every_problem_is_listed_at_once() -> None:
    raw = changed("mine_hard_negatives.score_threshold", 7)
    raw["evaluate"]["bootstrap"] = -1
    with pytest.raises(ValueError) as error:
        parse_params(raw, "params.yaml")
    assert "score_threshold" in str(error.value)
    assert "bootstrap" in str(error.value)


def test_numbers_as_yaml_1_2_writes_them(tmp_path: Path) -> None:
    text = (PROFILES / "built-in.yaml").read_text().replace("learning_rate: 0.001", "learning_rate: 1e-3")
    (tmp_path / "params.yaml").write_text(text)
    assert load_params(tmp_path / "params.yaml").train_joint.training.optimizer.learning_rate == 0.001


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"params\.yaml: no such file"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [1\n")
    with pytest.raises(ValueError, match="not valid YAML"):
        load_params(tmp_path / "params.yaml")


def test_params_do_not_change_after_reading() -> None:
    params = parse_params(RAW, "params.yaml")
    with pytest.raises(ValueError, match="frozen"):
        params.report.pictures = 3  # type: ignore[misc]


@pytest.mark.parametrize(("text", "parts"), [("ACHU->CH", ("ACHU", "CH")), ("A->C", ("A", "C"))])
def test_strategies_read_as_the_paper_writes_them(text: str, parts: tuple[str, str]) -> None:
    assert parse_strategy(text) == parts


def test_settings_without_effect_are_named() -> None:
    def warnings(path: str, value: Any) -> str:
        return "\n".join(unused_settings(parse_params(changed(path, value), "x")))

    assert "person_threshold.value" in warnings("pseudo_label.person_threshold.mode", "matched")
    assert "person_threshold.value" not in warnings("pseudo_label.person_threshold.mode", "fixed")
    assert "postprocessing.shift" in warnings("evaluate.postprocessing.flip", False)
    assert "no strategy uses U" in warnings("strategies", ["ACH->CH"])


def test_every_section_is_in_params_yaml() -> None:
    assert set(RAW) == set(Params.model_fields)
