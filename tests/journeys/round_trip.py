"""Labels out, ten corrected by a script, back in, and everything retrained to the report, as a user types it.

    python -m tests.journeys.round_trip --folder /tmp/round-trip

Exit status 1 where something does not hold. Figures go to standard output.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.records.tables import read_table, to_numpy
from tests.test_miniature import Workspace, miniature

MOVED = 7.0  # pixels
STUDENT = ("models/joint/ACHU-CH/model.safetensors", "models/final/ACHU-CH/model.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    folder = (arguments.folder or Path(tempfile.mkdtemp(prefix="round-trip-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    params = miniature()
    params["synthesize"]["built-in"]["unlabeled_images"] = 30
    workspace = Workspace(folder, params)
    repro(workspace)
    workspace.commit("first run")
    before, students = people(folder / "data/sets/U/unlabeled.parquet"), contents(folder)

    workspace.run("ccm", "annotate", "next", "--count", "50", "--out", "to-label")
    (exported,) = (folder / "to-label").glob("annotations/*.json")
    content = json.loads(exported.read_text())
    assert len(content["annotations"]) == 50
    moved = corrected(content)
    (folder / "corrected.json").write_text(json.dumps(content))
    assert moved.keys() <= before.keys()
    merge = ("ccm", "annotate", "merge", "corrected.json", "--exported", "to-label", "--by", "anna")
    assert "50 people came back, 10 of them corrected; 0 added, 0 removed" in workspace.run(*merge)

    ran = repro(workspace)
    assert {"ingest", "train_teachers", "train_joint", "fine_tune", "evaluate", "report"} <= ran
    after = people(folder / "data/sets/U/unlabeled.parquet")
    assert before.keys() - after.keys() == moved.keys()  # the detector suppresses what overlaps by half
    print(f"U: {len(before)} people before, {len(after)} after; the {len(moved)} corrected ones have left it")
    in_training(folder, moved)
    provenance(folder, moved)
    assert all(one != other for one, other in zip(students, contents(folder), strict=True))
    page = (folder / "reports/report.html").read_text()
    assert "unlabeled_corrected" in page
    print("the student was trained again, and the report names unlabeled_corrected")

    files = [folder / "params.yaml", folder / "corrections/unlabeled.json"]
    states = [file.read_bytes() for file in files]
    workspace.run(*merge)
    assert [file.read_bytes() for file in files] == states
    assert repro(workspace) == set()
    print("merged once more: no byte changed, nothing ran")


def repro(workspace: Workspace) -> set[str]:
    """Run what is stale; the stages that ran."""
    started = time.monotonic()
    said = workspace.run("dvc", "repro").splitlines()
    ran = {line.split("'")[1].split("@")[0] for line in said if line.startswith("Running stage")}
    print(f"dvc repro: {time.monotonic() - started:.0f} s, {len(ran)} kinds of stage ran", flush=True)
    return ran


def contents(folder: Path) -> list[bytes]:
    """The student's weights before and after fine-tuning."""
    return [(folder / name).read_bytes() for name in STUDENT]


def in_training(folder: Path, moved: Mapping[str, tuple[int, list[float]]]) -> None:
    """Both of the student's training sets hold the corrected keypoints where the corrector put them."""
    for phase in ("train", "fine_tune"):
        trained = people(folder / f"data/training/ACHU-CH/{phase}.parquet")
        for person, (number, place) in moved.items():
            np.testing.assert_allclose(trained[f"unlabeled_corrected:{person}"][number], place, atol=0.01)


def provenance(folder: Path, moved: Mapping[str, tuple[int, list[float]]]) -> None:
    """Each corrected person says whom it was, from which file, by whom, and what both teachers' weights were."""
    written = json.loads((folder / "corrections/unlabeled.json").read_text())
    came_from = {entry["id"]: entry["came_from"] for entry in written["annotations"]}
    assert came_from.keys() == moved.keys()
    for person, origin in came_from.items():
        assert (origin["person"], origin["by"], origin["file"]) == (person, "anna", "corrected.json")
        assert origin["teacher"].count(":") == 2


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


if __name__ == "__main__":
    main()
