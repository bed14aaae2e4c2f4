"""The pictures of real stages' results."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from flows import pictures
from flows.view import PICTURE_LIMIT, small
from pipeline import layout
from pipeline.progress import Progress
from pipeline.records.tables import read_table
from pipeline.steps import evaluate
from tests.pipeline.workspace import STRATEGY, make_workspace


class Album(Progress):
    def __init__(self) -> None:
        self.pictures: dict[str, np.ndarray] = {}
        self.said: list[str] = []

    def image(self, key: str, png: bytes, description: str = "") -> None:
        assert len(small(png)[1]) <= PICTURE_LIMIT
        self.pictures[key] = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)

    def say(self, message: str) -> None:
        self.said.append(message)


def test_predictions_are_shown_person_by_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    evaluate.run(make_workspace(tmp_path), Progress(), STRATEGY)
    album = Album()
    pictures.show("evaluate", STRATEGY, album)
    assert set(album.pictures) == {"predictions-val-detected", "predictions-val-ground_truth"}
    people = read_table(layout.results(STRATEGY) / "val-ground_truth.parquet", "poses").num_rows
    height, width = album.pictures["predictions-val-ground_truth"].shape[:2]
    shown = len(range(0, people, -(-people // pictures.PEOPLE)))
    assert height == pictures.HEIGHT * -(-shown // pictures.COLUMNS)
    assert width == min(shown, pictures.COLUMNS) * pictures.HEIGHT * 0.8
    assert not album.said


def test_the_curves_of_a_training_rise_and_fall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = layout.curves("train_joint", "ACHU-CH")
    path.parent.mkdir(parents=True)
    pd.DataFrame({"epoch": [1, 2, 3], "loss": [3.0, 2.0, 1.0], "val_ap": [None, 0.2, 0.6]}).to_csv(path, index=False)
    album = Album()
    pictures.show("train_joint", "ACHU-CH", album)
    picture = album.pictures["curves"].astype(int)
    blue, green, red = picture[..., 0], picture[..., 1], picture[..., 2]
    for colour, falls in (((blue > red + 60), True), ((red > blue + 100) & (red > green + 60), False)):
        rows, columns = np.nonzero(colour)
        left, right = rows[columns < columns.min() + 9].mean(), rows[columns > columns.max() - 9].mean()
        assert (right > left) == falls  # image rows count downwards


def test_a_picture_that_cannot_be_drawn_is_said_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = layout.letter("U", "unlabeled")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no table")
    album = Album()
    pictures.show("pseudo_label", "unlabeled", album)
    assert len(album.said) == 1
    assert str(path) in album.said[0]
