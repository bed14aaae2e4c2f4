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
FIRST_LABELS = "pseudo_label"  # where rounds begin
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


class Student(Section):
    """One network of a round, trained on C and the U of before."""

    model: KeypointModel
    """Its network."""
    training: Training
    """Its training run."""


class Round(Section):
    """Students of C and U, which label U anew; where the best is no better than before on the validation, U stays."""

    after: str
    """Whose U they learn from: pseudo_label in the first round, rounds/NAME of the one above in the others."""
    keep_teachers: bool
    """true: U is labelled by the students and all who labelled it before, from outside too; false: by them alone."""
    students: Annotated[dict[Name, Student], Field(min_length=1)]
    """The networks, by name."""


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
    rounds: dict[Name, Round]
    strategies: Strategies
    train_joint: TrainJoint
    fine_tune: FineTune
    evaluate: Evaluate
    evaluate_ensemble: dict[Name, Ensemble]
    ablate_postprocessing: AblatePostprocessing
    benchmark: Benchmark
    report: Report

    @property
    def last_labels(self) -> str:
        """Whose U the strategies train on: `pseudo_label`, or the last of the rounds, `rounds/NAME`."""
        return f"rounds/{list(self.rounds)[-1]}" if self.rounds else FIRST_LABELS

    @property
    def students(self) -> dict[str, Student]:
        """The networks of all rounds, by their place in the params."""
        return {
            f"rounds.{name}.students.{student}": own
            for name, each in self.rounds.items()
            for student, own in each.students.items()
        }


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
