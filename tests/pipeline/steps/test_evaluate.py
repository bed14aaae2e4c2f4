import json
import shutil

import numpy as np
import pytest
import torch

from flows.spread import SpreadingProgress
from model.network import PoseNetwork
from pipeline import layout
from pipeline.evaluation.ablation import ABLATION, OWN_SETTINGS
from pipeline.evaluation.average_precision import STATS
from pipeline.evaluation.measures import OWN_FIGURES
from pipeline.evaluation.people import read_poses, read_truth
from pipeline.progress import Progress
from pipeline.records.artefacts import file_hash, read_json
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import TableInfo, read_table, table_from, table_info, to_numpy, write_table
from pipeline.settings import Spread
from pipeline.steps import ablate_postprocessing, evaluate, evaluate_ensemble
from tests.pipeline.evaluation.generated import coco_of, pycocotools_stats
from tests.pipeline.workspace import STRATEGY, make_workspace

torch.set_num_threads(1)
DASK = pytest.param(Spread(runner="dask", workers=2, address=None, shard_images=2), marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("workspace")
        patch.chdir(folder)
        params = make_workspace(folder)
        evaluate.run(params, Progress(), STRATEGY)
        yield params


def truth_of_val():
    tables = read_table(layout.images("val"), "images"), read_table(layout.instances("val"), "instances")
    return read_truth(*tables, load_keypoint_set("coco"))


@pytest.mark.parametrize("boxes", ["detected", "ground_truth"])
def test_the_results_file_scores_with_pycocotools_what_the_metrics_say(workspace, boxes):
    figures = read_json(layout.figures("evaluate", STRATEGY))["val"][boxes]
    results = json.loads((layout.results(STRATEGY) / f"val-{boxes}.json").read_text())
    expected = pycocotools_stats(coco_of(truth_of_val()), results)
    assert [figures.get(name, -1) for name in STATS] == expected
    assert 0 < figures["AP"] < 0.95  # neither nothing nor everything is found, or the equality would show little
    assert set(figures["interval"]) <= {*STATS, *OWN_FIGURES}


def test_every_ap_says_which_boxes_it_used(workspace):
    figures = read_json(layout.figures("evaluate", STRATEGY))["val"]
    assert figures["ground_truth"]["boxes"] == {"kind": "ground_truth", "count": 7}  # a crowd and one without keypoints
    about = figures["detected"]["boxes"]
    assert (about["kind"], about["detector"], about["threshold"]) == ("detected", "made-up", 0.05)
    assert 0.3 < about["person_AP"] < 1


def test_detections_that_touch_nobody_are_counted(workspace):
    detections = read_table(layout.detections("val"), "detections").to_pylist()
    people = read_table(layout.instances("val"), "instances").to_pylist()

    def touch(one, other):
        (x, y, w, h), (left, top, width, height) = one["bbox"], other["bbox"]
        across, down = min(x + w, left + width) - max(x, left), min(y + h, top + height) - max(y, top)
        return one["image_id"] == other["image_id"] and across > 0 and down > 0

    alone = sum(not any(touch(box, person) for person in people) for box in detections)
    figures = read_json(layout.figures("evaluate", STRATEGY))["val"]
    assert figures["detected"]["false_positive_boxes"] == alone
    assert "false_positive_boxes" not in figures["ground_truth"]


def test_annotated_boxes_give_the_oks_and_ap_of_equations_26_to_28(workspace):
    figures = read_json(layout.figures("evaluate", STRATEGY))["val"]
    assert not {"OKS", "AP_Eq27"} & {*figures["detected"], *figures["detected"]["visible"]}
    table, truth = read_table(layout.results(STRATEGY) / "val-ground_truth.parquet", "poses"), truth_of_val()
    poses, boxes = read_poses(table, truth), to_numpy(table, "bbox")  # Soft-NMS has kept every person's pose
    for found, counted in (
        (figures["ground_truth"], (1, 2)),
        (figures["ground_truth"]["visible"], (2,)),
        (figures["ground_truth"]["occluded"], (1,)),
    ):
        similarities = []
        for g in range(len(truth)):
            seen = np.isin(truth.keypoints[g, :, 2], counted)
            if truth.crowd[g] or not seen.any():
                continue
            (own,) = np.flatnonzero((poses.image == truth.image[g]) & np.isclose(boxes, truth.boxes[g]).all(1))
            square = ((poses.points[own] - truth.keypoints[g, :, :2]) ** 2).sum(1)[seen]
            similarities.append(np.exp(-square / (2 * truth.area[g] * (2 * truth.sigmas[seen]) ** 2)).mean())
        shares = [np.mean([oks > s for oks in similarities]) for s in np.linspace(0.5, 0.95, 10)]
        assert found["OKS"] == pytest.approx(np.mean(similarities), rel=1e-6)
        assert found["AP_Eq27"] == pytest.approx(np.mean(shares))


def test_every_ap_has_its_interval_and_its_conditions(workspace):
    figures = read_json(layout.figures("evaluate", STRATEGY))["val"]
    for boxes, found in figures.items():
        views = [found, found["visible"], found["occluded"], *found["max_iou"].values()]
        views += list(found["labelled_keypoints"].values())
        for view in views:
            for name in {"AP", "OKS", "AP_Eq27"} & set(view):
                assert view["interval"][name]["low"] <= view["interval"][name]["high"]
        assert {"AP", *(("OKS", "AP_Eq27") if boxes == "ground_truth" else ())} <= set(found["interval"])
        assert found["model"] == "ccm mobilenetv3_small_050 at 64x64"
        assert found["postprocessing"] == "flip test, shift auto, Gaussian filter, parabola, Soft-NMS at 0.9"


def test_poses_are_a_table_with_boxes_and_scores_sorted_by_image(workspace):
    table = read_table(layout.results(STRATEGY) / "val-detected.parquet", "poses")
    poses = read_poses(table, truth_of_val())
    assert (np.diff(poses.image) >= 0).all()
    assert set(table["model"].to_pylist()) == {STRATEGY}


def test_a_second_run_gives_the_same_bytes(workspace):
    before = file_hash(layout.results(STRATEGY)), file_hash(layout.figures("evaluate", STRATEGY))
    evaluate.run(workspace, Progress(), STRATEGY)
    assert (file_hash(layout.results(STRATEGY)), file_hash(layout.figures("evaluate", STRATEGY))) == before


def test_what_an_interrupted_run_has_found_is_not_found_again(workspace, monkeypatch):
    params = workspace.model_copy(update={"spread": workspace.spread.model_copy(update={"shard_images": 2})})
    seen = []
    forward = PoseNetwork.forward

    def counted(self, images):
        seen.append(len(images))
        if sum(seen) > people:  # half of the work: everyone once, and once mirrored
            raise KeyboardInterrupt
        return forward(self, images)

    people = read_table(layout.detections("val"), "detections").num_rows
    monkeypatch.setattr(PoseNetwork, "forward", counted)
    with pytest.raises(KeyboardInterrupt):
        evaluate.run(params, Progress(), STRATEGY)
    done = len(list((layout.STATE / "evaluate" / STRATEGY).glob("*.npz")))
    assert 0 < done < 3, "of three shards of two images"
    people, again = np.inf, len(seen)
    evaluate.run(params, Progress(), STRATEGY)
    resumed, again = sum(seen[again:]), len(seen)
    whole = file_hash(layout.results(STRATEGY)), file_hash(layout.figures("evaluate", STRATEGY))
    assert not (layout.STATE / "evaluate" / STRATEGY).exists()
    evaluate.run(params, Progress(), STRATEGY)
    assert resumed < sum(seen[again:])
    assert (file_hash(layout.results(STRATEGY)), file_hash(layout.figures("evaluate", STRATEGY))) == whole


@pytest.mark.parametrize("spread", [Spread(runner="threads", workers=3, address=None, shard_images=2), DASK])
def test_workers_find_what_one_process_finds(workspace, spread):
    settings = workspace.evaluate.model_copy(update={"boxes": ["detected"]})
    params = workspace.model_copy(update={"spread": spread, "evaluate": settings})
    evaluate.run(params, Progress(), STRATEGY)
    alone = file_hash(layout.results(STRATEGY)), file_hash(layout.figures("evaluate", STRATEGY))
    evaluate.run(params, SpreadingProgress(spread), STRATEGY)
    assert (file_hash(layout.results(STRATEGY)), file_hash(layout.figures("evaluate", STRATEGY))) == alone
    evaluate.run(workspace, Progress(), STRATEGY)  # for the other tests


def test_all_rows_of_the_ablation_come_from_one_pass_each_way(workspace, monkeypatch):
    seen = []
    forward = PoseNetwork.forward
    monkeypatch.setattr(PoseNetwork, "forward", lambda self, images: seen.append(len(images)) or forward(self, images))
    ablate_postprocessing.run(workspace, Progress(), STRATEGY)
    assert sum(seen) == 2 * read_table(layout.detections("val"), "detections").num_rows
    found = read_json(layout.figures("ablate_postprocessing", STRATEGY))
    assert set(found["rows"]) == {*ABLATION, OWN_SETTINGS}
    assert len(found["rows"]) == 26
    evaluated = read_json(layout.figures("evaluate", STRATEGY))["val"]["detected"]
    assert found["rows"][OWN_SETTINGS]["AP"] == evaluated["AP"]
    assert found["rows"][OWN_SETTINGS]["interval"]["AP"] == evaluated["interval"]["AP"]
    plain, own = found["rows"]["argmax"]["gain_interval"]["AP"], found["rows"][OWN_SETTINGS]["gain_interval"]["AP"]
    assert plain == {"low": 0.0, "high": 0.0}
    assert own["low"] <= evaluated["AP"] - found["rows"]["argmax"]["AP"] <= own["high"]
    assert found["conditions"]["boxes"] == evaluated["boxes"]


def test_another_keypoint_set_is_matched_by_name(workspace):
    instances = read_table(layout.instances("val"), "instances")
    truth = read_truth(read_table(layout.images("val"), "images"), instances, load_keypoint_set("aic"))
    assert "nose" not in truth.names
    assert len(truth.names) == 12
    whole = truth_of_val()
    for k, name in enumerate(truth.names):
        np.testing.assert_array_equal(truth.keypoints[:, k], whole.keypoints[:, whole.names.index(name)])
        assert truth.sigmas[k] == whole.sigmas[whole.names.index(name)]


def sets_of(params, *names):
    """The params with these evaluation sets, on detected boxes."""
    return params.model_copy(
        update={"evaluate": params.evaluate.model_copy(update={"sets": list(names), "boxes": ["detected"]})}
    )


def derived_set(name, change):
    """Another source with the pictures and boxes of `val`, its people changed."""
    for path in (layout.images, layout.detections):
        path(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path("val"), path(name))
    write_table(layout.instances(name), change(read_table(layout.instances("val"), "instances")))


def test_a_set_without_annotations_gives_results_for_the_server_and_no_figure(workspace):
    derived_set("test-dev", lambda instances: instances.slice(0, 0))
    evaluate.run(sets_of(workspace, "val", "test-dev"), Progress(), STRATEGY)
    figures = read_json(layout.figures("evaluate", STRATEGY))["test-dev"]["detected"]
    assert (figures["people"], figures["boxes"]["detector"]) == (0, "made-up")
    assert not [name for name in figures if name.startswith(("AP", "AR", "PCK", "OKS", "false", "interval"))]
    results = json.loads((layout.results(STRATEGY) / "test-dev-detected.json").read_text())
    assert len(results) == figures["poses"] == read_table(layout.detections("val"), "detections").num_rows
    for entry in results:
        assert set(entry) == {"image_id", "category_id", "keypoints", "score"}
        assert (type(entry["image_id"]), entry["category_id"], len(entry["keypoints"])) == (int, 1, 51)
    evaluate.run(workspace, Progress(), STRATEGY)  # for the other tests


def test_a_keypoint_set_without_sigmas_gives_pck_and_no_ap(workspace, tmp_path):
    names = load_keypoint_set("coco").names
    keypoints = tmp_path / "plain.yaml"
    keypoints.write_text(f"names: [{', '.join(names)}]\nflip_pairs: []\nlimbs: []\n")

    def without_sigmas(instances):
        columns = {name: instances[name] for name in instances.column_names}
        return table_from("instances", columns, TableInfo(str(keypoints), table_info(instances).image_roots))

    derived_set("plain", without_sigmas)
    evaluate.run(sets_of(workspace, "plain"), Progress(), STRATEGY)
    figures = read_json(layout.figures("evaluate", STRATEGY))["plain"]["detected"]
    assert 0 <= figures["PCK"] <= 1
    assert {f"PCK_{name}" for name in names} <= set(figures)
    assert not [name for name in figures if name.startswith(("AP", "AR", "OKS"))]
    evaluate.run(workspace, Progress(), STRATEGY)  # for the other tests


def test_an_ensemble_of_one_model_is_that_model(workspace):
    params = workspace.model_copy(update={"evaluate_ensemble": {"alone": [f"final/{STRATEGY}"]}})
    evaluate_ensemble.run(params, Progress(), "alone")
    alone = read_json(layout.figures("evaluate_ensemble", "alone"))["val"]["ground_truth"]
    model = read_json(layout.figures("evaluate", STRATEGY))["val"]["ground_truth"]
    assert alone["boxes"] == model["boxes"]
    assert alone["AP"] == pytest.approx(model["AP"], abs=0.05)  # an untrained model's peaks are nearly flat
    tables = [read_table(layout.results(name) / "val-ground_truth.parquet", "poses") for name in ("alone", STRATEGY)]
    one, two = (to_numpy(table, "keypoints") for table in tables)
    assert np.median(np.abs(one - two)) < 1e-4
