"""The contact sheet shows what the boxes hold."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.detection.pictures import contact_sheet


def test_each_cell_shows_its_box(tmp_path: Path) -> None:
    colours = [(250, 10, 10), (10, 250, 10), (10, 10, 250)]  # BGR
    for i, colour in enumerate(colours):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((50, 40, 3), colour, np.uint8))
    boxes = np.array([[5.0, 5, 20, 30], [-3.0, -3, 20, 30], [30.0, 40, 30, 30]])  # the last two leave their image
    png = contact_sheet([tmp_path / f"{i}.png" for i in range(3)], boxes, ["a", "b", "c"], columns=2, cell=(64, 48))
    sheet = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert sheet.shape == (2 * (64 + 14), 2 * 48, 3)
    for centre, colour in zip([(32, 24), (32, 72), (64 + 14 + 32, 24)], colours, strict=True):
        assert sheet[centre].tolist() == list(colour)
    with pytest.raises(ValueError, match="at least one box"):
        contact_sheet([], np.zeros((0, 4)), [])
