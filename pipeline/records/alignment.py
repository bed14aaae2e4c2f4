"""Moving people from one keypoint set to another: by name, never by position."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.records.keypoints import KeypointSet
from pipeline.records.tables import (
    TableInfo,
    concatenate,
    keypoint_set,
    read_table,
    table_from,
    table_info,
    to_numpy,
)


def align(table: pa.Table, target: KeypointSet, made_by: Mapping[str, Any]) -> pa.Table:
    """An `instances` table in another keypoint set: what both sets have moves over, by name (section 4.3).

    Supervised are the keypoints that both sets have and the row supervised; a keypoint that the row's set lacks is
    unlabelled and unsupervised. ValueError when the sets share no keypoint.
    """
    own, other = keypoint_set(table), target
    positions = own.positions_in(other)
    if not positions:
        raise ValueError(
            f"keypoint sets '{own.name}' and '{other.name}' share no name: {', '.join(own.names)} against "
            f"{', '.join(other.names)}"
        )
    there, here = list(positions.values()), list(positions)
    rows = table.num_rows
    keypoints, supervised = np.zeros((rows, len(other), 3), np.float32), np.zeros((rows, len(other)), bool)
    keypoints[:, there] = to_numpy(table, "keypoints").reshape(rows, len(own), 3)[:, here]
    supervised[:, there] = to_numpy(table, "supervised")[:, here]
    weight = np.zeros((rows, len(other)), np.float32)
    weight[:, there] = to_numpy(table, "weight")[:, here]
    moved = {"keypoints": keypoints.reshape(rows, 3 * len(other)), "supervised": supervised, "weight": weight}
    if table["keypoint_scores"].null_count < rows:
        scores = np.full((rows, len(other)), np.nan, np.float32)
        scores[:, there] = to_numpy(table, "keypoint_scores")[:, here]
        moved["keypoint_scores"] = scores
    same = {name: table[name] for name in table.column_names if name not in (*moved, "keypoint_scores")}
    return table_from("instances", same | moved, TableInfo(target, table_info(table).image_roots, made_by))


def read_in(path: Path, target: KeypointSet) -> pa.Table:
    """The `instances` table of a file in the keypoint set `target`: as it is where the names are the same."""
    table = read_table(path, "instances")
    return table if keypoint_set(table).names == target.names else align(table, target, table_info(table).made_by)


def joined(tables: Iterable[pa.Table]) -> pa.Table:
    """Tables of one keypoint set as one; a single one stays as it is, to the bit."""
    parts = list(tables)
    return parts[0] if len(parts) == 1 else concatenate(parts, {})
