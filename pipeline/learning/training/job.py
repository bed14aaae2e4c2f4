"""A training job: everything that decides a keypoint model, as plain data, and the run that turns it into a folder."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from torch import nn

from model import checkpoints
from model.network import PoseNetwork, build, replace_head
from pipeline import layout
from pipeline.learning.data import CropStore, packed
from pipeline.learning.devices import pick_device
from pipeline.learning.training import distributed
from pipeline.learning.training.engine import Trainer
from pipeline.learning.training.state import RunState, identity_of, parts_of, train_once
from pipeline.learning.training.validation import validate
from pipeline.progress import Progress
from pipeline.records.alignment import joined, read_in
from pipeline.records.artefacts import provenance, read_json, write_json, written
from pipeline.records.keypoints import KeypointSet
from pipeline.records.tables import concatenate, keypoint_set, labelled_people, read_table
from pipeline.settings import Compute, Decoding, KeypointModel, Training

# Validation during training only steers; it decodes as well as it can without asking for settings of its own.
_DECODING = Decoding(flip=False, shift=0.0, gaussian=False, refinement="parabola")


@dataclass(frozen=True)
class TrainingJob:
    """What to train. `tables` are joined; `start` is the folder of the model that fine-tuning begins from, or None."""

    stage: str
    item: str
    model: KeypointModel
    training: Training
    compute: Compute
    tables: tuple[Path, ...]
    validation: tuple[Path, ...]
    start: Path | None
    sampling: tuple[tuple[str, float], ...]  # weights by letter and source, see `row_weights`; empty: every row alike
    external: tuple[str, ...]  # the sources of A
    keep_auxiliary: bool  # fine-tuning goes on with it; inference never needs it
    output: Path

    def settings(self) -> dict[str, Any]:
        """What the result depends on, beside the inputs. How fast it is computed is not part of it."""
        return {
            "model": self.model.model_dump(),
            "training": self.training.model_dump(),
            "precision": self.compute.precision,
            "sampling": dict(self.sampling),
            "keep_auxiliary": self.keep_auxiliary,
            "processes": self.compute.processes,
            "crop_store": self.compute.crop_store,
        }

    def inputs(self) -> dict[str, Path]:
        """The files that decide the result."""
        files = {f"table {i}": path for i, path in enumerate(self.tables)}
        files |= {f"validation {i}" if i else "validation": path for i, path in enumerate(self.validation)}
        if self.start is not None:
            files["start"] = self.start
        if Path(self.model.weights).is_file():
            files["weights"] = Path(self.model.weights)
        return files


def run_job(job: TrainingJob, progress: Progress) -> dict[str, Any]:
    """Train (or find the finished run of the same fingerprint), write the model's folder, curves and figures."""
    distributed.check_world(job.compute.processes)
    parts = parts_of(job.settings(), job.inputs(), __name__)
    state = RunState(job.stage, identity_of(parts))
    train_once(state, f"{job.stage} {job.item}", _train, job, parts, progress)
    return _publish(job, state) if distributed.rank() == 0 else {}


def _train(job: TrainingJob, state: RunState, progress: Progress) -> None:
    device = distributed.own_device(pick_device(job.compute.device))
    with distributed.process_group(device):
        with progress.task("load"):
            table = concatenate([read_table(path, "instances") for path in job.tables], {})
            keypoints = keypoint_set(table)
            people = validation_people(job.validation, keypoints)
            torch.manual_seed(job.training.seed)
            network = starting_network(job, keypoints)
            store = _crops(job, table, network, progress) if job.compute.crop_store else None

        def validated(candidate: nn.Module) -> dict[str, float]:
            assert isinstance(candidate, PoseNetwork)
            return validate(
                candidate,
                people,
                padding=job.training.padding,
                batch_size=job.training.batch_size,
                compute=job.compute,
                device=device,
                settings=_DECODING,
            )

        weights = row_weights(table, dict(job.sampling), job.external) if job.sampling else None
        trainer = Trainer(network, table, job.training, job.compute, device, state, progress, validated, weights, store)
        curves = trainer.run()
        if distributed.rank() == 0:
            _finish(job, state, trainer.network, keypoints, curves)


def _crops(job: TrainingJob, table: pa.Table, network: PoseNetwork, progress: Progress) -> CropStore:
    return packed(
        table,
        layout.crops(),
        input_size=network.spec.input_size,
        padding=job.training.padding,
        augmentation=job.training.augmentation,
        workers=job.compute.workers,
        progress=progress,
    )


def validation_people(paths: Sequence[Path], keypoints: KeypointSet) -> pa.Table:
    """The people of these tables that validate a model, in its keypoints. ValueError where nobody is labelled."""
    people = joined(read_in(path, keypoints) for path in paths)
    labelled = labelled_people(people)
    if not labelled.num_rows:
        raise ValueError(
            f"{' and '.join(map(str, paths))}: none of {people.num_rows} people has a labelled keypoint of "
            f"{keypoints.name}, and training is validated on them: choose another data.validation"
        )
    return labelled


def starting_network(job: TrainingJob, keypoints: KeypointSet) -> PoseNetwork:
    """The network the job starts from: built new, or another job's model (with a new head where the set differs)."""
    if job.start is None:
        return build(job.model.model_dump(), len(keypoints))
    network = checkpoints.load(job.start)
    if network.keypoints != len(keypoints):
        replace_head(network, len(keypoints))
    return network


def row_weights(table: pa.Table, weights: dict[str, float], external: Sequence[str]) -> np.ndarray:
    """[N] sampling weight of each row: its letter's (H and U by their kind, A by its sources, C is the rest) times its
    source's, 1 where there is none."""
    kinds = table["kind"].cast(pa.string()).to_pylist()
    sources = table["source"].cast(pa.string()).to_pylist()
    by_kind = {"hard_negative": "H", "pseudo": "U"}
    letters = (
        by_kind.get(kind, "A" if source in external else "C") for kind, source in zip(kinds, sources, strict=True)
    )
    return np.asarray(
        [weights.get(letter, 1.0) * weights.get(source, 1.0) for letter, source in zip(letters, sources, strict=True)]
    )


def _finish(
    job: TrainingJob, state: RunState, network: PoseNetwork, keypoints: KeypointSet, curves: list[dict[str, float]]
) -> None:
    card = {
        "keypoint_set": keypoints.name,
        "keypoint_definition": keypoints.as_dict(),
        "keypoint_names": list(keypoints.names),
        "padding": job.training.padding,
        "trained_on": f"{job.stage} {job.item}",
        "trained_by": {"stage": job.stage, **provenance(job.settings(), job.inputs().values())},
        "figures": curves[-1],
    }
    with state.finishing() as temporary:
        checkpoints.save(network if job.keep_auxiliary else network.drop_auxiliary(), temporary, card)
        pd.DataFrame(curves).to_csv(temporary / "curves.csv", index=False, float_format="%.8g")
        write_json(temporary / "figures.json", curves[-1])


def _publish(job: TrainingJob, state: RunState) -> dict[str, Any]:
    """Copy the finished run to where DVC expects it."""
    with written(job.output) as temporary:
        temporary.mkdir(parents=True)
        for name in ("model.safetensors", "card.json"):
            shutil.copyfile(state.final / name, temporary / name)
    with written(layout.curves(job.stage, job.item)) as temporary:
        shutil.copyfile(state.final / "curves.csv", temporary)
    figures: dict[str, Any] = read_json(state.final / "figures.json")
    write_json(layout.figures(job.stage, job.item), figures)
    return figures
