"""Rounds: U labelled anew by students that are better on the validation, and handed on by those that are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML

from model import checkpoints
from model.network import build
from pipeline import layout
from pipeline.annotation.exporting import export_next
from pipeline.learning.training.job import TrainingJob
from pipeline.progress import Progress
from pipeline.records.artefacts import file_hash, read_json, write_json
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import read_table, table_info, to_numpy
from pipeline.report.blocks import Table
from pipeline.report.context import Context
from pipeline.report.teachers import last_labels
from pipeline.report.teachers import rounds as in_the_report
from pipeline.settings import Params, load_params, parse_params
from pipeline.settings.profile import PROFILES
from pipeline.settings.reading import load_yaml
from pipeline.steps import compose_sets, fill_in, gather, pseudo_label, rounds
from tests.pipeline.workspace import MODEL, make_workspace

torch.set_num_threads(1)
NAMES = list(load_keypoint_set("coco").names)


def write_network(folder: Path, seed: int) -> None:
    torch.manual_seed(seed)
    checkpoints.save(build(MODEL, 17), folder, {"keypoint_names": NAMES, "trained_on": "nothing", "padding": 1.25})


def a_round(after: str, keep: bool = True, **students: Any) -> dict[str, Any]:
    training = {"epochs": 1, "samples_per_epoch": 8, "validate_every": 1, "optimizer": {"warmup_steps": 0}}
    return {
        "after": after, "keep_teachers": keep, "training": training,
        "students": {name: {"model": "tiny", **own} for name, own in students.items()},
    }  # fmt: skip


def with_rounds(**named: Any) -> Params:
    """The workspace's params with `val` as the unlabelled source and these rounds."""
    raw = YAML(typ="safe", pure=True).load(Path("params.yaml").read_text())
    raw["pseudo_label"] |= {
        "sources": ["val"], "person_threshold": {"mode": "fixed", "value": 0.0}, "keypoint_threshold": 0.0,
        "min_keypoints": 1,
    }  # fmt: skip
    raw["train_teachers"]["models"] = {"first": {"model": "tiny"}}
    raw["compute"]["processes"] = 1
    raw |= {"strategies": ["CU-C"], "rounds": named}
    with Path("params.yaml").open("w") as file:
        YAML().dump(raw, file)
    return load_params()


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A teacher that validates at 0.5, and the U that it makes."""
    monkeypatch.chdir(tmp_path)
    make_workspace(tmp_path)
    params = with_rounds()
    gather.run(params, Progress())
    write_network(layout.teacher("first"), 1)
    write_json(layout.figures("train_teachers", "first"), {"val_oks": 0.5, "val_ap": 0.3})
    write_json(
        layout.figures("pseudo_label", "val"),
        pseudo_label.label_source(params, Progress(), "val", pseudo_label.first_teachers(params)),
    )


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TrainingJob]:
    """Trainings that are not run: a student's network is of its seed, and validates at a hundredth of it."""
    jobs: list[TrainingJob] = []

    def run(job: TrainingJob, progress: Progress) -> dict[str, float]:
        jobs.append(job)
        write_network(job.output, job.training.seed)
        return {"epoch": 1.0, "val_oks": job.training.seed / 100, "val_ap": 0.3}

    monkeypatch.setattr(rounds, "run_job", run)
    return jobs


def who(round_name: str) -> list[str]:
    """Who has made the U of a round."""
    (teachers,) = set(read_table(layout.labels(f"rounds/{round_name}", "val"), "instances")["teacher"].to_pylist())
    return [name.split(":")[0] for name in teachers.split()]


@pytest.mark.usefixtures("workspace")
def test_labels_are_made_anew_until_the_validation_rises_no_more(trained: list[TrainingJob]) -> None:
    params = with_rounds(
        one=a_round("pseudo_label", a={"seed": 40}, b={"seed": 55}),
        two=a_round("rounds/one", c={"seed": 60}),
        three=a_round("rounds/two", d={"seed": 60}),
        four=a_round("rounds/three", e={"seed": 99}),
    )
    for name in params.rounds:
        rounds.run(params, Progress(), name)
    figures = {name: read_json(layout.figures("rounds", name)) for name in params.rounds}
    assert [figures[name]["kept"] for name in figures] == [True, True, False, False]
    assert [figures[name].get("before") for name in figures] == [0.5, 0.55, 0.6, None]
    assert [job.item for job in trained] == ["one/a", "one/b", "two/c", "three/d"], "four trains nobody"
    assert who("one") == ["first", "a", "b"]
    assert who("two") == ["first", "a", "b", "c"]
    kept = [file_hash(layout.labels(stage, "val")) for stage in ("pseudo_label", *(f"rounds/{n}" for n in figures))]
    assert len(set(kept)) == 3
    assert kept[2] == kept[3] == kept[4]
    assert [job.tables[1] for job in trained] == [
        layout.labels(stage, "val") for stage in ("pseudo_label", "pseudo_label", "rounds/one", "rounds/two")
    ]
    assert compose_sets.letter_files(params, "U") == [Path("data/rounds/four/val.parquet")]
    u = read_table(layout.labels("rounds/four", "val"), "instances")
    supervised = to_numpy(u, "supervised")
    for name in ("two", "three", "four"):
        assert (figures[name]["rows"], figures[name]["keypoints"]) == (u.num_rows, supervised.sum())
        assert figures[name]["mean_weight"] == 1
    (table,) = in_the_report(Context(params))
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["first labels", "round one", "round two", "round three", "round four"]
    assert table.rows[1][1] == "a 40.0, b 55.0"
    assert [row[-1] for row in table.rows] == ["-", "kept", "kept", "no better", "not trained: rounds had ended"]


@pytest.mark.usefixtures("workspace")
def test_who_made_the_last_u_fills_in_and_says_what_to_annotate(trained: list[TrainingJob]) -> None:
    """Before a round, the first teachers; after it, its students too; a round that was not kept changes nothing."""
    params = with_rounds(one=a_round("pseudo_label", a={"seed": 60}), two=a_round("rounds/one", b={"seed": 50}))
    first, one = ["first"], ["first", "a"]
    for number, (name, expected) in enumerate(((None, first), ("one", one), ("two", one))):
        if name is not None:
            rounds.run(params, Progress(), name)
        fill_in.run(params, Progress(), "train")
        made_of = table_info(read_table(layout.filled("train"), "instances")).made_by["inputs"]
        assert sorted(Path(folder).name for folder in made_of) == sorted(expected)
        out = export_next(params, 2, Path(f"out{number}"), Progress())
        assert {tuple(part.split(":")[0] for part in person.teacher.split()) for person in out.people} == {
            tuple(expected)
        }
        listed = read_json(layout.figures("pseudo_label", "val"))
        if name is not None:
            listed = read_json(layout.figures("rounds", "one"))["labels"]["val"]
        assert out.people[0].disagreement == listed["annotate_next"][0]["disagreement"]
        assert last_labels(Context(params), "val")["annotate_next"] == listed["annotate_next"]


@pytest.mark.usefixtures("workspace")
def test_students_alone_label_as_if_they_were_the_first_teachers(trained: list[TrainingJob]) -> None:
    params = with_rounds(one=a_round("pseudo_label", keep=False, a={"seed": 70}))
    rounds.run(params, Progress(), "one")
    assert who("one") == ["a"]
    found = read_table(layout.labels("rounds/one", "val"), "instances")
    write_network(layout.teacher("first"), 70)
    pseudo_label.run(params, Progress(), "val")
    expected = read_table(layout.letter("U", "val"), "instances")
    for column in set(found.column_names) - {"teacher"}:
        assert found[column].equals(expected[column]), column


@pytest.mark.usefixtures("workspace")
def test_a_student_is_trained_on_the_labelled_people_and_on_u() -> None:
    params = with_rounds(one=a_round("pseudo_label", a={"seed": 3}))
    returned = rounds.run(params, Progress(), "one")
    card = checkpoints.read_card(layout.students("one") / "a")
    tables = [Path(path) for path in card["trained_by"]["inputs"]][:2]
    kinds = [set(read_table(path, "instances")["kind"].to_pylist()) for path in tables]
    assert kinds == [{"labelled"}, {"pseudo"}]
    assert tables[1] == layout.letter("U", "val")
    assert layout.curves("rounds", "one/a").is_file()
    assert returned["val_oks"] == read_json(layout.figures("rounds", "one/a"))["val_oks"] == card["figures"]["val_oks"]


def test_without_rounds_the_first_labels_are_the_last() -> None:
    params = load_params(PROFILES / "built-in.yaml")
    assert compose_sets.letter_files(params, "U") == [Path("data/sets/U/unlabeled.parquet")]


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"one": a_round("rounds/two", a={})}, "rounds.one.after = 'rounds/two': rounds follow each other; allowed: "
         "pseudo_label"),
        ({"one": a_round("pseudo_label", a={}), "two": a_round("pseudo_label", a={})},
         "rounds.two.after = 'pseudo_label': rounds follow each other; allowed: rounds/one"),
        ({"one": a_round("pseudo_label")}, "rounds.one.students = {}: Dictionary should have at least 1 item"),
        ({"one": a_round("pseudo_label", a={"model": "lite7"})},
         "rounds.one.students.a.model = 'lite7': no such network in models; allowed: lite0, lite1"),
        ({"one": a_round("pseudo_label", a={"padding": 1.5})},
         "rounds.one.students.a: crops of 128x96, padding 1.5, do not show the same part of the picture as "
         "train_teachers.models.lite0's of 128x96, padding 1.25,"),
        ({"one": a_round("pseudo_label", a={"epochs": 0})}, "rounds.one.students.a.epochs = 0"),
        ({"one": a_round("pseudo_label", a={"epohcs": 1})}, "rounds.one.students.a.epohcs = 1: unknown key"),
        ({"one/b": a_round("pseudo_label", a={})}, "pattern"),
    ],
)  # fmt: skip
def test_rounds_that_cannot_run_are_explained(named: dict[str, Any], said: str) -> None:
    raw = load_yaml((PROFILES / "built-in.yaml").read_text(), "built-in.yaml")
    raw["models"]["tiny"] = raw["models"]["lite0"]
    raw["rounds"] = named
    with pytest.raises(ValueError, match="rounds") as error:
        parse_params(raw, "params.yaml")
    assert any(line.startswith("params.yaml: ") and said in line for line in str(error.value).splitlines())


def test_a_round_says_less_than_its_students_and_all_trainings_less_than_the_round() -> None:
    raw = load_yaml((PROFILES / "built-in.yaml").read_text(), "built-in.yaml")
    raw["training"]["sigma"] = 1.1
    plain, blurred = {"model": "lite0"}, {"model": "lite1", "sigma": 1.3}
    raw["rounds"] = {"one": a_round("pseudo_label") | {"students": {"a": plain, "b": blurred}}}
    raw["rounds"]["one"]["training"]["padding"] = 1.25
    students = parse_params(raw, "x").students
    assert [s.training.sigma for s in students.values()] == [1.1, 1.3]
    assert [s.training.epochs for s in students.values()] == [1, 1]
    del raw["rounds"]["one"]["training"]["epochs"]
    with pytest.raises(
        ValueError,
        match=r"rounds\.one\.students\.a\.epochs: missing; set it here, or for others too as "
        r"rounds\.one\.training\.epochs or training\.epochs",
    ):
        parse_params(raw, "x")
