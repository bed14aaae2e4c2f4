"""Hours, disk and memory of the configured run, from measured rates and counted rows: arithmetic, nothing is run.

Every device trains as fast as the one that was measured and none waits for another; so hours on several devices are the
least that they can be. What is not known before a stage has run (people detected, mined or pseudo-labelled) is
counted where its table is there, and otherwise assumed as `Counts` says.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from pipeline import layout
from pipeline.benchmarks.rates import NetworkRate, Rates, networks_of
from pipeline.records.artefacts import read_json
from pipeline.settings import Params, Training, parse_strategy

BOXES_AN_IMAGE = 8  # that a detector gives above evaluate.box_threshold, until they are counted
MINED = 0.15  # of C's people, until they are counted
# Bytes on disk, measured on the built-in run (17 keypoints, crops of 128x96):
_INSTANCE_BYTES = 143  # of a row of `instances`
_DETECTION_BYTES = 32
_POSE_BYTES = 326
_CROP_BYTES = 0.92  # of a packed crop, per pixel of the network's input
_STATE_COPIES = 4  # weights, two moments of Adam, and the best or averaged weights
_MODEL_COPIES = 3  # .state, models/ and DVC's cache


@dataclass
class Counts:
    """Images and people of each source, and rows of A, H and U; `assumed` says which were not counted."""

    images: dict[str, int] = field(default_factory=dict)
    people: dict[str, int] = field(default_factory=dict)
    letters: dict[str, int] = field(default_factory=dict)
    detections: dict[str, int] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class StagePlan:
    """One stage. `seconds` on the devices asked for; `bottleneck` is what it waits for."""

    stage: str
    work: str
    seconds: float
    bottleneck: str
    disk: float  # bytes that it leaves, DVC's cache included
    memory: float  # bytes of a training process, 0: of no account


def read_counts(path: Path, params: Params) -> tuple[dict[str, int], dict[str, int]]:
    """Images and people of each source from a file, as `{"images": {"train": 118287}, "people": {"train": 149813}}`.

    ValueError names what is odd, and a source that it leaves out.
    """
    content = read_json(path)
    found = []
    for key in ("images", "people"):
        values = content.get(key) if isinstance(content, dict) else None
        if not isinstance(values, dict):
            raise ValueError(f"{path}: {key} = {values!r}; allowed: a number for each source")
        for name in params.data.sources:
            value = values.get(name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f"{path}: {key}.{name} = {value!r}; allowed: whole numbers from 0, for each source")
        found.append({name: values[name] for name in params.data.sources})
    return found[0], found[1]


def count(params: Params, images: dict[str, int], people: dict[str, int]) -> Counts:
    """What the run will work on: rows of tables that are there, else what the sources hold, else an assumption.

    Args:
        params: the run.
        images, people: of the sources that were counted from their files, by name.
    """
    counts = Counts(dict(images), dict(people))
    for name in params.data.sources:
        for table, into in ((layout.images(name), counts.images), (layout.instances(name), counts.people)):
            if (rows := _rows(table)) is not None:
                into[name] = rows
        if (rows := _rows(layout.detections(name))) is not None:
            counts.detections[name] = rows
        else:
            counts.detections[name] = BOXES_AN_IMAGE * counts.images.get(name, 0)
            if name in params.detect_people.sources:
                counts.assumed.append(f"{BOXES_AN_IMAGE} detections an image of {name}")
    labelled = params.data.labelled
    counts.letters["C"] = sum(counts.people.get(name, 0) for name in labelled)
    an_image = counts.letters["C"] / max(1, sum(counts.images.get(name, 0) for name in labelled))
    guesses = {
        "A": (params.align_labels.sources, lambda name: counts.people.get(name, 0), "all people of {}"),
        "H": (params.mine_hard_negatives.sources, lambda _: MINED * counts.letters["C"], f"{MINED:.0%} of C, in {{}}"),
        "U": (
            params.pseudo_label.sources,
            lambda name: an_image * counts.images.get(name, 0),
            "as many people an image as C has, in {}",
        ),
    }
    for letter, (sources, guess, text) in guesses.items():
        counts.letters[letter] = 0
        for name in sources:
            rows = _rows(layout.letter(letter, name))
            counts.letters[letter] += round(guess(name)) if rows is None else rows
            if rows is None:
                counts.assumed.append(f"{letter}: {text.format(name)}")
    return counts


def plan(params: Params, counts: Counts, rates: Rates, devices: int = 1) -> list[StagePlan]:
    """Every stage that takes time, in order, on so many devices.

    Args:
        params: the run.
        counts: what it works on.
        rates: measured on one device.
        devices: GPUs, or processes that each have as many cores as the one that was measured.

    Raises:
        ValueError: the rates lack a network of the params.
    """
    if missing := sorted(set(networks_of(params)) - set(rates.networks)):
        raise ValueError(f"rates: there is no network {missing[0]!r}; measured were {', '.join(rates.networks)}")
    stages = [*_detector_stages(params, counts, rates, devices)]
    validation = sum(counts.people.get(name, 0) for name in params.data.validation)
    for name, teacher in params.train_teachers.models.items():
        if teacher.training is not None:
            stages.append(
                _training(f"train_teachers@{name}", teacher.training, counts.letters["C"], validation,
                          rates.networks[f"teachers/{name}"], rates, params, devices)
            )  # fmt: skip
    stages += _labelling(params, counts, rates, devices)
    stages += [
        _training(path, student.training, counts.letters["C"] + counts.letters["U"], validation, rates.networks[path],
                  rates, params, devices)
        for path, student in params.students.items()
    ]  # fmt: skip
    network = rates.networks["train_joint"]
    for strategy in params.strategies:
        for stage, training, letters in zip(
            ("train_joint", "fine_tune"),
            (params.train_joint.training, params.fine_tune.training),
            parse_strategy(strategy),
            strict=True,
        ):
            rows = sum(counts.letters[letter] for letter in letters)
            stages.append(_training(f"{stage}@{strategy}", training, rows, validation, network, rates, params, devices))
        stages.append(_evaluation(strategy, params, counts, network, devices))
    return stages


def _training(
    stage: str,
    training: Training,
    rows: int,
    validation: int,
    network: NetworkRate,
    rates: Rates,
    params: Params,
    devices: int,
) -> StagePlan:
    samples = (training.samples_per_epoch or rows) * training.epochs
    workers = params.compute.workers
    loading = rates.crops * max(1, workers)
    # Without workers the step waits for its data; with them the slower of the two decides.
    rate = min(network.training, loading) if workers else 1 / (1 / network.training + 1 / loading)
    slow = "loading" if loading < network.training else "network"
    validations = -(-training.epochs // training.validate_every)
    using = network.using * _threads(rates)
    training_seconds, validating = samples / (rate * devices), validations * validation / (using * devices)
    weights = 4 * network.parameters
    store = _CROP_BYTES * params.train_joint.model.input_size[0] * params.train_joint.model.input_size[1] * rows
    disk = weights * (_MODEL_COPIES + _STATE_COPIES) + (store if params.compute.crop_store else 0)
    static = 4.0 * weights
    memory = static + max(0.0, 1e6 * network.megabytes - static) * training.batch_size / network.batch_size
    bottleneck = slow if training_seconds > validating else "validation"
    return StagePlan(stage, f"{samples:,} samples", training_seconds + validating, bottleneck, disk, memory)


def _detector_stages(params: Params, counts: Counts, rates: Rates, devices: int) -> Iterable[StagePlan]:
    roles = (params.data.labelled, params.data.validation)
    images, validation = (sum(counts.images.get(name, 0) for name in role) for role in roles)
    for name, training in params.train_detector.models.items():
        rate = rates.networks[f"detectors/{name}"]
        samples = training.epochs * images
        validations = -(-training.epochs // training.validate_every)
        tail = validations * validation / (rate.using * devices)
        seconds = samples / (rate.training * devices) + tail
        slow = "network" if seconds > 2 * tail else "validation"
        disk = 4.0 * rate.parameters * (_MODEL_COPIES + _STATE_COPIES)
        memory = 1e6 * rate.megabytes * training.batch_size / rate.batch_size
        yield StagePlan(f"train_detector@{name}", f"{samples:,} images", seconds, slow, disk, memory)
    for source, origin in params.detect_people.sources.items():
        found = rates.networks.get(str(Path(origin).relative_to("models"))) if origin.startswith("models/") else None
        if found is not None:
            work = counts.images.get(source, 0)
            seconds = work / (found.using * _side_by_side(params, devices))
            disk = 2.0 * _DETECTION_BYTES * counts.detections[source]
            yield StagePlan(f"detect_people@{source}", f"{work:,} images", seconds, "network", disk, 0)


def _labelling(params: Params, counts: Counts, rates: Rates, devices: int) -> Iterable[StagePlan]:
    orientations = 1 + params.pseudo_label.decoding.flip
    teachers = [rates.networks[f"teachers/{name}"] for name in params.train_teachers.models]
    people = round(counts.letters["U"] / max(1, len(params.pseudo_label.sources)))
    for source in params.pseudo_label.sources:
        each = sum(orientations / teacher.using for teacher in teachers)
        seconds = people * each / _side_by_side(params, devices)
        yield StagePlan(
            f"pseudo_label@{source}", f"{people:,} people, {len(teachers)} teachers", seconds, "network",
            2.0 * _INSTANCE_BYTES * people, 0,
        )  # fmt: skip


def _evaluation(strategy: str, params: Params, counts: Counts, network: NetworkRate, devices: int) -> StagePlan:
    people = 0
    for source in params.evaluate.sets:
        people += counts.people.get(source, 0) if "ground_truth" in params.evaluate.boxes else 0
        people += counts.detections[source] if "detected" in params.evaluate.boxes else 0
    orientations = 1 + params.evaluate.postprocessing.flip
    seconds = people * orientations / (network.using * _side_by_side(params, devices))
    return StagePlan(f"evaluate@{strategy}", f"{people:,} boxes", seconds, "network", 2.0 * _POSE_BYTES * people, 0)


def _side_by_side(params: Params, devices: int) -> int:
    """How many shards of a parallel stage are worked on at a time."""
    return max(devices, min(params.spread.workers, os.cpu_count() or 1) if devices == 1 else devices)


def _threads(rates: Rates) -> float:
    """`using` is of one thread; validation has all of the process's, which share the work by nine tenths at best."""
    return max(1.0, 0.9 * float(rates.conditions.get("threads", 1)))


def _rows(path: Path) -> int | None:
    return pq.read_metadata(path).num_rows if path.is_file() else None
