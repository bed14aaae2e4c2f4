from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.benchmarks import coco_sized, data
from pipeline.settings import Source
from pipeline.sources import read_records
from tests.pipeline.learning.data.people import noise_people


def test_the_generated_file_holds_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(coco_sized, "_BATCH", 128)
    coco_sized.write_annotations(tmp_path / "index.json", images=300, people=700, labelled=400)
    content = json.loads((tmp_path / "index.json").read_text())
    assert [len(content[key]) for key in ("images", "annotations", "categories")] == [300, 700, 1]
    assert sum(person["num_keypoints"] > 0 for person in content["annotations"][400:]) == 0
    records = read_records(
        Source(format="coco", index=str(tmp_path / "index.json"), images=str(tmp_path), keypoints="coco")
    )
    assert (len(records.images.ids), len(records.people), len(records.quarantine)) == (300, 700, 0)


def test_every_way_of_cutting_crops_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, value in (("SIZES", ((64, 48),)), ("ROUNDS", 1), ("SAMPLES", 32)):
        monkeypatch.setattr(data, name, value)
    monkeypatch.setattr(data, "_opencv", lambda *_: [1])  # it knows its image root as `bench`
    figures = data.crop_figures(noise_people(tmp_path, 4))
    assert [figure.name for figure in figures] == [
        "64x48, OpenCV",
        "64x48, every sample decodes its image",
        "64x48, every sample decodes its image, hard views",
        "64x48, packed crop store",
        "64x48, packed crop store, hard views",
        "64x48, every sample decodes its image, hard views",
        "64x48, packed crop store, hard views",
        "64x48, packed crop store, a person",
    ]
    assert all(figure.median > 0 for figure in figures)
    rates, (ratio,) = [figure.median for figure in figures[3:5]], [figure.median for figure in figures[6:7]]
    assert ratio == rates[0] / rates[1]


def test_images_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    profile = Path(__file__).parents[3] / "pipeline/profiles/built-in.yaml"
    (tmp_path / "params.yaml").write_text(profile.read_text())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"data\.sources\.train\.index = .* is not there .*--index and --images"):
        data.main(["--parts", "crops"])
    with pytest.raises(ValueError, match="belong together"):
        data.main(["--index", "a.json"])
