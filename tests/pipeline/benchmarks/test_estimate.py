"""Estimates of a run, against sums done by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from model.spec import ModelSpec
from pipeline.benchmarks.derived import derived_rates, detector_macs
from pipeline.benchmarks.estimate import Counts, StagePlan, count, plan, read_counts
from pipeline.benchmarks.networks import size_of
from pipeline.benchmarks.rates import NetworkRate, Rates, networks_of, read_rates
from pipeline.records.tables import TableInfo, table_from, write_table
from pipeline.settings import Params, load_params

ROOT = Path(__file__).resolve().parents[3]
LETTERS = {"C": 1000, "A": 500, "H": 100, "U": 400}


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """The project's own params, in a folder where nothing has run."""
    monkeypatch.chdir(tmp_path)
    return load_params(ROOT / "params.yaml")


def rates_of(params: Params, training: float = 100.0, using: float = 400.0, crops: float = 1e9) -> Rates:
    rate = NetworkRate(training, using, batch_size=8, megabytes=1000.0, parameters=1_000_000)
    return Rates({"threads": 1}, dict.fromkeys(networks_of(params), rate), crops)


def counts_of(params: Params) -> Counts:
    images, people = dict.fromkeys(params.data.sources, 600), dict.fromkeys(params.data.sources, 1200)
    return Counts(images, people, dict(LETTERS), dict.fromkeys(params.data.sources, 3000))


def stage(plans: list[StagePlan], name: str) -> StagePlan:
    return next(found for found in plans if found.stage.startswith(name))


def test_training_takes_its_samples_over_the_rate(params: Params) -> None:
    """Epochs times samples, and each time 1,200 people validated at 400 a second, both divided among the devices."""
    joint = params.train_joint.training
    samples = joint.epochs * (joint.samples_per_epoch or 0)
    validations = -(-joint.epochs // joint.validate_every)
    for devices in (1, 4):
        found = stage(plan(params, counts_of(params), rates_of(params), devices), "train_joint")
        assert found.seconds == pytest.approx((samples / 100 + validations * 3) / devices)
        assert found.bottleneck == "network"


def test_an_epoch_without_a_number_of_samples_is_every_row_of_phi(params: Params) -> None:
    training = params.train_joint.training.model_copy(update={"samples_per_epoch": None})
    whole = params.model_copy(update={"train_joint": params.train_joint.model_copy(update={"training": training})})
    found = stage(plan(whole, counts_of(whole), rates_of(whole)), "train_joint")
    assert found.work == f"{training.epochs * sum(LETTERS.values()):,} samples"


def test_slow_loading_is_the_bottleneck(params: Params) -> None:
    """Without workers a sample costs its crop and its step: 1/50 + 1/100 seconds."""
    joint = params.train_joint.training
    found = stage(plan(params, counts_of(params), rates_of(params, crops=50.0)), "train_joint")
    samples = joint.epochs * (joint.samples_per_epoch or 0)
    validations = -(-joint.epochs // joint.validate_every)
    assert found.seconds == pytest.approx(samples * (1 / 50 + 1 / 100) + validations * 3)
    assert found.bottleneck == "loading"
    compute = params.compute.model_copy(update={"workers": 4})
    fed = params.model_copy(update={"compute": compute})
    assert stage(plan(fed, counts_of(fed), rates_of(fed, crops=50.0)), "train_joint").bottleneck == "network"


def test_memory_grows_with_the_batch(params: Params) -> None:
    """Weights, gradients and moments stay (16 MB for a million numbers); what a batch of 8 took beside them scales."""
    found = stage(plan(params, counts_of(params), rates_of(params)), "train_joint")
    assert found.memory == pytest.approx(16e6 + (1e9 - 16e6) * params.train_joint.training.batch_size / 8)


def test_what_tables_hold_is_counted_and_the_rest_assumed(params: Params, tmp_path: Path) -> None:
    before = count(params, {"train": 10, "unlabeled": 20}, {"train": 40, "external": 7})
    assert before.letters == {"C": 40, "A": 7, "H": 6, "U": 80}
    assert len(before.assumed) == len(params.detect_people.sources) + 3
    columns = {
        "detection_id": ["a", "b"], "image_id": ["u:1", "u:1"], "source": ["u", "u"], "file_name": ["x", "x"],
        "width": [9, 9], "height": [9, 9], "bbox": [[0, 0, 5, 5]] * 2, "score": [0.5, 0.6], "detector": ["d", "d"],
    }  # fmt: skip
    table = table_from("detections", columns, TableInfo("coco", {"u": "."}))
    write_table(tmp_path / "data/detections/unlabeled.parquet", table)
    after = count(params, {"train": 10, "unlabeled": 20}, {"train": 40, "external": 7})
    assert after.detections["unlabeled"] == 2
    assert len(after.assumed) == len(before.assumed) - 1


def test_rates_are_read_as_they_were_written(params: Params, tmp_path: Path) -> None:
    rates = rates_of(params)
    (tmp_path / "a.json").write_text(json.dumps(rates.as_dict()))
    (tmp_path / "b.json").write_text(json.dumps({"facts": [], "rates": rates.as_dict()}))
    assert read_rates(tmp_path / "a.json") == read_rates(tmp_path / "b.json") == rates
    odd = rates.as_dict()
    odd["networks"]["train_joint"]["using"] = "fast"
    (tmp_path / "c.json").write_text(json.dumps(odd))
    with pytest.raises(ValueError, match=r"c\.json: train_joint: using = 'fast'; allowed: a positive number"):
        read_rates(tmp_path / "c.json")
    for text in ("[]", "{}", '{"rates": 3}'):
        (tmp_path / "d.json").write_text(text)
        with pytest.raises(ValueError, match=r"d\.json: no rates"):
            read_rates(tmp_path / "d.json")


def test_a_network_that_was_not_measured_is_named(params: Params) -> None:
    rates = rates_of(params)
    few = replace(rates, networks={"train_joint": rates.networks["train_joint"]})
    with pytest.raises(ValueError, match="detectors/person"):
        plan(params, counts_of(params), few)


def test_counts_are_read_for_every_source(params: Params, tmp_path: Path) -> None:
    counts = {key: dict.fromkeys(params.data.sources, number) for key, number in (("images", 5), ("people", 9))}
    path = tmp_path / "counts.json"
    path.write_text(json.dumps(counts))
    assert read_counts(path, params) == (counts["images"], counts["people"])
    del counts["people"]["val"]
    path.write_text(json.dumps(counts))
    with pytest.raises(ValueError, match=r"counts\.json: people\.val = None; allowed: whole numbers from 0"):
        read_counts(path, params)


def test_derived_rates_are_the_peak_over_the_operations(params: Params) -> None:
    """6 operations a multiply-accumulate in training, 2 in use; a detector's are those that its own layers count."""
    found = derived_rates(params, peak=6e12, share=0.5, memory=8e10, device="x", crops=100.0)
    model = params.train_joint.model
    macs = size_of(ModelSpec.parse({**model.model_dump(), "weights": "none"}))["macs"]
    assert found.networks["train_joint"].training == pytest.approx(0.5e12 / macs)
    assert found.networks["train_joint"].using == pytest.approx(1.5e12 / macs)
    assert "DERIVED" in found.conditions["device"]
    assert set(found.networks) == set(networks_of(params))


def test_a_detectors_operations_are_those_of_its_layers(params: Params) -> None:
    """Box head: two layers and the predictor's two, of which a linear one takes inputs x outputs a proposal."""
    model = params.train_detector.models["person"].model
    more = model.model_copy(update={"sampled_proposals": model.sampled_proposals + 4, "masks": False})
    fewer = model.model_copy(update={"masks": False})
    width, head = model.fpn_channels, model.head_channels
    each = width * 49 * head + head * head + head * 2 + head * 8
    assert detector_macs(more)[0] - detector_macs(fewer)[0] == 4 * each
