"""The detector's training as a job: from the tables to the finished folder."""

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

from model.detector import DetectorSpec, PersonDetector, build_detector, save_detector
from pipeline import layout
from pipeline.detection.annotated import annotated, read_annotated
from pipeline.detection.average_precision import box_figures
from pipeline.detection.detect import boxes_in
from pipeline.detection.trainer import DetectorTrainer
from pipeline.learning.devices import pick_device
from pipeline.learning.training import distributed
from pipeline.learning.training.state import RunState, identity_of, parts_of, train_once
from pipeline.progress import Progress
from pipeline.records.artefacts import provenance, read_json, write_json, written
from pipeline.records.tables import read_table, table_info
from pipeline.settings import Compute, DetectorTraining

STAGE = "train_detector"
_VALIDATION_SCORE, _VALIDATION_NMS = 0.05, 0.5  # torchvision's; AP changes little below


@dataclass(frozen=True)
class DetectorJob:
    """Train detector `item` on the sources `labelled`, measure it on the sources `validation`."""

    item: str
    training: DetectorTraining
    compute: Compute
    labelled: tuple[str, ...]
    validation: tuple[str, ...]

    def settings(self) -> dict[str, Any]:
        """What the result depends on, beside the inputs. How fast it is computed is not part of it."""
        return {
            "training": self.training.model_dump(),
            "precision": self.compute.precision,
            "processes": self.compute.processes,
            "labelled": " + ".join(self.labelled),
            "validation": " + ".join(self.validation),
        }

    def inputs(self) -> dict[str, Path]:
        """The files that decide the result. The images stand behind their tables."""
        tables = [layout.images, layout.instances, *([layout.masks] if self.training.model.masks else [])]
        files = {f"labelled {i} {table.__name__}": table(s) for i, s in enumerate(self.labelled) for table in tables}
        files |= {
            f"validation {i} {table.__name__}": table(s) for i, s in enumerate(self.validation) for table in tables[:2]
        }
        if Path(self.training.model.weights).is_file():
            files["weights"] = Path(self.training.model.weights)
        return files


def run_job(job: DetectorJob, progress: Progress) -> dict[str, Any]:
    """Train (or find the finished run of the same fingerprint), write the detector's folder, curves and figures."""
    distributed.check_world(job.compute.processes)
    parts = parts_of(job.settings(), job.inputs(), __name__)
    state = RunState(STAGE, identity_of(parts))
    train_once(state, f"{STAGE} {job.item}", _train, job, parts, progress)
    return _publish(job, state) if distributed.rank() == 0 else {}


def _train(job: DetectorJob, state: RunState, progress: Progress) -> None:
    device = distributed.own_device(pick_device(job.compute.device))
    with distributed.process_group(device):
        with progress.task("load"):
            data = annotated(read_annotated(source, job.training.model.masks) for source in job.labelled)
            torch.manual_seed(job.training.seed)
            detector = build_detector(DetectorSpec(**job.training.model.model_dump(exclude={"architecture"})))

        def validated(candidate: PersonDetector) -> dict[str, float]:
            return validation_figures(candidate, job.validation, job.compute, device, progress)

        trainer = DetectorTrainer(detector, data, job.training, job.compute, device, state, progress, validated)
        curves = trainer.run()
        if distributed.rank() == 0:
            _finish(job, state, detector, curves)


def validation_figures(
    detector: PersonDetector, sources: Sequence[str], compute: Compute, device: torch.device, progress: Progress
) -> dict[str, float]:
    """COCO's box figures of people on sources with annotated boxes.

    Of several processes, which all call this, each searches its part of the images, and all get the figures.
    """
    columns = ["image_id", "bbox", "area", "iscrowd"]
    people = pa.concat_tables(
        read_table(layout.instances(s), "instances", columns).replace_schema_metadata() for s in sources
    )
    ids, files = [], []
    for source in sources:
        images = read_table(layout.images(source), "images")
        root = Path(table_info(images).image_roots[source])
        ids += images["image_id"].to_pylist()
        files += [root / name for name in images["file_name"].to_pylist()]
    first, last = distributed.share_of(len(files))
    was_training = detector.training
    detector.eval()
    detector.set_thresholds(_VALIDATION_SCORE, _VALIDATION_NMS)
    with detector.boxes_only():
        searched = boxes_in(detector, files[first:last], compute, device)
        description = f"validate on {', '.join(sources)}"
        part = list(progress.track(searched, total=last - first, description=description, unit="image"))
    detector.train(was_training)
    found = [boxes for share in distributed.from_all(part, "the others' part of the validation") for boxes in share]
    counts = [len(scores) for _, scores in found]
    boxes, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return box_figures(ids, people, np.repeat(ids, counts).tolist(), boxes, scores)


def _finish(job: DetectorJob, state: RunState, detector: PersonDetector, curves: list[dict[str, float]]) -> None:
    card = {
        "trained_on": " + ".join(job.labelled),
        "trained_by": {"stage": STAGE, **provenance(job.settings(), job.inputs().values())},
        "figures": curves[-1],
    }
    with state.finishing() as temporary:
        save_detector(detector, temporary, card)
        pd.DataFrame(curves).to_csv(temporary / "curves.csv", index=False, float_format="%.8g")
        write_json(temporary / "figures.json", curves[-1])


def _publish(job: DetectorJob, state: RunState) -> dict[str, Any]:
    """Copy the finished run to where DVC expects it."""
    with written(layout.detector(job.item)) as temporary:
        temporary.mkdir(parents=True)
        for name in ("model.safetensors", "card.json"):
            shutil.copyfile(state.final / name, temporary / name)
    with written(layout.curves(STAGE, job.item)) as temporary:
        shutil.copyfile(state.final / "curves.csv", temporary)
    figures: dict[str, Any] = read_json(state.final / "figures.json")
    write_json(layout.figures(STAGE, job.item), figures)
    return figures
