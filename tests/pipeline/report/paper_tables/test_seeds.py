import pytest

from pipeline.report.paper_tables import Run, mean_figures
from pipeline.report.paper_tables.seeds import Mean, other_seeds
from tests.pipeline.report.paper_tables.test_comparison import evaluated, seeded


def test_a_mean_and_the_samples_standard_deviation():
    mean = Mean.of([1.0, 2.0, 6.0])
    assert (mean.value, mean.count) == (3.0, 3)
    assert mean.spread == pytest.approx(7**0.5)  # 4 + 1 + 9 over two
    assert mean.text(1) == "3.0 ± 2.6"
    assert Mean.of([0.25]).text(2) == "0.25"


def test_runs_of_other_seeds_are_the_same_experiment():
    runs = [Run(*seeded(seed, ["C-C"]), evaluated("C-C", 0.3)) for seed in (0, 1, 1)]
    assert [run.name for run in other_seeds(runs[0], runs)] == ["exp-0", "exp-1"]
    data = Run(*seeded(2, ["C-C"]), {})
    data.params["synthesize"]["built-in"]["seed"] = 7
    assert other_seeds(runs[0], [data]) == runs[:1]


def test_figures_by_model_set_and_boxes():
    runs = [Run(*seeded(seed, ["C-C"]), evaluated("C-C", ap)) for seed, ap in ((0, 0.3), (1, 0.5))]
    higher = Run(*seeded(0, ["C-C"]), evaluated("C-C", 0.9))
    higher.params["evaluate"]["box_threshold"] = 0.5
    text = mean_figures([*runs, higher])
    assert "as params.yaml (2 sets of seeds)" in text
    assert "C-C on val, detected boxes, 2 seeds: AP 0.4000 ± 0.1414, AR 0.5000 ± 0.1414" in text
    assert "evaluate.box_threshold = 0.5 (1 set of seeds)" in text
    assert "C-C on val, ground_truth boxes, 1 seed: AP 1.1000" in text
