"""Labels out, ten corrected by a script, back in, retrained: with the commands a user types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.records.tables import read_table, to_numpy
from tests.test_miniature import Workspace, miniature

pytestmark = pytest.mark.slow
SETS = ("dvc", "repro", "compose_sets")
MOVED = 7.0  # pixels


def test_ten_corrected_people_train_in_place_of_the_guess(tmp_path: Path) -> None:
    params = miniature()
    params["synthesize"]["built-in"]["unlabeled_images"] = 30
    workspace = Workspace(tmp_path, params)
    workspace.run(*SETS)
    workspace.commit("first run")
    workspace.run("ccm", "annotate", "next", "--count", "50", "--out", "to-label")
    (exported,) = (tmp_path / "to-label").glob("annotations/*.json")
    content = json.loads(exported.read_text())
    assert len(content["annotations"]) == 50
    moved = corrected(content)
    (tmp_path / "corrected.json").write_text(json.dumps(content))

    before = people(tmp_path / "data/sets/U/unlabeled.parquet")
    assert moved.keys() <= before.keys()
    merge = ("ccm", "annotate", "merge", "corrected.json", "--exported", "to-label", "--by", "anna")
    assert "50 people came back, 10 of them corrected; 0 added, 0 removed" in workspace.run(*merge)
    said = workspace.run(*SETS)
    assert "ingest@unlabeled_corrected" in said

    after = people(tmp_path / "data/sets/U/unlabeled.parquet")
    assert before.keys() - after.keys() == moved.keys()  # the detector suppresses what overlaps by half
    for phase in ("train", "fine_tune"):
        trained = people(tmp_path / f"data/training/ACHU-CH/{phase}.parquet")
        for person, (number, place) in moved.items():
            np.testing.assert_allclose(trained[f"unlabeled_corrected:{person}"][number], place, atol=0.01)
    written = json.loads((tmp_path / "corrections/unlabeled.json").read_text())
    came_from = {entry["id"]: entry["came_from"] for entry in written["annotations"]}
    assert came_from.keys() == moved.keys()
    for person, origin in came_from.items():
        assert origin["person"] == person
        assert origin["by"] == "anna"
        assert origin["file"] == "corrected.json"
        assert origin["teacher"].count(":") == 2  # both teachers, each with its weights' hash

    files = [tmp_path / "params.yaml", tmp_path / "corrections/unlabeled.json"]
    states = [file.read_bytes() for file in files]
    workspace.run(*merge)
    assert [file.read_bytes() for file in files] == states
    assert "Running stage" not in workspace.run(*SETS)


def corrected(content: dict[str, Any]) -> dict[str, tuple[int, list[float]]]:
    """Move one keypoint of each of ten people; person -> which, and where it is now."""
    images = {image["id"]: image for image in content["images"]}
    moved = {}
    for entry in content["annotations"][::5]:
        number = len(moved)
        x, y, _ = entry["keypoints"][3 * number : 3 * number + 3]
        x += MOVED if x + MOVED < images[entry["image_id"]]["width"] - 1 else -MOVED
        entry["keypoints"][3 * number : 3 * number + 3] = [x, y, 2]
        moved[entry["attributes"]["person"]] = (number, [x, y, 2.0])
    return moved


def people(path: Path) -> dict[str, np.ndarray]:
    """Keypoints [K, 3] by the person's id."""
    table = read_table(path, "instances")
    keypoints = to_numpy(table, "keypoints").reshape(table.num_rows, -1, 3)
    return dict(zip(table["instance_id"].to_pylist(), keypoints, strict=True))
