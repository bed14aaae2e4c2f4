import numpy as np
import pytest

from pipeline.records.tables import TableInfo, table_from, to_numpy
from pipeline.steps.compose_sets import thinned


def people(count=40):
    random = np.random.default_rng(0)
    visibility = random.choice([0, 1, 2], (count, 17), p=[0.2, 0.3, 0.5])
    visibility[0] = 1  # one person of whom all is occluded
    triples = np.concatenate([random.uniform(1, 90, (count, 17, 2)), visibility[:, :, None]], 2)
    columns = {
        "instance_id": [f"c:{i}" for i in range(count)],
        "image_id": ["c:0"] * count,
        "source": ["c"] * count,
        "file_name": ["0.jpg"] * count,
        "kind": ["labelled"] * count,
        "width": [100] * count,
        "height": [100] * count,
        "bbox": np.tile([0.0, 0, 99, 99], (count, 1)).astype(np.float32),
        "area": np.ones(count),
        "iscrowd": np.zeros(count, bool),
        "keypoints": triples.reshape(count, 51).astype(np.float32),
        "supervised": visibility > 0,
    }
    return table_from("instances", columns, TableInfo("coco", {"c": "images"}))


def visibility_of(table):
    return to_numpy(table, "keypoints")[:, 2::3]


def test_all_annotations_are_the_table_itself():
    assert thinned(people(), "all") is not None
    assert thinned(people(), "all").equals(people())


def test_without_occluded_keeps_every_visible_keypoint_and_no_other():
    before, after = visibility_of(people()), thinned(people(), "without_occluded")
    assert after.num_rows == 39  # nothing is left of the first
    np.testing.assert_array_equal(visibility_of(after), np.where(before[1:] == 2, 2, 0))
    np.testing.assert_array_equal(to_numpy(after, "supervised"), before[1:] == 2)


def test_as_many_visible_ones_go_as_there_are_occluded():
    before, after = visibility_of(people()), visibility_of(thinned(people(), "without_as_many_visible"))
    assert (after == 1).sum() == (before == 1).sum()
    assert (before == 2).sum() - (after == 2).sum() == (before == 1).sum()
    assert thinned(people(), "without_as_many_visible").equals(thinned(people(), "without_as_many_visible"))


@pytest.mark.parametrize("annotations", ["without_occluded", "without_as_many_visible"])
def test_an_empty_table_stays_empty(annotations):
    assert thinned(people().slice(0, 0), annotations).num_rows == 0
