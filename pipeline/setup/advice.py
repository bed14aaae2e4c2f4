"""What to set for the data and the machine at hand, and why: a value and a reason for each key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.records.sides import mirror_pairs, sided
from pipeline.setup.facts import Facts, Machine
from pipeline.setup.keypoints import OwnSet

Advice = dict[str, tuple[Any, str]]  # by the key's path

# Crops of 4:3, upright or lying, or square, the smallest first.
_UPRIGHT = ([128, 96], [160, 128], [192, 160], [256, 192], [384, 288])
_SQUARE = ([128, 128], [160, 160], [192, 192], [256, 256], [384, 384])
_ON_CPU, _ON_GPU = 160, 384  # longest side of a crop that trains in reasonable time
_PADDING = 1.25
_ROUNDS, _FINE_TUNING, _TEACHING = 15, 3, 10  # epochs
_DETECTOR_STEPS = {False: 600, True: 6000}  # without and with a GPU
_SMALL_BOX = 24.0  # pixels that the smallest people should have before the detector
_LARGEST_PICTURE = {False: 512, True: 1333}
_ALL_ALONE = 0.95


@dataclass(frozen=True)
class Roles:
    """The sources by what they are for."""

    labelled: tuple[str, ...]
    validation: tuple[str, ...]
    external: tuple[str, ...]
    unlabelled: tuple[str, ...]


def strategy(facts: Facts, roles: Roles, detector: str | None) -> tuple[str, str]:
    """Which of the recipe's letters the data are enough for, and why."""
    letters, why = {"C"}, ["C: the labelled set"]
    if roles.external:
        letters.add("A")
        why.append("A: the external labels")
    if detector is None:
        why.append("no H or U: the profile trains no detector")
    elif facts.alone >= _ALL_ALONE:
        why.append(f"no H: {facts.alone:.0%} of the pictures have one annotation, so others in them may be unannotated")
    else:
        letters.add("H")
        why.append("H: what the detector takes for one on C")
    if roles.unlabelled and detector is not None:
        letters.add("U")
        why.append("U: the unlabelled pictures")
    phi = "".join(letter for letter in "ACHU" if letter in letters)
    return f"{phi}-{'CH' if 'H' in letters else 'C'}", "; ".join(why)


def advice(base: Mapping[str, Any], facts: Facts, machine: Machine, keypoints: OwnSet, letters: str) -> Advice:
    """Values for the keys of a profile that the data or the machine decide."""
    gpu = machine.gpus > 0
    found: Advice = {**_compute(machine), **_trainings(base, facts, gpu), **_augmentation(base, keypoints)}
    size, why = input_size(facts, gpu)
    networks = {base["train_joint"]["model"]}
    if "U" in letters:
        networks |= {t["model"] for t in base["train_teachers"]["models"].values() if "checkpoint" not in t}
    for name in sorted(networks):
        found[f"models.{name}.input_size"] = (size, why)
    sigma = round(2 * max(size) / 256, 2)
    found["training.sigma"] = (
        sigma,
        f"2 at 64 heatmap cells (Sun 2019); {max(size)} pixels have {max(size) // 4}",
    )
    if base["train_detector"]["models"]:
        found |= _detector(base, facts, gpu)
    if "U" in letters:
        few = min(4, max(1, len(keypoints.names) // 3))
        found["pseudo_label.min_keypoints"] = (few, f"of {len(keypoints.names)}")
    return found


def input_size(facts: Facts, gpu: bool) -> tuple[list[int], str]:
    """Height and width of the crops: the form of the median box, as large as three quarters of them are."""
    tall = facts.tallness
    sizes = _UPRIGHT if not 0.87 <= tall <= 1.15 else _SQUARE
    wanted, most = facts.long_side * _PADDING, _ON_GPU if gpu else _ON_CPU
    allowed = [size for size in sizes if max(size) <= most]
    chosen = next((size for size in allowed if max(size) >= wanted), allowed[-1])
    form = "square" if sizes is _SQUARE else "upright" if tall > 1 else "lying"
    size = list(chosen) if tall >= 0.87 else [chosen[1], chosen[0]]
    why = f"boxes are {form}, three in four below {facts.long_side:.0f} pixels, padded {wanted:.0f}"
    if max(size) < wanted:
        why += f"; {max(size)} is the most that trains in hours {'on a GPU' if gpu else 'without a GPU'}"
    return size, why


def _compute(machine: Machine) -> Advice:
    if not machine.gpus:
        return {"compute.workers": (0, f"{machine}: the training itself uses them")}
    found: Advice = {"compute.workers": (min(8, max(1, machine.cores // machine.gpus - 1)), str(machine))}
    if machine.gpus > 1:
        found["compute.processes"] = (machine.gpus, f"one a GPU; batch_size is that of each of the {machine.gpus}")
    return found


def _trainings(base: Mapping[str, Any], facts: Facts, gpu: bool) -> Advice:
    """How long: some passes over few people, fewer over many; about as many samples as the machine does in hours."""
    people = facts.labelled
    whole = base["train_joint"].get("samples_per_epoch", base["training"].get("samples_per_epoch")) is None
    if whole and people >= 20_000:
        return {}  # a profile for large sets
    passes = 140 if people < 2_000 else 60 if people < 10_000 else 30
    least, most = (20_000, 3_000_000) if gpu else (2_000, 40_000)
    total = min(max(passes * people, least), most)
    each = math.ceil(total / _ROUNDS / 10) * 10
    batch = min(32, max(4, 2 ** int(math.log2(max(4, people / 4)))))
    why = f"{people:,} labelled people, each about {_ROUNDS * each / people:.0f} times in all epochs"
    if total == most:
        why += f", the most that {'a GPU' if gpu else 'a CPU'} does in hours"
    warmup = min(30, _ROUNDS * math.ceil(each / batch) // 10)
    found: Advice = {
        "training.batch_size": (
            batch,
            "a quarter of the people at most" if batch < 32 else "Xiao 2018",
        ),
        "training.optimizer.warmup_steps": (warmup, "at most a tenth of the steps"),
        "train_joint.epochs": (_ROUNDS, "with samples_per_epoch: how long"),
        "train_joint.samples_per_epoch": (each, why),
        "train_joint.validate_every": (3, ""),
        "fine_tune.epochs": (_FINE_TUNING, "a tenth of the training, at a tenth of the rate"),
        "fine_tune.samples_per_epoch": (math.ceil(each / 2), ""),
        "fine_tune.validate_every": (_FINE_TUNING, ""),
    }
    if base["train_teachers"]["models"]:
        found |= {
            "train_teachers.training.epochs": (_TEACHING, "shorter than the student, who learns from more"),
            "train_teachers.training.samples_per_epoch": (each, ""),
            "train_teachers.training.validate_every": (5, ""),
        }
    return found


def _augmentation(base: Mapping[str, Any], keypoints: OwnSet) -> Advice:
    count = len(keypoints.names)
    many = max(2, math.ceil(count * 8 / 17))
    half = "training.augmentation.half_body"
    found: Advice = {f"{half}_keypoints": (many, f"of {count}, as COCO's 8 of 17")}
    if not keypoints.upper_body or many >= count:
        found[half] = (
            0.0,
            "few keypoints" if keypoints.upper_body else "the names tell no halves apart",
        )
    paired = {name for pair in mirror_pairs(keypoints.names) for name in pair}
    alone = [name for name in sided(keypoints.names) if name not in paired or not keypoints.mirrored]
    if alone:
        why = f"{alone[0]} has no counterpart, and a mirrored picture shows it on the other side"
        found["training.augmentation.flip"] = (0.0, why)
        found["evaluate.postprocessing.flip"] = (False, why)
        found["pseudo_label.decoding.flip"] = (False, why)
    return found


def _detector(base: Mapping[str, Any], facts: Facts, gpu: bool) -> Advice:
    """Picture sizes at which the small ones can be seen, anchors as large as the boxes then are, and how long."""
    name, section = next(iter(base["train_detector"]["models"].items()))
    network = base["models"][section["model"]]
    short, long = facts.image_sides
    scale = max(min(_SMALL_BOX / max(facts.box_sizes[0], 1.0), 1.0), min(192 / short, 2.0))
    scale = min(scale, _LARGEST_PICTURE[gpu] / long)
    least = max(64, 32 * round(short * scale / 32))
    most = max(least, 32 * math.ceil(long * scale / 32))
    scale = min(least / short, most / long)
    levels = len(network["anchor_sizes"])
    low, high = facts.box_sizes[0] * scale, facts.box_sizes[-1] * scale
    anchors = [max(8, int(4 * round(size / 4))) for size in np.geomspace(low, max(high, 2 * low), levels)]
    anchors = [size + 4 * sum(other == size for other in anchors[:place]) for place, size in enumerate(anchors)]
    batch = section["batch_size"]
    epochs = int(np.clip(math.ceil(_DETECTOR_STEPS[gpu] * batch / facts.images), 2, 40))
    steps = epochs * math.ceil(facts.images / batch)
    model, training = f"models.{section['model']}", f"train_detector.models.{name}"
    return {
        f"{model}.masks": (facts.masks and network["masks"], "all have masks" if facts.masks else "not all have masks"),
        f"{model}.min_size": (
            least,
            f"of {short:.0f} x {long:.0f}: one box in twenty is below {low:.0f} pixels then",
        ),
        f"{model}.max_size": (most, ""),
        f"{model}.anchor_sizes": (sorted(anchors), f"boxes of {low:.0f} to {high:.0f} pixels"),
        f"{model}.max_detections": (
            max(20, 2 * facts.most_in_an_image),
            f"{facts.most_in_an_image} an image at most",
        ),
        f"{training}.epochs": (epochs, f"{facts.images:,} images, {steps:,} steps"),
        f"{training}.validate_every": (epochs, ""),
        f"{training}.optimizer.warmup_steps": (min(section["optimizer"]["warmup_steps"], steps // 10), ""),
    }
