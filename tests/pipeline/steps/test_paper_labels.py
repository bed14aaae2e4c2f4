"""U in the paper's own setting: the matched person threshold, the mean of heatmaps, 0.9 for keypoints, all alike.

The teachers' heatmaps are fixed numbers, for a network's differ in their last bits from machine to machine. They are
multiples of 1/256, the crops' maps are halves and quarters: whatever adds them up finds the same bits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline import layout
from pipeline.learning import degenerate, ensemble
from pipeline.learning.ensemble import Member
from pipeline.learning.inference import Prediction
from pipeline.progress import Progress
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import TableInfo, read_table, table_from, to_numpy, write_table
from pipeline.settings import Decoding, Params, load_params
from pipeline.settings.profile import PROFILES
from pipeline.steps import pseudo_label

COCO = load_keypoint_set("coco")
TEACHERS = ("lite0", "lite1")
HEIGHT, WIDTH, STRIDE = 16, 12, 4  # of a heatmap, in cells; crop pixels a cell
FOUND, UNLABELLED = 60, 20  # detections and pictures
LABELLED = 7  # people of C, on four pictures: 1.75 a picture
LEAST = 4  # keypoints
WHOLE = Decoding(flip=True, shift="auto", gaussian=True, refinement="parabola")
EXACT = Decoding(flip=True, shift="auto", gaussian=False, refinement="none")
FROZEN = "f971f88bf4da49b8"


def heatmaps(teacher: int) -> np.ndarray:
    """[N, K, H, W] of everybody detected: a pyramid at a place of its own, from 208/256 to 255/256 high.

    Of every other person the second teacher's are a row lower.
    """
    n, k, y, x = np.meshgrid(*map(np.arange, (FOUND, 17, HEIGHT, WIDTH)), indexing="ij")
    top = 255 - (n * 7 + k * 11 + n * k) % 48
    row, column = (n * 3 + k * 5) % HEIGHT, (n + k * 7) % WIDTH
    away = np.abs(y - row - teacher * (n % 2)) + np.abs(x - column)
    return (np.maximum(top - (6 + 2 * teacher) * away, 0) / 256).astype(np.float32)


def partners() -> list[int]:
    found = list(range(17))
    for left, right in COCO.flip_indices:
        found[left], found[right] = right, left
    return found


def mirrored(maps: np.ndarray) -> np.ndarray:
    """What a teacher says of the mirrored crops: the same a little lower, left and right exchanged."""
    return np.ascontiguousarray(maps[:, partners(), :, ::-1]) - np.float32(1 / 128)


def crops() -> np.ndarray:
    """[N, 2, 3] from picture to crop: half as large, from a corner of its own."""
    maps, n = np.zeros((FOUND, 2, 3)), np.arange(FOUND)
    maps[:, 0, 0] = maps[:, 1, 1] = 0.5
    maps[:, 0, 2], maps[:, 1, 2] = -0.25 * (n % 9), -0.5 * (n % 5)
    return maps


def people(source: str, count: int, images: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The columns of the pictures, and of people on them."""
    place = np.arange(count) % images
    columns = [
        {
            "image_id": [f"{source}:{i}" for i in where], "source": [source] * len(where),
            "file_name": [f"{i}.jpg" for i in where], "width": [100] * len(where), "height": [100] * len(where),
        }
        for where in (np.arange(images), place)
    ]  # fmt: skip
    boxes = np.stack([np.arange(count) % 7, np.arange(count) % 5, 20 + place, 40 + place], 1).astype(np.float32)
    return columns[0], columns[1] | {"bbox": boxes}


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """The paper's setting, in a workspace with C, detections, three of each score, and teachers that say `heatmaps`."""
    monkeypatch.chdir(tmp_path)
    info = TableInfo("coco", {"train": "images", "unlabeled": "images"})
    Path("images").mkdir()
    pictures, labelled = people("train", LABELLED, 4)
    nothing = {
        "instance_id": [f"c{i}" for i in range(LABELLED)], "kind": ["labelled"] * LABELLED, "area": [1.0] * LABELLED,
        "iscrowd": [False] * LABELLED, "keypoints": np.zeros((LABELLED, 51)),
        "supervised": np.ones((LABELLED, 17), bool),
    }  # fmt: skip
    write_table(layout.images("train"), table_from("images", pictures, info))
    write_table(layout.instances("train"), table_from("instances", labelled | nothing, info))
    pictures, found = people("unlabeled", FOUND, UNLABELLED)
    for name in pictures["file_name"]:
        (Path("images") / name).touch()
    scores = (np.arange(FOUND) * 7 % FOUND // 3 / 32 + 0.25).astype(np.float32)
    told = {"detection_id": [f"d{i}" for i in range(FOUND)], "score": scores, "detector": ["person"] * FOUND}
    write_table(layout.images("unlabeled"), table_from("images", pictures, info))
    write_table(layout.detections("unlabeled"), table_from("detections", found | told, info))
    for name in TEACHERS:
        layout.teacher(name).mkdir(parents=True)
        (layout.teacher(name) / "card.json").write_text(name)

    def members(*_: Any) -> list[Member]:
        network = {"stride": float(STRIDE), "spec": SimpleNamespace(input_size=(HEIGHT * STRIDE, WIDTH * STRIDE))}
        return [
            Member(f"{name}:0", SimpleNamespace(**network, number=i), COCO.names, 1.25)  # type: ignore[arg-type]
            for i, name in enumerate(TEACHERS)
        ]

    def predict(network: Any, table: pa.Table, *, batch_size: int, flip: bool, **_: Any) -> Iterator[Prediction]:
        maps = heatmaps(network.number)
        who = np.array([int(name.removeprefix("d")) for name in table["detection_id"].to_pylist()])
        for rows in np.split(np.arange(len(who)), range(batch_size, len(who), batch_size)):
            plain, other = (torch.from_numpy(each[who[rows]]) for each in (maps, mirrored(maps)))
            yield Prediction(rows, crops()[who[rows]], network.spec.input_size, plain, other if flip else None)

    monkeypatch.setattr(ensemble, "load_members", members)
    for module in (ensemble, degenerate):
        monkeypatch.setattr(module, "predict", predict)
    built_in = load_params(PROFILES / "built-in.yaml")
    settings = built_in.pseudo_label
    assert (settings.person_threshold.mode, tuple(built_in.train_teachers.models)) == ("matched", TEACHERS)
    changes = {"keypoint_threshold": 0.9, "min_keypoints": LEAST, "batch_size": 16, "decoding": WHOLE}
    return built_in.model_copy(update={"pseudo_label": settings.model_copy(update=changes)})


def matched() -> float:
    """The score from which on pictures without labels have as many people as C's, 35 on 20; three score alike."""
    wanted, kept = LABELLED / 4 * UNLABELLED, 0
    scores = sorted((n * 7 % FOUND // 3 / 32 + 0.25 for n in range(FOUND)), reverse=True)
    while kept + 3 <= wanted or kept + 3 - wanted < wanted - kept:
        kept += 3
    return scores[kept - 1]


def fused(n: int, k: int) -> np.ndarray:
    """The mean [H, W] of both teachers' maps, each with the mirrored crop's, three quarters of a cell to the right."""
    total = np.zeros((HEIGHT, WIDTH))
    for teacher in range(2):
        plain = heatmaps(teacher)[n].astype(float)
        back = mirrored(heatmaps(teacher)[n : n + 1])[0].astype(float)[partners()[k], :, ::-1]
        for x in range(WIDTH):
            left = back[:, x] if x == 0 else back[:, x - 1]
            total[:, x] += (plain[k, :, x] + 0.25 * back[:, x] + 0.75 * left) / 2
    return total / 2


def smoothed(field: np.ndarray) -> np.ndarray:
    """By a Gaussian of sigma 1 in five cells, mirrored about the last cell at the border."""
    weights = np.exp(-(np.arange(-2, 3) ** 2) / 2.0)
    weights = np.outer(weights, weights) / weights.sum() ** 2
    wide = np.pad(field, 2, mode="reflect")
    return np.array(
        [[(weights * wide[y : y + 5, x : x + 5]).sum() for x in range(field.shape[1])] for y in range(field.shape[0])]
    )


def vertex(before: float, here: float, after: float) -> float:
    """Of the parabola through three values at -1, 0 and 1."""
    return 0.5 * (after - before) / (2 * here - before - after)


def place(field: np.ndarray) -> tuple[float, float]:
    """Column and row of a map's maximum, refined where both neighbours are there."""
    y, x = divmod(int(field.argmax()), WIDTH)
    dx = vertex(*field[y, x - 1 : x + 2]) if 0 < x < WIDTH - 1 else 0.0
    dy = vertex(*field[y - 1 : y + 2, x]) if 0 < y < HEIGHT - 1 else 0.0
    return x + dx, y + dy


def test_u_is_that_of_section_4_2_written_out(params: Params) -> None:
    figures = pseudo_label.run(params, Progress(), "unlabeled")
    table = read_table(layout.letter("U", "unlabeled"), "instances")
    triples, scores = to_numpy(table, "keypoints").reshape(-1, 17, 3), to_numpy(table, "keypoint_scores")
    names, supervised = table["instance_id"].to_pylist(), to_numpy(table, "supervised")
    assert figures["person_threshold"] == matched()
    row = 0
    for n in range(FOUND):
        if n * 7 % FOUND // 3 / 32 + 0.25 < matched():
            continue
        fields = [fused(n, k) for k in range(17)]
        sure = [field.max() >= 0.9 for field in fields]
        if sum(sure) < LEAST:
            continue
        assert names[row] == f"d{n}"
        np.testing.assert_array_equal(supervised[row], sure)
        np.testing.assert_allclose(scores[row], [field.max() for field in fields], atol=1e-6)
        for k, field in enumerate(fields):
            x, y = place(smoothed(field))
            corner = 0.25 * (n % 9), 0.5 * (n % 5)
            picture = [(STRIDE * x + corner[0]) / 0.5, (STRIDE * y + corner[1]) / 0.5, 2]
            np.testing.assert_allclose(triples[row, k], picture if sure[k] else [0, 0, 0], atol=1e-3)
        row += 1
    assert row == table.num_rows
    assert 10 < row < figures["people"] < FOUND, "both thresholds leave people out"
    assert 0.2 < supervised.mean() < 0.9
    np.testing.assert_array_equal(to_numpy(table, "weight"), supervised.astype(np.float32))
    expected = {name: np.asarray(people("unlabeled", FOUND, UNLABELLED)[1][name]) for name in ("image_id", "bbox")}
    who = [int(name.removeprefix("d")) for name in names]
    assert table["image_id"].to_pylist() == expected["image_id"][who].tolist()
    np.testing.assert_array_equal(to_numpy(table, "bbox"), expected["bbox"][who])
    np.testing.assert_array_equal(to_numpy(table, "area"), expected["bbox"][who, 2:].prod(1))
    assert set(table["teacher"].to_pylist()) == {"lite0:0 lite1:0"}
    assert set(table["kind"].to_pylist()) == {"pseudo"}


def test_u_has_the_bits_that_it_had_before_weights_precisions_and_rounds(params: Params) -> None:
    """The hash is that of the version before them: of arithmetic that no machine rounds."""
    settings = params.pseudo_label.model_copy(update={"decoding": EXACT})
    pseudo_label.run(params.model_copy(update={"pseudo_label": settings}), Progress(), "unlabeled")
    table = read_table(layout.letter("U", "unlabeled"), "instances")
    digest = hashlib.sha256("\n".join(table["instance_id"].to_pylist()).encode())
    for name in ("keypoints", "supervised", "keypoint_scores", "bbox", "area", "score"):
        digest.update(name.encode() + to_numpy(table, name).tobytes())
    assert digest.hexdigest()[:16] == FROZEN
