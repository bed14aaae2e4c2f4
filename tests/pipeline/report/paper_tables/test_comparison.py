from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from pipeline.evaluation.ablation import ABLATION, OWN_SETTINGS
from pipeline.report.paper_tables import Run, compare, experiments_for, show
from pipeline.report.paper_tables.published import NUMBERS, STATS, published
from pipeline.settings.merging import resolve
from pipeline.settings.profile import profile_text
from pipeline.settings.reading import load_yaml

ROOT = Path(__file__).resolve().parents[4]
CONDITIONS = {
    "set": "val",
    "images": 150,
    "boxes": {"kind": "detected", "detector": "ours", "threshold": 0.05, "person_AP": 0.5},
    "model": "ccm small at 128x96",
}


def params(profile: str = "built-in") -> dict:
    """A profile's params, merged as they run."""
    return resolve(load_yaml(profile_text(profile), profile))[0]


def evaluated(strategy: str, ap: float, **views: object) -> dict:
    boxes = {"boxes": CONDITIONS["boxes"], "images": 150, "people": 300, "AP": ap, "AR": ap + 0.1}
    truth = {"boxes": {"kind": "ground_truth"}, "images": 150, "people": 300, "AP": ap + 0.2, **views}
    return {f"evaluate/{strategy}": {"val": {"detected": boxes, "ground_truth": truth}}}


def test_every_table_has_its_figures_and_shows_without_any_run():
    empty = Run("workspace", params(), MappingProxyType({}))
    rows = {2: 10, 3: 12, 4: 4, 5: 4, 6: 3, 7: 25, 8: 25, 9: 7, 10: 16, 11: 22, 12: 3, 13: 6, 14: 3}
    for number in NUMBERS:
        table = compare(number, [empty])
        assert len(published(number).rows) == rows[number]
        assert table.measured == 0
        assert table.conditions == ()
        assert "nothing measured here yet" in show(number, [empty])


def test_figures_are_the_papers():
    assert published(5).labels(published(5).rows[-1])["AP"] == "75.6"
    ours = published(8).labels(published(8).rows[20])
    assert (ours["SSP"], ours["AP"], ours["AR_L"]) == ("0.8", "76.0", "87.4")
    with pytest.raises(ValueError, match="allowed: 2 to 14"):
        published(1)


def test_a_measured_row_stands_beside_the_papers_and_says_which_boxes():
    settings = params()
    settings["strategies"] = ["ACHU-CH", "AC-C"]
    run = Run("workspace", settings, evaluated("ACHU-CH", 0.4321) | evaluated("AC-C", 0.4))
    text = show(5, [run])
    assert "75.6 | 43.2" in text
    assert "75.0 | 40.0" in text
    assert "74.8 |      " in text  # A-C was not measured
    assert "[1] val, 150 images, boxes of ours with score >= 0.05, person AP 50.0" in text


def test_all_rows_of_tables_7_and_8_come_from_one_run_of_the_ablation():
    rows = {name: dict.fromkeys(STATS, 0.5) for name in [*ABLATION, OWN_SETTINGS]}
    strategy = params()["strategies"][0]
    metrics = {f"ablate_postprocessing/{strategy}": {"rows": rows, "conditions": CONDITIONS}}
    run = Run("workspace", params(), metrics)
    for number in (7, 8):
        table = compare(number, [run])
        assert len(table.lines) == table.measured == 26
        assert all(cell.ours == "50.0" for line in table.lines for cell in line.cells)
        assert "ccm small at 128x96" in table.conditions[0]
        assert experiments_for(number, [run]) == []
    assert experiments_for(7, [Run("workspace", params(), {})]) == [{"strategies": [strategy]}]


def test_experiments_are_what_is_missing_and_none_twice():
    workspace = Run("workspace", params(), {})
    wanted = experiments_for(6, [workspace])
    thresholds = [settings.get("mine_hard_negatives.score_threshold", 0.5) for settings in wanted]
    assert thresholds == [0.5, 0.7, 0.9]
    assert all(settings["strategies"] == ["ACH-CH"] for settings in wanted)
    changed = params()
    changed["strategies"], changed["mine_hard_negatives"]["score_threshold"] = ["ACH-CH"], 0.7
    done = Run("exp-1", changed, evaluated("ACH-CH", 0.3))
    queued = Run("exp-2", {**changed, "mine_hard_negatives": {"score_threshold": 0.9}}, {}, pending=True)
    assert len(experiments_for(6, [workspace, done, queued])) == 1
    assert "75.2 | 30.0" in show(6, [workspace, done, queued])
    assert "(experiment exp-1)" in show(6, [workspace, done, queued])


def test_strategies_that_share_their_params_are_one_experiment():
    wanted = experiments_for(5, [Run("workspace", params(), {})])
    assert wanted == [{"strategies": ["C-C", "A-C", "AC-C", "ACH-CH", "ACHU-CH"]}]


def seeded(seed: int, strategies: list[str], name: str = "exp") -> tuple[str, dict]:
    settings = params()
    settings["train_joint"]["training"]["seed"] = settings["fine_tune"]["training"]["seed"] = seed
    settings["strategies"] = strategies
    return f"{name}-{seed}", settings


def test_seeds_become_a_mean_with_its_spread():
    metrics = [evaluated("AC-C", ap) for ap in (0.40, 0.44, 0.45)]
    runs = [Run(*seeded(seed, ["AC-C"]), each) for seed, each in enumerate(metrics)]
    runs += [replace(runs[0], name="again", metrics=evaluated("AC-C", 0.9))]  # the same seed is no new draw
    text = show(5, [Run("workspace", params(), {}), *runs])
    assert "75.0 | 43.0 ± 2.6" in text  # mean 43, squares 9 + 1 + 4 over two
    assert "mean and standard deviation of 3 seeds" in text
    other = params()
    other["mine_hard_negatives"]["score_threshold"] = 0.9  # another experiment, not another seed
    changed = Run("other", {**other, "strategies": ["AC-C"]}, evaluated("AC-C", 0.1))
    assert show(5, [Run("workspace", params(), {}), *runs, changed]) == text


def test_each_seed_is_queued_once():
    workspace = Run("workspace", params(), evaluated("ACHU-CH", 0.4))
    done = Run(*seeded(1, ["C-C", "A-C"]), evaluated("C-C", 0.3) | evaluated("A-C", 0.3))
    seed = {"train_joint.training.seed": 1, "fine_tune.training.seed": 1}
    assert experiments_for(5, [workspace, done], seeds=[0, 1]) == [
        {"strategies": ["C-C", "A-C", "AC-C", "ACH-CH"]},
        {**seed, "strategies": ["AC-C", "ACH-CH", "ACHU-CH"]},
    ]


def test_other_backbones_are_run_in_the_paper_profile_only():
    small = experiments_for(2, [Run("workspace", params(), {})])
    large = experiments_for(2, [Run("workspace", params("paper"), {})])
    assert not any("train_joint.model.backbone" in settings for settings in small)
    assert [s["train_joint.model.mixers"] for s in large if "hrnet_w32" in s.values()] == [[], [32], [32, 32], [32] * 3]
    assert len(small) == 6
    assert len(large) == 10


def test_differences_are_taken_between_ours():
    views = {"visible": {"people": 9, "AP": 0.5, "AR": 0.5}, "occluded": {"people": 5, "AP": 0.1, "AR": 0.2}}
    runs = []
    for name, kept, more in (("i", "without_occluded", 0.0), ("v", "without_as_many_visible", 0.25)):
        settings = params()
        settings["strategies"] = ["C-C"]
        settings["train_joint"]["annotations"] = kept
        occluded = {**views["occluded"], "AP": views["occluded"]["AP"] + more}
        runs.append(Run(name, settings, evaluated("C-C", 0.4, visible=views["visible"], occluded=occluded)))
    table = compare(13, runs)
    ap = [line.cells[0].ours for line in table.lines]
    assert ap == ["50.0", "10.0", "50.0", "0.0", "35.0", "25.0"]
