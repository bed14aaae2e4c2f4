"""The whole of the params, as it runs: every network and training in full, frozen, validated before any stage works.

`params.yaml` says each thing once; `pipeline.settings.merging` turns the one into the other.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from pipeline.settings.networks import DetectorTraining, KeypointModel, Training
from pipeline.settings.section import Name, Positive, Section
from pipeline.settings.stages import (
    AblatePostprocessing,
    AlignLabels,
    Benchmark,
    Compute,
    Data,
    DetectPeople,
    Evaluate,
    Ingest,
    MineHardNegatives,
    OutsideTeacher,
    PseudoLabel,
    Report,
    Spread,
    Synthesize,
)

Letter = Literal["A", "C", "H", "U"]
Annotations = Literal["all", "without_occluded", "without_as_many_visible"]
HeldOut = Annotated[float, Field(ge=0, le=0.5)]
Ensemble = Annotated[list[str], Field(min_length=1)]
Strategies = Annotated[list[str], Field(min_length=1)]


class TrainDetector(Section):
    """The person detectors (section 4.1)."""

    models: dict[Name, DetectorTraining]
    """By name; {}: none is needed, for boxes come from files or from annotations."""


class Teacher(Section):
    """One model of the teacher ensemble: trained here, or (`training` null) the pose checkpoint at `model.weights`."""

    model: KeypointModel
    """Its network."""
    training: Training | None
    """Its training run; null: its weights are a checkpoint that somebody has."""


class TrainTeachers(Section):
    """The ensemble of section 4.2, trained on C."""

    held_out: HeldOut
    """Share of C's images that no teacher sees, to calibrate their scores on."""
    models: dict[Name, Teacher]
    """By name; {}: no teachers of our own."""


class TrainJoint(Section):
    """Training on Phi."""

    model: KeypointModel
    """The network that every strategy trains."""
    training: Training
    """Its training run."""
    annotations: Annotations
    """Of C: what section 6.5 compares."""
    sampling: dict[Name, Positive]
    """How often rows are drawn, by letter or by source ({C: 2.0, mine: 3.0}; both multiply); 1 is every row alike."""


class FineTune(Section):
    """Fine-tuning on Theta."""

    training: Training
    """Its training run."""


class Params(Section):
    """All of it."""

    profile: str
    compute: Compute
    spread: Spread
    data: Data
    synthesize: dict[Name, Synthesize]
    ingest: Ingest
    align_labels: AlignLabels
    train_detector: TrainDetector
    detect_people: DetectPeople
    mine_hard_negatives: MineHardNegatives
    train_teachers: TrainTeachers
    ask_teachers: dict[Name, OutsideTeacher]
    pseudo_label: PseudoLabel
    strategies: Strategies
    train_joint: TrainJoint
    fine_tune: FineTune
    evaluate: Evaluate
    evaluate_ensemble: dict[Name, Ensemble]
    ablate_postprocessing: AblatePostprocessing
    benchmark: Benchmark
    report: Report


_STRATEGY = re.compile(r"^(?P<phi>[ACHU]+)-(?P<theta>[ACHU]+)$")
_ARROW = re.compile(r"^[ACHU]+->[ACHU]+$")


def parse_strategy(text: str) -> tuple[str, str]:
    """'ACHU-CH' to ('ACHU', 'CH'), the paper's ACHU->CH (Eq 10). ValueError on anything else."""
    if _ARROW.match(text):
        raise ValueError(f"strategies are written without the '>' that a shell reads: {text.replace('->', '-')}")
    match = _STRATEGY.match(text)
    if match is None or any(len(set(part)) != len(part) for part in match.groups()):
        raise ValueError("allowed: letters A, C, H, U, each once, on both sides of '-', such as ACHU-CH")
    return match["phi"], match["theta"]


def arrow(strategy: str) -> str:
    """A strategy as people read it, with the paper's arrow: ACHU→CH. Another name stays as it is."""
    return strategy.replace("-", "→") if _STRATEGY.match(strategy) else strategy
