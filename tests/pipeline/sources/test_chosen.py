"""A list of images makes a part of a set a source of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.records.tables import to_numpy
from pipeline.settings import Source
from pipeline.sources import read_records
from tests.pipeline.sources.small import coco_content, ingested, write_coco


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    monkeypatch.chdir(tmp_path)
    Path("splits").mkdir()
    return write_coco(tmp_path / "it", coco_content(people=6))


def part(source: Source, *names: str) -> Source:
    Path("splits/part.txt").write_text("".join(f"{name}\n" for name in names))
    return source.model_copy(update={"only": "splits/part.txt"})


def test_parts_hold_what_the_whole_does(source: Source) -> None:
    whole = read_records(source)
    names = whole.images.file_names
    parts = [read_records(part(source, *some)) for some in (names[:1], names[1:])]
    assert [records.images.file_names for records in parts] == [names[:1], names[1:]]
    image_of = dict(zip(whole.people.ids, whole.people.image_ids, strict=True))
    for records in parts:
        assert {image_of[person] for person in records.people.ids} == set(records.images.ids)
    assert sorted(parts[0].people.ids + parts[1].people.ids) == sorted(whole.people.ids)
    order = [whole.people.ids.index(person) for person in parts[1].people.ids]
    assert np.array_equal(parts[1].people.keypoints, whole.people.keypoints[order])


def test_people_of_images_that_are_not_listed_are_no_bad_records(source: Source) -> None:
    tables = ingested(part(source, read_records(source).images.file_names[0]))
    assert (tables["images"].num_rows, tables["quarantine"].num_rows) == (1, 0)
    assert len(to_numpy(tables["instances"], "bbox")) == 2


def test_a_list_that_does_not_fit_is_named(source: Source) -> None:
    with pytest.raises(ValueError, match=r"splits/part.txt: names 1 images that the source does not have, such as 'x"):
        read_records(part(source, "x.jpg"))
    with pytest.raises(ValueError, match=r"splits/part.txt: names no image"):
        read_records(part(source))
