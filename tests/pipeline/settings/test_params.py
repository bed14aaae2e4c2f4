from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from pipeline.settings import arrow, load_params, parse_params, parse_strategy, warnings
from pipeline.settings.merging import ParamsFile, merged
from pipeline.settings.profile import PROFILES, profile_text, profiles
from pipeline.settings.reading import lines_of, load_yaml

TEXT = (PROFILES / "built-in.yaml").read_text()
RAW = load_yaml(TEXT, "built-in.yaml")


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


def said_of(path: str, value: Any) -> str:
    with pytest.raises(ValueError) as error:
        parse_params(changed(path, value), "params.yaml")
    return str(error.value)


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
        ("train_joint.epochs", 0, "greater than or equal to 1"),
        ("train_joint.epochs", 2.5, "valid integer"),
        ("train_joint.epochs", ..., "train_joint.epochs: missing; set it here, or for others too as training.epochs"),
        ("train_joint.epohcs", 3, "unknown key; allowed: accumulate, annotations, augmentation"),
        ("train_joint.optimizer", {"learning_rat": 1.0}, "train_joint.optimizer.learning_rat = 1.0: unknown key"),
        ("train_joint.model", "lite7", "no such network in models; allowed: lite0, lite1"),
        ("train_joint.model", "person_rcnn", "no such network in models; allowed: lite0, lite1"),
        ("train_detector.models.person.model", "lite0", "no such network in models; allowed: person_rcnn"),
        ("training.sigma", 20.0, "less than or equal to 10"),
        ("training.augmentation.flip", 1.5, "less than or equal to 1"),
        ("fine_tune.optimizer.name", "adma", "'adam', 'adamw' or 'sgd'"),
        ("models.lite0.input_size", [128], "at least 2 items"),
        ("models.lite0.architecture", "unet", "allowed: 'ccm', 'simple_baseline', 'hrnet', 'mask_rcnn'"),
        ("models.lite0.backbnoe", "x", "unknown key; allowed: anchor_sizes, architecture"),
        ("models.person_rcnn.max_size", 100, "max_size = 100: allowed: min_size, 192, or more"),
        ("evaluate.postprocessing.shift", 2.0, "less than or equal to 1"),
        ("evaluate.postprocessing.refinement", "cubic", "allowed: none, quarter, parabola"),
        ("compute.device", "gpu", "pattern"),
        ("strategies", ["ACX-C"], "letters A, C, H, U"),
        ("strategies", ["ACHU"], "letters A, C, H, U"),
        ("strategies", ["ACHU->CH"], "without the '>' that a shell reads: ACHU-CH"),
        ("strategies", [], "at least 1 item"),
        ("strategies", ["C-C", "C-C"], "more than once"),
        ("pseudo_label.sources", [], "uses U, but pseudo_label.sources is empty"),
        ("align_labels.sources", ["aic"], "no source 'aic' in data.sources; allowed: external, train"),
        ("pseudo_label.person_threshold", {"mode": "precise", "value": 0.9}, "'fixed', 'matched' or 'precision'"),
        ("data.keypoints", "coco18", "neither a built-in set"),
        ("data.labelled", "trian", "no source 'trian'"),
        ("evaluate.sets", ["external"], "has no detections"),
        ("detect_people.sources.val", "models/detector", "no such detector; allowed: models/detectors/person"),
        ("evaluate_ensemble", {"all": ["final/ACHU->CH"]}, "allowed: teachers/lite0, teachers/lite1, final/ACHU-CH"),
    ],
)
def test_a_wrong_value_is_named_with_its_path(path: str, value: Any, said: str) -> None:
    message = said_of(path, value)
    line = next(line for line in message.splitlines() if said in line)
    assert path.split(".")[-1] in line
    assert line.startswith("params.yaml: ")


def test_a_precision_of_people_needs_the_validation_searched_by_the_same_detector() -> None:
    raw = changed("pseudo_label.person_threshold", {"mode": "precision", "value": 0.9})
    raw["evaluate"]["boxes"], raw["ablate_postprocessing"]["boxes"] = ["ground_truth"], "ground_truth"
    assert not any("val is searched" in line for line in warnings(parse_params(raw, "params.yaml")))
    raw["detect_people"]["sources"]["val"] = "val.json"
    with pytest.raises(ValueError, match=r"precision': the scores of people on unlabeled .* models/detectors/person"):
        parse_params(raw, "params.yaml")
    raw["detect_people"]["sources"]["unlabeled"] = "unlabeled.json"
    parse_params(raw, "params.yaml")
    raw["data"]["validation"] = ["train"]  # which is C
    with pytest.raises(ValueError, match=r"data.validation, train, of which none"):
        parse_params(raw, "params.yaml")


def test_every_problem_is_listed_at_once() -> None:
    raw = changed("mine_hard_negatives.score_threshold", 7)
    raw["evaluate"]["bootstrap"] = -1
    with pytest.raises(ValueError) as error:
        parse_params(raw, "params.yaml")
    assert "score_threshold" in str(error.value)
    assert "bootstrap" in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("sigma: 1.0", "sigma: 20.0", "training.sigma"),
        ("learning_rate: 0.0004", "learning_rate: -1.0", "fine_tune.optimizer.learning_rate"),
        ("strategies: [ACHU-CH]", "strategies: [ACHU->CH]", "strategies.0"),
        ("  model: lite0\n  epochs: 6", "  model: lite9\n  epochs: 6", "train_joint.model"),
        ("labelled: train ", "labelled: trian ", "data.labelled"),
        ("  epochs: 6\n", "", "train_joint.epochs"),
    ],
)
def test_an_error_names_the_line_that_the_value_came_from(old: str, new: str, key: str, tmp_path: Path) -> None:
    """The line is looked up by hand: the one that holds what was written, or the section that lacks it."""
    assert TEXT.count(old) == 1
    text = TEXT.replace(old, new)
    path = tmp_path / "params.yaml"
    path.write_text(text)
    sought = new.strip().splitlines()[0] if new else "train_joint:"
    line = next(number for number, content in enumerate(text.splitlines(), 1) if sought in content)
    with pytest.raises(ValueError) as error:
        load_params(path)
    first = str(error.value).splitlines()[0]
    assert first.startswith(f"{path}:{line}: {key}"), first


def test_lines_are_those_of_the_text() -> None:
    found = lines_of("a: 1\nb:\n  c: [x,\n    y]\n")
    assert found == {("a",): 1, ("b",): 2, ("b", "c"): 3, ("b", "c", 0): 3, ("b", "c", 1): 4}


def test_numbers_as_yaml_1_2_writes_them(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(TEXT.replace("learning_rate: 0.002,", "learning_rate: 2e-3,"))
    assert load_params(tmp_path / "params.yaml").train_joint.training.optimizer.learning_rate == 0.002


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"params\.yaml: no such file"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: [1\n")
    with pytest.raises(ValueError, match="not valid YAML"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("a: " + "[" * 100_000)
    with pytest.raises(ValueError, match=r"params\.yaml: n"):
        load_params(tmp_path / "params.yaml")


def test_params_do_not_change_after_reading() -> None:
    params = parse_params(RAW, "params.yaml")
    with pytest.raises(ValueError, match="frozen"):
        params.report.pictures = 3  # type: ignore[misc]


@pytest.mark.parametrize(("text", "parts"), [("ACHU-CH", ("ACHU", "CH")), ("A-C", ("A", "C"))])
def test_strategies_read_as_the_paper_writes_them(text: str, parts: tuple[str, str]) -> None:
    assert parse_strategy(text) == parts
    assert arrow(text) == "→".join(parts)


def test_one_edit_reaches_every_training_that_does_not_say_otherwise() -> None:
    raw = changed("training.augmentation.rotation", 12.0)
    raw["fine_tune"]["augmentation"] = {"flip": 0.0}
    params = parse_params(raw, "x")
    trainings = [params.train_joint.training, *(t.training for t in params.train_teachers.models.values())]
    assert [t.augmentation.rotation for t in trainings if t] == [12.0] * 3
    tuning = params.fine_tune.training.augmentation
    assert (tuning.rotation, tuning.flip, tuning.scale) == (12.0, 0.0, 0.25)


def test_a_teacher_says_less_than_all_teachers_and_they_less_than_all_trainings() -> None:
    raw = copy.deepcopy(RAW)
    raw["training"]["sigma"] = 1.1
    raw["train_teachers"]["training"]["sigma"] = 1.2
    raw["train_teachers"]["models"]["lite1"]["sigma"] = 1.3
    params = parse_params(raw, "x")
    teachers = params.train_teachers.models
    sigmas = {name: teacher.training.sigma for name, teacher in teachers.items() if teacher.training}
    assert sigmas == {"lite0": 1.2, "lite1": 1.3}
    assert params.train_joint.training.sigma == 1.1


def test_mappings_merge_by_key_and_lists_are_replaced() -> None:
    before = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert merged(before, {"a": {"c": [3]}, "d": {"e": 0}}) == {"a": {"b": 1, "c": [3]}, "d": {"e": 0}}
    assert before == {"a": {"b": 1, "c": [1, 2]}, "d": 1}


def test_a_teacher_may_be_a_checkpoint() -> None:
    raw = changed("train_teachers.models.theirs", {"model": "lite0", "checkpoint": "pose.pth"})
    teacher = parse_params(raw, "x").train_teachers.models["theirs"]
    assert teacher.training is None
    assert teacher.model.weights == "pose.pth"
    raw["train_teachers"]["models"]["theirs"]["checkpoint"] = "imagenet"
    with pytest.raises(ValueError, match=r"theirs\.checkpoint = 'imagenet': allowed is the file of a pose checkpoint"):
        parse_params(raw, "x")
    raw["train_teachers"]["models"]["theirs"]["epochs"] = 3
    with pytest.raises(ValueError, match=r"theirs\.epochs: a teacher with a checkpoint is not trained"):
        parse_params(raw, "x")


def warned(path: str, value: Any) -> str:
    return "\n".join(warnings(parse_params(changed(path, value), "x")))


@pytest.mark.parametrize("name", sorted(profiles()))
def test_no_profile_warns_about_itself(name: str) -> None:
    assert warnings(parse_params(load_yaml(profile_text(name), name), name)) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("spread.address", "tcp://x", "no effect with runner 'threads'"),
        ("training.optimizer.warmup_steps", 2000, "optimizer.warmup_steps = 2000: the whole training has 942"),
        ("fine_tune.optimizer", {"warmup_steps": 250}, "optimizer.warmup_steps = 250: the whole training has 250"),
        ("training.augmentation", {**RAW["training"]["augmentation"], "half_body": 0.3, "half_body_keypoints": 18},
         "half_body_keypoints = 18: the set 'coco' has 17"),
        ("training.batch_size", 1, "batch norm learns nothing from one; set freeze_batch_norm"),
        ("strategies", ["ACH-CH"], "pseudo_label.sources: unlabeled is labelled for nothing, no strategy uses U"),
        ("strategies", ["ACH-CH"], "train_teachers.models: lite1 is trained for nothing"),
        ("strategies", ["ACU-C"], "mine_hard_negatives.sources: train is mined for nothing, no strategy uses H"),
        ("strategies", ["C-C"], "align_labels.sources: external is aligned for nothing, no strategy uses A"),
        ("strategies", ["C-C"], "data.sources: external is read for nothing"),
        ("strategies", ["ACHU-CH", "CAHU-HC"], "CAHU-HC comes to the same sets as ACHU-CH"),
    ],
)  # fmt: skip
def test_what_has_no_effect_or_is_made_for_nothing_is_named(path: str, value: Any, said: str) -> None:
    assert said in warned(path, value)


def test_a_detector_that_nothing_needs_is_named() -> None:
    raw = changed("strategies", ["C-C"])
    raw["evaluate"]["boxes"], raw["ablate_postprocessing"]["boxes"] = ["ground_truth"], "ground_truth"
    found = warnings(parse_params(raw, "x"))
    assert any("train_detector.models: person is trained for nothing" in line for line in found)
    assert not any("person" in line for line in warnings(parse_params(changed("strategies", ["C-C"]), "x")))


def test_every_section_is_in_params_yaml() -> None:
    assert list(RAW) == [key for key in RAW if key in ParamsFile.model_fields]
    assert set(RAW) == set(ParamsFile.model_fields)


def test_a_set_without_sigmas_or_mirror_pairs_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bird.yaml"
    path.write_text("names: [beak, left_wing, right_wing]\n")
    found = warned("data.keypoints", str(path))
    assert "has no sigmas, so there is no OKS and no AP" in found
    assert "left_wing, right_wing have sides, but the set names no flip_pairs" in found
    text = "names: [beak, aile_gauche, aile_droite, left_wing, right_wing]\nflip_pairs: [[left_wing, right_wing]]\n"
    path.write_text(text)
    assert "aile_gauche, aile_droite have sides, but the set names no flip_pairs" in warned("data.keypoints", str(path))
    path.write_text(
        "names: [beak, left_wing, right_wing]\nflip_pairs: [[left_wing, right_wing]]\nsigmas: [0.1, 0.1, 0.1]\n"
    )
    assert "bird" not in warned("data.keypoints", str(path))


def test_sources_may_be_a_list() -> None:
    raw = copy.deepcopy(RAW)
    raw["data"] |= {"labelled": ["train", "external"], "validation": "val"}
    data = parse_params(raw, "params.yaml").data
    assert (data.labelled, data.validation) == (["train", "external"], ["val"])
    raw["train_joint"]["sampling"] = {"C": 2.0, "external": 0.5}
    assert parse_params(raw, "params.yaml").train_joint.sampling == {"C": 2.0, "external": 0.5}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("labelled", ["train", "gone"], "no source 'gone'"),
        ("labelled", ["train", "train"], "more than once"),
        ("labelled", [], "data.labelled"),
        ("validation", 3, "data.validation"),
    ],
)
def test_a_wrong_list_of_sources_is_refused(key: str, value: Any, said: str) -> None:
    assert said in said_of(f"data.{key}", value)


def test_a_weight_of_no_source_is_refused() -> None:
    assert "train_joint.sampling.gone: neither a letter nor a source" in said_of("train_joint.sampling", {"gone": 2.0})
