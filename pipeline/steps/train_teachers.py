"""One keypoint model of the teacher ensemble (section 4.2)."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyarrow as pa

from model import checkpoints
from model.network import PoseNetwork
from pipeline import layout
from pipeline.learning.devices import pick_device
from pipeline.learning.training.distributed import rank
from pipeline.learning.training.job import TrainingJob, run_job, validation_people
from pipeline.learning.training.validation import validate
from pipeline.progress import Progress
from pipeline.records.alignment import joined
from pipeline.records.artefacts import provenance, write_json, written
from pipeline.records.keypoints import KeypointSet, load_keypoint_set
from pipeline.records.tables import write_table
from pipeline.settings import Decoding, Params, Teacher, Training
from pipeline.steps.compose_sets import held_out, labelled_rows

PADDING = 1.25  # of the person box, for checkpoints that do not say: Xiao 2018's and Sun 2019's
_BATCH = 32
_DECODING = Decoding(flip=False, shift=0.0, gaussian=False, refinement="parabola")  # as training validates


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Train teacher `item` on C, or take the pose checkpoint that it is."""
    assert item is not None
    teacher = params.train_teachers.models[item]
    if teacher.training is None:
        return take(params, progress, item, teacher) if rank() == 0 else {}
    if rank() == 0:
        return train(params, progress, item, teacher, teacher.training, layout.STATE / "train_teachers")
    with TemporaryDirectory() as folder:  # the first of torchrun's processes alone writes where others look
        return train(params, progress, item, teacher, teacher.training, Path(folder))


def train(
    params: Params, progress: Progress, name: str, teacher: Teacher, training: Training, folder: Path
) -> dict[str, Any]:
    """Train a teacher on C, but for the images that are held out; the rows that are left go into `folder`."""
    people = folder / f"{name}.parquet"
    rows = joined(labelled_rows(params))
    write_table(people, rows.filter(pa.array(~held_out(rows, params.train_teachers.held_out))))
    job = TrainingJob(
        stage="train_teachers",
        item=name,
        model=teacher.model,
        training=training,
        compute=params.compute,
        tables=(people,),
        validation=tuple(map(layout.instances, params.data.validation)),
        start=None,
        sampling=(),
        external=(),
        keep_auxiliary=False,
        output=layout.teacher(name),
    )
    return run_job(job, progress)


def take(params: Params, progress: Progress, name: str, teacher: Teacher) -> dict[str, Any]:
    """Make a teacher of a checkpoint that was trained elsewhere, and measure it as the others are.

    Raises:
        ValueError: no such file, not the network that `model` describes, or one of other keypoints.
    """
    keypoints = load_keypoint_set(params.data.keypoints)
    with progress.task("load"):
        network, padding = pose_checkpoint(teacher, keypoints)
    with progress.task("validate"):
        figures: dict[str, Any] = {"epoch": 0}
        figures |= validate(
            network,
            validation_people([*map(layout.instances, params.data.validation)], keypoints),
            padding=padding,
            batch_size=_BATCH,
            compute=params.compute,
            device=pick_device(params.compute.device),
            settings=_DECODING,
        )
    file = teacher.model.weights
    card = {
        "keypoint_set": keypoints.name,
        "keypoint_definition": keypoints.as_dict(),
        "keypoint_names": list(keypoints.names),
        "padding": padding,
        "trained_on": f"elsewhere ({file})",
        "trained_by": {"stage": "train_teachers", **provenance(teacher.model_dump(), [file])},
        "figures": figures,
    }
    with written(layout.teacher(name)) as temporary:
        checkpoints.save(network.drop_auxiliary(), temporary, card)
    with written(layout.curves("train_teachers", name)) as temporary:
        pd.DataFrame([{**figures, "loss": None}]).to_csv(temporary, index=False)
    write_json(layout.figures("train_teachers", name), figures)
    return figures


def pose_checkpoint(teacher: Teacher, keypoints: KeypointSet) -> tuple[PoseNetwork, float]:
    """The network of a teacher's checkpoint and the padding of the boxes that it was trained with."""
    file = checkpoints.tensors_file(Path(teacher.model.weights))
    card = checkpoints.read_card(file, checkpoints.POSE) if checkpoints.is_ours(file) else None
    if card is None and teacher.model.architecture == "ccm":
        raise ValueError(
            f"{file}: holds no whole ccm, only this project's own checkpoints do; allowed for others: the "
            "architectures hrnet and simple_baseline"
        )
    if card is not None and tuple(card["keypoint_names"]) != keypoints.names:
        raise ValueError(f"{file}: predicts {card['keypoint_names']}, needed are {list(keypoints.names)}")
    network = checkpoints.load(file, teacher.model.model_dump(), len(keypoints))
    return network, PADDING if card is None else float(card.get("padding", PADDING))
