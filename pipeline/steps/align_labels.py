"""AIC instances -> A: foreign labels, mapped to the target's keypoints by name (section 4.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import layout
from pipeline.progress import Progress
from pipeline.records.alignment import align
from pipeline.records.artefacts import provenance
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.tables import read_table, to_numpy, write_table
from pipeline.settings import Params


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Align the source `item`: people with at least `min_keypoints` shared keypoints labelled, crowds left out."""
    assert item is not None
    path, target = layout.instances(item), load_keypoint_set(params.data.keypoints)
    with progress.task("align"):
        table = read_table(path, "instances")
        settings = {"keypoints": params.data.keypoints, "min_keypoints": params.align_labels.min_keypoints}
        aligned = align(table, target, provenance(settings, [path]))
        supervised = to_numpy(aligned, "supervised")
        enough = supervised.sum(1) >= params.align_labels.min_keypoints
        aligned = aligned.filter(pa.array(enough & ~to_numpy(aligned, "iscrowd")))
    with progress.task("write"):
        write_table(layout.letter("A", item), aligned)
    labels = to_numpy(aligned, "supervised").sum(0)
    progress.table(
        "keypoints",
        [{"keypoint": name, "labelled": int(n)} for name, n in zip(target.names, labels, strict=True)],
        "Labels in A, by the target's keypoints",
    )
    return {
        "instances": aligned.num_rows,
        "left_out": table.num_rows - aligned.num_rows,
        "shared_keypoints": int(np.count_nonzero(labels)),
        "labels": int(labels.sum()),
    }
