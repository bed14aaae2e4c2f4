"""Models that have learnt nothing, found before anybody trains on what they say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.learning.devices import pick_device
from pipeline.learning.ensemble import Member
from pipeline.learning.inference import predict
from pipeline.settings import Compute
from postproc.codec import decode

LOOKED_AT = 32  # people
_FEWEST = 4  # of fewer people nothing can be said
_FLAT = 1e-12  # an untrained head, which starts near 0, gives 1e-7
_ONE_PLACE = 0.75  # heatmap cells between a person's keypoints and their middle


def check_members(members: Sequence[Member], folders: Sequence[Path], people: pa.Table, compute: Compute) -> None:
    """ValueError names a member that sees nothing in the pictures, looking at people from all over the table.

    It puts all of a person's keypoints at one place, or every keypoint at the same place of every crop, or its heatmaps
    are flat. Trained models are far from all of them; one whose training failed is not.
    """
    rows = np.unique(np.linspace(0, people.num_rows - 1, min(LOOKED_AT, people.num_rows)).round().astype(int))
    if len(rows) < _FEWEST:
        return
    some = people.take(pa.array(rows)).combine_chunks()
    for member, folder in zip(members, folders, strict=True):
        if problem := _problem(member, some, compute):
            raise ValueError(
                f"{folder}: {problem}, for {len(rows)} people that were looked at: its training has failed. Look "
                "at its curves, train it again or leave it out; nothing was labelled"
            )


def _problem(member: Member, people: pa.Table, compute: Compute) -> str | None:
    cells, height = [], []
    for batch in predict(
        member.network,
        people,
        padding=member.padding,
        batch_size=LOOKED_AT,
        flip=False,
        compute=compute,
        device=pick_device(compute.device),
    ):
        found, _ = decode(batch.heatmaps, gaussian=None, refine="none")
        cells.append(found.cpu().numpy())
        height.append((batch.heatmaps.amax((1, 2, 3)) - batch.heatmaps.amin((1, 2, 3))).cpu().numpy())
    points = np.concatenate(cells)  # [N, K, 2]
    if np.concatenate(height).max() < _FLAT:
        return "its heatmaps are flat"
    if points.shape[1] > 1:
        apart = np.linalg.norm(points - points.mean(1, keepdims=True), axis=2).max(1)
        if (apart < _ONE_PLACE).mean() > 0.9:
            return "it puts all keypoints of a person at one place"
    if (points == points[:1]).all():
        return "it puts every keypoint at the same place of every crop, whoever is in it"
    return None
