"""What a released version wrote is read and means the same, or is refused with what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from model import checkpoints
from pipeline import layout
from pipeline.records.artefacts import read_json
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import keypoint_set, read_table, schema, to_numpy
from pipeline.settings import load_params
from tests.frozen.make import said_of_it
from tests.pipeline.workspace import STRATEGY

VERSIONS = sorted(path for path in Path(__file__).parent.iterdir() if (path / "expected.json").is_file())
TABLES = {
    "data/tables/val/images.parquet": "images",
    "data/tables/val/instances.parquet": "instances",
    "data/tables/val/masks.parquet": "masks",
    "data/tables/val/quarantine.parquet": "quarantine",
    "data/detections/val.parquet": "detections",
    "data/results/C-C/val-detected.parquet": "poses",
}
# A manifest is made again by `ingest` whenever its stage runs, and read by nothing else: it may change its form.
REMEDIES = ("rerun", "the version that wrote it")


def read_or_refused(path: Path, name: str) -> int:
    """The rows of a table; -1 where it is refused in a line that says what to do."""
    try:
        return int(read_table(path, name).num_rows)
    except ValueError as error:
        text = str(error)
    assert text.startswith(f"{path}: ")
    assert any(remedy in text for remedy in REMEDIES)
    return -1


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_models_say_what_they_said(version: Path) -> None:
    torch.set_num_threads(1)
    expected, found = read_json(version / "expected.json"), said_of_it(version)
    near = 1e-4 * expected["largest"]
    assert found["heatmaps"] == pytest.approx(expected["heatmaps"], abs=near)
    assert found["scores"] == pytest.approx(expected["scores"], abs=1e-4)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
@pytest.mark.parametrize("place", TABLES)
def test_tables_are_read_or_refused_with_the_remedy(version: Path, place: str) -> None:
    rows = read_or_refused(version / place, TABLES[place])
    assert rows in (-1, pq.read_metadata(version / place).num_rows)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_labels_mean_what_they_meant(version: Path) -> None:
    path = version / layout.instances("val")
    if read_or_refused(path, "instances") < 0:
        pytest.skip("this version refuses them, and says what to do")
    table = read_table(path, "instances")
    assert keypoint_set(table).names == load_keypoint_set("coco").names
    raw = np.array(pq.read_table(path)["keypoints"].to_pylist())
    assert (to_numpy(table, "keypoints") == raw.astype(np.float32)).all()
    assert set(table.column_names) >= set(schema("instances", 17).names)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_params_are_valid_or_every_line_names_the_key(version: Path) -> None:
    problem = ""
    try:
        assert load_params(version / "params.yaml").strategies == [STRATEGY]
    except ValueError as error:
        problem = str(error)
    assert all(line.startswith(str(version / "params.yaml")) for line in problem.splitlines())


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_of_a_version_to_come_they_are_refused_with_the_remedy(version: Path, tmp_path: Path) -> None:
    path = tmp_path / "images.parquet"
    table = pq.read_table(version / "data/tables/val/images.parquet")
    content = json.loads(table.schema.metadata[b"ccm"]) | {"version": 99}
    pq.write_table(table.replace_schema_metadata({b"ccm": json.dumps(content).encode()}), path)
    with pytest.raises(ValueError, match=r"schema version 99, this code reads .*; rerun the stage"):
        read_table(path, "images")
    shutil.copytree(version / layout.final(STRATEGY), tmp_path / "model")
    card = checkpoints.read_card(tmp_path / "model") | {"format": 99}
    file = tmp_path / "model" / checkpoints.TENSORS
    save_file(load_file(file), file, metadata={"card": json.dumps(card)})
    with pytest.raises(ValueError, match=r"its card has format 99; this version reads .* the version that wrote it"):
        checkpoints.load(tmp_path / "model")
