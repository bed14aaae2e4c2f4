"""Where every artefact lies in the workspace. `dvc.yaml` names the same places; a test holds the two together."""

from __future__ import annotations

import os
from pathlib import Path

LETTERS = ("A", "C", "H", "U")


def synthetic(name: str) -> Path:
    """Folder of a built-in data set."""
    return Path("data") / name


def images(source: str) -> Path:
    """The `images` table of a source."""
    return Path("data/tables") / source / "images.parquet"


def instances(source: str) -> Path:
    """The `instances` table of a source, in the source's own keypoint set."""
    return Path("data/tables") / source / "instances.parquet"


def masks(source: str) -> Path:
    """The `masks` table of a source (empty where it has none)."""
    return Path("data/tables") / source / "masks.parquet"


def gathered(role: str, table: str) -> Path:
    """Which tables (`images`, `instances`, `masks`) the sources of a role, `labelled` or `validation`, have: hashes."""
    return Path("data/gathered") / role / f"{table}.json"


def quarantine(source: str) -> Path:
    """The records of a source that were set aside."""
    return Path("data/tables") / source / "quarantine.parquet"


def manifest(source: str) -> Path:
    """Size and time of a source's image files. Apart from the tables: times differ where the pictures do not."""
    return Path("data/manifests") / f"{source}.parquet"


def detections(source: str) -> Path:
    """The `detections` table of a source."""
    return Path("data/detections") / f"{source}.parquet"


def letter(name: str, source: str) -> Path:
    """The table a source adds to A, H or U; C comes straight from `instances`."""
    return Path("data/sets") / name / f"{source}.parquet"


def labels(after: str, source: str) -> Path:
    """U of a source as `pseudo_label` leaves it, or a round, named `rounds/NAME`."""
    return letter("U", source) if after == "pseudo_label" else Path("data") / after / f"{source}.parquet"


def training_set(strategy: str, phase: str) -> Path:
    """What a strategy trains on; `phase` is `train` (its Phi) or `fine_tune` (its Theta)."""
    return Path("data/training") / strategy / f"{phase}.parquet"


def results(strategy: str) -> Path:
    """Poses and COCO results of a strategy's model, or of an ensemble."""
    return Path("data/results") / strategy


MODELS = Path("models")
TEACHERS = MODELS / "teachers"
OUTSIDE = Path("data/outside")  # what teachers from outside say
INDEX = Path("data/index")  # notes of what the items of a stage made, for the stages that join them
REPORT = Path("reports/report.html")
TIMES_PAGE = REPORT.with_name("times.html")  # what depends on the machine and the moment, beside the report
TIMES = "benchmark_times"  # whose figures lie beside the benchmark's; neither is an output that DVC hashes
STATE = Path(".state")  # resume state: outside DVC's outputs, which are deleted before a stage reruns
STATE_VARIABLE = "CCM_STATE"  # the project's STATE, for experiments: they run in copies of it that are thrown away


def training_state() -> Path:
    """Where training keeps its runs, by fingerprint: the project's, also in an experiment's copy of it."""
    return Path(os.environ.get(STATE_VARIABLE, STATE)) / "training"


def crops() -> Path:
    """Where packed crop stores are, by what they hold; made again where they are missing."""
    return Path(os.environ.get(STATE_VARIABLE, STATE)) / "crops"


def detector(name: str) -> Path:
    """Folder of a person detector: weights and card."""
    return MODELS / "detectors" / name


def teacher(name: str) -> Path:
    """Folder of a teacher: weights and card."""
    return TEACHERS / name


def students(name: str) -> Path:
    """Folder of a round's students, each in a folder with weights and card."""
    return MODELS / "rounds" / name


def outside(name: str, source: str) -> Path:
    """What a teacher from outside says of the people of a source."""
    return OUTSIDE / name / f"{source}.parquet"


def filled(source: str) -> Path:
    """The people of a source of C or A with the keypoints that its labels lack, by the teachers."""
    return Path("data/sets/filled") / f"{source}.parquet"


def joint(strategy: str) -> Path:
    """Folder of a strategy's model after training on Phi."""
    return Path("models/joint") / strategy


def final(strategy: str) -> Path:
    """Folder of a strategy's model after fine-tuning on Theta."""
    return Path("models/final") / strategy


def figures(stage: str, item: str | None = None) -> Path:
    """All figures of a stage (JSON)."""
    return Path("data/figures") / stage / f"{item}.json" if item else Path("data/figures") / f"{stage}.json"


def metrics(stage: str, item: str | None = None) -> Path:
    """A stage's headline figures (JSON, shown by `dvc metrics`)."""
    return Path("metrics") / stage / f"{item}.json" if item else Path("metrics") / f"{stage}.json"


def curves(stage: str, item: str) -> Path:
    """A training stage's curves (CSV, shown by `dvc plots`)."""
    return Path("metrics/curves") / stage / f"{item}.csv"
