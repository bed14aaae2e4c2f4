"""What every section of the report draws on: params, the artefacts that are there, and how figures are written."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline import layout
from pipeline.records.artefacts import read_json
from pipeline.records.keypoints import KeypointSet, load_keypoint_set
from pipeline.records.tables import read_table, table_info
from pipeline.records.text import one_line, read_file
from pipeline.report.blocks import MissingArtefact
from pipeline.report.paper_tables import Run, workspace_run
from pipeline.settings import Params


@dataclass(frozen=True)
class Context:
    """The workspace as the report sees it."""

    params: Params
    read: list[Path] = field(default_factory=list)  # by the section that is being made

    @cached_property
    def keypoints(self) -> KeypointSet:
        """The models' keypoint set."""
        return load_keypoint_set(self.params.data.keypoints)

    @cached_property
    def run(self) -> Run:
        """Params and metrics of the workspace, those aside that no second run would give: what took how long."""
        run = workspace_run()
        return replace(run, metrics={name: value for name, value in run.metrics.items() if name != layout.TIMES})

    @property
    def strategies(self) -> list[str]:
        """The strategies, the best training recipe last as the params list them."""
        return list(self.params.strategies)

    def metrics(self, stage: str, item: str | None = None) -> dict[str, Any]:
        """A stage's figures; `MissingArtefact` when it has not run."""
        path = layout.figures(stage, item)
        self.need(path, f"{stage}@{item}" if item else stage)
        found = read_json(path)
        if not isinstance(found, dict):
            raise ValueError(f"{path}: a {type(found).__name__}, figures by name belong there; rerun its stage")
        return found

    def table(self, path: Path, name: str, stage: str) -> pa.Table:
        """A table; `MissingArtefact` when its stage has not run."""
        self.need(path, stage)
        return read_table(path, name)

    def curves(self, stage: str, item: str) -> pd.DataFrame:
        """A training stage's curves."""
        path = layout.curves(stage, item)
        self.need(path, f"{stage}@{item}")
        return read_curves(path)

    def need(self, path: Path, stage: str) -> None:
        """`MissingArtefact` when a file or folder is not there."""
        if not path.exists():
            raise MissingArtefact(path, stage)
        self.read.append(path)

    def chosen(self, count: int) -> np.ndarray:
        """Which of `count` things are shown: up to `report.pictures`, by the report's seed, in order."""
        number = min(count, self.params.report.pictures)
        return np.sort(np.random.default_rng(self.params.report.seed).choice(count, number, replace=False))


def read_curves(path: Path) -> pd.DataFrame:
    """A training stage's curves, numbers by column, `epoch` the first; ValueError names the file."""
    try:
        curves = pd.read_csv(io.StringIO(read_file(path)))
    except (ValueError, pd.errors.ParserError) as error:  # no columns is a ValueError
        text = one_line(error).removeprefix(f"{path}: ")
        raise ValueError(f"{path}: not a CSV file of curves: {text}; rerun its stage") from None
    if not len(curves) or curves.columns[0] != "epoch":
        raise ValueError(f"{path}: its first column is not epoch, or it has no rows; rerun its stage")
    for name in curves.columns:
        if not (pd.api.types.is_numeric_dtype(curves[name]) or curves[name].isna().all()):
            raise ValueError(f"{path}: column {name!r} holds something else than numbers; rerun its stage")
    return curves


def image_path(table: pa.Table, row: int) -> Path:
    """The image file of a table's row."""
    source, name = table["source"][row].as_py(), table["file_name"][row].as_py()
    return Path(table_info(table).image_roots[source]) / name


def short(keypoint: str) -> str:
    """`left_ankle` as `l ankle`."""
    return keypoint.replace("left_", "l ").replace("right_", "r ").replace("_", " ")


def percent(value: float | None) -> str:
    """0.4321 as 43.2; a dash where there is nothing."""
    return "-" if value is None else f"{100 * value:.1f}"


def with_interval(figures: Mapping[str, Any], name: str) -> str:
    """`43.2 (41.0-45.1)`: a stat and its 95 % interval."""
    if name not in figures:
        return "-"
    interval = figures.get("interval", {}).get(name)
    return percent(figures[name]) + (f" ({percent(interval['low'])}-{percent(interval['high'])})" if interval else "")


def count_text(value: float) -> str:
    """12345 as 12,345."""
    return f"{value:,.0f}"
