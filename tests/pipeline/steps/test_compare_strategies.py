import json

import numpy as np
import pytest
import torch

from pipeline import layout
from pipeline.evaluation.average_precision import STATS
from pipeline.evaluation.people import read_truth
from pipeline.progress import Progress
from pipeline.records.artefacts import read_json
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import read_table, table_from, table_info, to_numpy, write_table
from pipeline.steps import compare_strategies, evaluate
from tests.pipeline.evaluation.generated import coco_of, pycocotools_stats
from tests.pipeline.workspace import STRATEGY, make_workspace

torch.set_num_threads(1)
WORSE = "AC-C"


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """A strategy's results, and the same with every keypoint a little off as another's."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("compare")
        patch.chdir(folder)
        params = make_workspace(folder)
        evaluate.run(params, Progress(), STRATEGY)
        for boxes in params.evaluate.boxes:
            table = read_table(layout.results(STRATEGY) / f"val-{boxes}.parquet", "poses")
            triples = to_numpy(table, "keypoints").reshape(-1, 17, 3) + np.float32([3, 0, 0])
            columns = {name: table[name] for name in table.column_names} | {"keypoints": triples.reshape(-1, 51)}
            path = layout.results(WORSE) / f"val-{boxes}.parquet"
            write_table(path, table_from("poses", columns, table_info(table)))
        compare_strategies.run(params.model_copy(update={"strategies": [STRATEGY, WORSE]}), Progress())
        yield read_json(layout.figures("compare_strategies"))


@pytest.mark.parametrize("boxes", ["detected", "ground_truth"])
def test_a_difference_is_that_of_the_two_models_stats(figures, boxes):
    found = figures[f"{WORSE} minus {STRATEGY}"]["val"][boxes]
    tables = read_table(layout.images("val"), "images"), read_table(layout.instances("val"), "instances")
    truth = coco_of(read_truth(*tables, load_keypoint_set("coco")))
    results = json.loads((layout.results(STRATEGY) / f"val-{boxes}.json").read_text())
    better = pycocotools_stats(truth, results)
    for entry in results:
        entry["keypoints"][::3] = [x + 3 for x in entry["keypoints"][::3]]
    worse = pycocotools_stats(truth, results)
    for name, one, two in zip(STATS, better, worse, strict=True):
        if one >= 0:
            assert found[name]["difference"] == pytest.approx(two - one, abs=1e-6)
    assert found["AP"]["low"] <= found["AP"]["difference"] <= found["AP"]["high"]
    assert found["AP"]["difference"] < 0


def test_one_model_has_nothing_to_be_compared_with(figures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = make_workspace(tmp_path)
    evaluate.run(params, Progress(), STRATEGY)
    assert compare_strategies.run(params, Progress()) == {}
    assert read_json(layout.figures("compare_strategies")) == {}
