"""What a finished stage made, as small pictures for the page, drawn from its artefacts: part of the view only."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline import layout
from pipeline.progress import Progress
from pipeline.records.tables import keypoint_set, read_table, to_numpy
from pipeline.report.context import image_path, read_curves
from pipeline.report.drawing import RED, Scene, Skeleton, around, drawn

PEOPLE, COLUMNS, HEIGHT = 24, 8, 160
SHOWN = 0.2  # the score from which a keypoint of a pose is drawn; a labelled one's visibility is 1 or 2


def show(stage: str, item: str | None, progress: Progress) -> None:
    """Send the pictures that there are of a stage's results: curves of a training, people with their keypoints."""
    curves = layout.curves(stage, item or "")
    try:
        if curves.is_file():
            progress.image("curves", curves_png(read_curves(curves)), "Loss, and AP on the validation set, by epoch")
        for path, title in _people(stage, item):
            table = read_table(path, "instances" if stage == "pseudo_label" else "poses")
            if table.num_rows:
                progress.image(title, people_png(table), f"{table.num_rows} people, one in {_step(table)} shown")
    except (OSError, ValueError) as error:  # the stage's work is done all the same
        progress.say(f"no picture: {error}")


def _people(stage: str, item: str | None) -> Iterator[tuple[Path, str]]:
    if stage == "pseudo_label" and item:
        yield layout.letter("U", item), "pseudo-labels"
    if stage in ("evaluate", "evaluate_ensemble") and item:
        for path in sorted(layout.results(item).glob("*.parquet")):
            yield path, f"predictions-{path.stem}"


def _step(table: pa.Table) -> int:
    return -(-table.num_rows // PEOPLE)


def people_png(table: pa.Table) -> bytes:
    """A PNG of up to `PEOPLE` people, evenly from an `instances` or `poses` table, with their boxes and keypoints."""
    keypoints = keypoint_set(table)
    triples = to_numpy(table, "keypoints").reshape(table.num_rows, -1, 3)
    boxes, cells = to_numpy(table, "bbox"), []
    for row in range(0, table.num_rows, _step(table)):
        skeleton = Skeleton(triples[row, :, :2], triples[row, :, 2] > SHOWN)
        scene = Scene(image_path(table, row), around([boxes[row]]), [(boxes[row], RED)], [skeleton])
        cells.append(drawn(scene, keypoints, HEIGHT))
    width = max(cell.shape[1] for cell in cells)
    sheet = np.full((-(-len(cells) // COLUMNS) * HEIGHT, min(COLUMNS, len(cells)) * width, 3), 255, np.uint8)
    for number, cell in enumerate(cells):
        top, left = number // COLUMNS * HEIGHT, number % COLUMNS * width
        sheet[top : top + HEIGHT, left : left + cell.shape[1]] = cell
    encoded: np.ndarray = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1]
    return encoded.tobytes()


def curves_png(curves: pd.DataFrame) -> bytes:
    """A PNG of a training's loss by epoch, and its validation AP where it was measured."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    loss = figure.subplots()
    loss.plot(curves["epoch"], curves["loss"], marker=".", color="tab:blue")
    loss.set(xlabel="epoch", ylabel="loss")
    measured = next(
        (name for name in ("val_ap", "val_pck", "val_AP") if name in curves and curves[name].notna().any()), None
    )
    if measured is not None:
        rows = curves[curves[measured].notna()]
        accuracy = loss.twinx()
        accuracy.plot(rows["epoch"], rows[measured], marker="o", color="tab:orange")
        accuracy.set(ylabel="validation AP", ylim=(0, 1))
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()
