"""Runs beside each other: what varies between them, and what they reached."""

from __future__ import annotations

import statistics
from typing import Any

import pytest

from pipeline.report.paper_tables import Run, side_by_side, table_text
from pipeline.report.paper_tables.side_by_side import short_names
from tests.pipeline.report.paper_tables.test_comparison import evaluated, params


def run(name: str, ap: float, **changes: Any) -> Run:
    """A run of the built-in profile with some params changed, `section__key=value`."""
    values: dict[str, Any] = params()
    for path, value in changes.items():
        *parents, last = path.split("__")
        section = values
        for key in parents:
            section = section[key]
        section[last] = value
    return Run(name, values, evaluated("ACHU-CH", ap))


SEEDS = "train_joint__training__seed"


def test_what_varies_is_named_and_nothing_else() -> None:
    runs = [run("workspace", 0.4), run("tall-cat", 0.5, mine_hard_negatives__score_threshold=0.7)]
    found = side_by_side(runs)
    assert {each.experiments for each in found} == {("workspace",), ("tall-cat",)}
    assert all(list(each.settings) == ["mine_hard_negatives.score_threshold"] for each in found)
    by_name = {each.experiments[0]: each.settings["mine_hard_negatives.score_threshold"] for each in found}
    assert by_name == {"workspace": 0.5, "tall-cat": 0.7}


def test_seeds_become_a_spread() -> None:
    reached = [0.40, 0.44, 0.45]
    found = side_by_side([run(f"run-{seed}", ap, **{SEEDS: seed}) for seed, ap in enumerate(reached)])
    detected = next(each for each in found if each.boxes == "detected")
    assert detected.seeds == 3
    assert detected.value == pytest.approx(statistics.mean(reached))
    assert detected.spread == pytest.approx(statistics.stdev(reached))
    assert "43.0 ± 2.6 (3 seeds)" in table_text(found)


def test_one_run_has_the_interval_of_its_images() -> None:
    alone = run("workspace", 0.4)
    alone.metrics["evaluate/ACHU-CH"]["val"]["detected"]["interval"] = {"AP": {"low": 0.35, "high": 0.46}}
    assert "40.0 (35.0-46.0)" in table_text(side_by_side([alone]))


def test_what_is_still_to_come_or_failed_is_left_out() -> None:
    pending = Run("queued", params(), {}, pending=True)
    assert side_by_side([pending, Run("empty", params(), {})]) == []
    assert table_text([]) == "nothing evaluated yet"


def test_a_setting_that_only_one_run_has_varies() -> None:
    found = side_by_side([run("a", 0.4), run("b", 0.5, train_joint__sampling={"C": 2.0})])
    assert {each.settings.get("train_joint.sampling.C") for each in found} == {None, 2.0}


def test_no_line_is_wider_than_a_terminal() -> None:
    many = {f"pseudo_label__{key}": value for key, value in (("keypoint_threshold", 0.7), ("min_keypoints", 9))}
    runs = [run("workspace", 0.4), run("a-very-long-name-of-an-experiment", 0.5, evaluate__box_threshold=0.1, **many)]
    text = table_text(side_by_side(runs))
    assert max(map(len, text.splitlines())) <= 80
    assert "min_keypoints=9" in text.replace("\n    ", " ")


def test_names_are_as_short_as_they_can_be() -> None:
    assert short_names(["a.b.seed", "c.b.seed", "a.rate"]) == {
        "a.b.seed": "a.b.seed", "c.b.seed": "c.b.seed", "a.rate": "rate",
    }  # fmt: skip
    assert short_names(["x.seed", "y.rate"]) == {"x.seed": "seed", "y.rate": "rate"}
