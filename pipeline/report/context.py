"""What every section of the report draws on: params, the artefacts that are there, and how figures are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
from pipeline.report.blocks import MissingArtefact
from pipeline.report.paper_tables import Run, workspace_run
from pipeline.settings import Params


@dataclass(frozen=True)
class Context:
    """The workspace as the report sees it."""

    params: Params

    @cached_property
    def keypoints(self) -> KeypointSet:
        """The models' keypoint set."""
        return load_keypoint_set(self.params.data.keypoints)

    @cached_property
    def run(self) -> Run:
        """Params and metrics of the workspace."""
        return workspace_run()

    @property
    def strategies(self) -> list[str]:
        """The strategies, the best training recipe last as the params list them."""
        return list(self.params.strategies)

    def metrics(self, stage: str, item: str | None = None) -> dict[str, Any]:
        """A stage's figures; `MissingArtefact` when it has not run."""
        path = layout.figures(stage, item)
        self.need(path, f"{stage}@{item}" if item else stage)
        found: dict[str, Any] = read_json(path)
        return found

    def table(self, path: Path, name: str, stage: str) -> pa.Table:
        """A table; `MissingArtefact` when its stage has not run."""
        self.need(path, stage)
        return read_table(path, name)

    def curves(self, stage: str, item: str) -> pd.DataFrame:
        """A training stage's curves."""
        path = layout.curves(stage, item)
        self.need(path, f"{stage}@{item}")
        return pd.read_csv(path)

    def need(self, path: Path, stage: str) -> None:
        """`MissingArtefact` when a file or folder is not there."""
        if not path.exists():
            raise MissingArtefact(path, stage)

    def chosen(self, count: int) -> np.ndarray:
        """Which of `count` things are shown: up to `report.pictures`, by the report's seed, in order."""
        number = min(count, self.params.report.pictures)
        return np.sort(np.random.default_rng(self.params.report.seed).choice(count, number, replace=False))


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
