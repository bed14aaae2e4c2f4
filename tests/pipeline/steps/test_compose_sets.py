from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline import layout
from pipeline.progress import Progress
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import TableInfo, read_table, table_from, to_numpy, write_table
from pipeline.settings import Params, load_params, parse_params
from pipeline.settings.profile import PROFILES
from pipeline.settings.reading import load_yaml
from pipeline.steps import compose_sets


def people(source: str, rows: int, kind: str, keypoints: str, labelled: int, supervised: int) -> object:
    """`rows` people whose first keypoints are labelled and supervised; the last row has neither."""
    count = {"coco": 17, "aic": 14}[keypoints]
    triples = np.zeros((rows, count, 3), np.float32)
    triples[: rows - 1, :labelled, 2] = 2
    looked_at = np.zeros((rows, count), bool)
    looked_at[: rows - 1, :supervised] = True
    columns = {
        "instance_id": [f"{source}:{kind}{i}" for i in range(rows)],
        "image_id": [f"{source}:{i}" for i in range(rows)],
        "source": [source] * rows,
        "file_name": ["a.jpg"] * rows,
        "kind": [kind] * rows,
        "width": [9] * rows,
        "height": [9] * rows,
        "bbox": np.ones((rows, 4), np.float32),
        "area": np.ones(rows),
        "iscrowd": np.zeros(rows, bool),
        "keypoints": triples.reshape(rows, -1),
        "supervised": looked_at,
    }
    return table_from("instances", columns, TableInfo(keypoints, {source: f"images/{source}"}))


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """The four letters' tables on disk: 3 + 5 + 2 + 4 trainable rows, one row more in each that nothing supervises."""
    monkeypatch.chdir(tmp_path)
    write_table(layout.instances("train"), people("train", 4, "labelled", "coco", 10, 10))
    write_table(layout.instances("external"), people("external", 8, "labelled", "aic", 14, 14))
    write_table(layout.letter("A", "external"), people("external", 6, "labelled", "coco", 12, 12))
    write_table(layout.letter("H", "train"), people("train", 3, "hard_negative", "coco", 0, 17))
    write_table(layout.letter("U", "unlabeled"), people("unlabeled", 5, "pseudo", "coco", 4, 4))
    return load_params(PROFILES / "built-in.yaml")


def compose(params: Params, strategy: str) -> dict[str, object]:
    return compose_sets.run(params.model_copy(update={"strategies": [strategy]}), Progress(), strategy)


def test_a_set_is_the_concatenation_of_its_letters(params: Params) -> None:
    figures = compose(params, "ACHU-CH")
    phi = read_table(layout.training_set("ACHU-CH", "train"), "instances")
    theta = read_table(layout.training_set("ACHU-CH", "fine_tune"), "instances")
    assert (phi.num_rows, theta.num_rows) == (5 + 3 + 2 + 4, 3 + 2)
    assert figures["train: rows of A"] == 5
    assert sorted(set(theta["kind"].to_pylist())) == ["hard_negative", "labelled"]
    assert to_numpy(phi, "supervised").any(1).all()


def test_hard_negatives_supervise_every_map_and_have_no_keypoint(params: Params) -> None:
    compose(params, "CH-CH")
    rows = read_table(layout.training_set("CH-CH", "train"), "instances").to_pylist()
    mined = [row for row in rows if row["kind"] == "hard_negative"]
    assert mined
    assert all(all(row["supervised"]) and not any(row["keypoints"][2::3]) for row in mined)


def test_a_alone_keeps_its_own_keypoints(params: Params) -> None:
    compose(params, "A-C")
    phi = read_table(layout.training_set("A-C", "train"), "instances")
    assert to_numpy(phi, "supervised").shape == (7, 14)
    assert to_numpy(read_table(layout.training_set("A-C", "fine_tune"), "instances"), "supervised").shape == (3, 17)


def test_bytes_depend_on_the_sets_own_letters_alone(params: Params) -> None:
    compose(params, "C-C")
    before = layout.training_set("C-C", "train").read_bytes()
    write_table(layout.letter("U", "unlabeled"), people("unlabeled", 9, "pseudo", "coco", 4, 4))
    compose(params, "C-C")
    assert layout.training_set("C-C", "train").read_bytes() == before
    compose(params, "CH-C")
    assert layout.training_set("CH-C", "fine_tune").read_bytes() == before


def test_c_without_a_labelled_keypoint_is_refused(params: Params) -> None:
    write_table(layout.instances("train"), people("train", 4, "labelled", "coco", 0, 0))
    with pytest.raises(ValueError, match=r"data/tables/train/instances\.parquet: none of 4 people"):
        compose(params, "C-C")


def several(params: Params) -> Params:
    """Two labelled sources, one of them in AI Challenger's keypoints."""
    data = params.data.model_copy(update={"labelled": ["train", "external"]})
    return params.model_copy(update={"data": data})


def test_labelled_sources_of_other_keypoints_join_by_name(params: Params) -> None:
    compose_sets.run(several(params), Progress(), "C-C")
    phi = read_table(layout.training_set("C-C", "train"), "instances")
    assert phi["source"].cast("string").to_pylist() == ["train"] * 3 + ["external"] * 7
    ours, theirs = load_keypoint_set("coco").names, load_keypoint_set("aic").names
    shared = [name in theirs for name in ours]
    assert sum(shared) == 12
    assert to_numpy(phi, "supervised")[3:].tolist() == [shared] * 7


def test_one_labelled_source_is_the_same_to_the_bit_in_a_list(params: Params) -> None:
    contents = []
    for labelled in ("train", ["train"]):
        raw = load_yaml((PROFILES / "built-in.yaml").read_text(), "")
        raw["data"]["labelled"] = labelled
        compose_sets.run(parse_params(raw, "params.yaml"), Progress(), "CH-C")
        contents.append(layout.training_set("CH-C", "train").read_bytes())
    assert contents[0] == contents[1]


def test_what_teachers_filled_in_counts_beside_u_in_phi_alone(params: Params) -> None:
    compose(params, "ACU-AC")
    compose(params, "AC-C")
    sets = [
        layout.training_set("ACU-AC", "fine_tune"),
        *(layout.training_set("AC-C", p) for p in ("train", "fine_tune")),
    ]
    before = [path.read_bytes() for path in sets]
    filled = params.model_copy(
        update={"pseudo_label": params.pseudo_label.model_copy(update={"fill_in": ["external", "train"]})}
    )
    write_table(layout.filled("external"), people("external", 6, "labelled", "coco", 17, 17))
    write_table(layout.filled("train"), people("train", 4, "labelled", "coco", 13, 13))
    figures = compose(filled, "ACU-AC")
    compose(filled, "AC-C")
    assert [path.read_bytes() for path in sets] == before
    assert [figures[f"train: rows of {letter}"] for letter in "ACU"] == [5, 3, 4]
    phi = to_numpy(read_table(layout.training_set("ACU-AC", "train"), "instances"), "supervised")
    assert phi.sum(1).tolist() == [17] * 5 + [13] * 3 + [4] * 4
