"""What `params.yaml` may say, what it comes to, and edits of it by command."""

from pipeline.settings.checks import unwatched, warnings
from pipeline.settings.networks import (
    Augmentation,
    DetectorModel,
    DetectorTraining,
    KeypointModel,
    Optimizer,
    Training,
)
from pipeline.settings.params import FIRST_LABELS, Params, Teacher, arrow, parse_strategy
from pipeline.settings.reading import PARAMS_FILE, load_params, parse_params
from pipeline.settings.recipe import comparable
from pipeline.settings.stages import (
    AlignLabels,
    Compute,
    Decoding,
    DetectPeople,
    Ingest,
    KeypointThreshold,
    MineHardNegatives,
    OutsideTeacher,
    Postprocessing,
    Refinement,
    Source,
    Spread,
    Synthesize,
)

__all__ = [
    "FIRST_LABELS",
    "PARAMS_FILE",
    "AlignLabels",
    "Augmentation",
    "Compute",
    "Decoding",
    "DetectPeople",
    "DetectorModel",
    "DetectorTraining",
    "Ingest",
    "KeypointModel",
    "KeypointThreshold",
    "MineHardNegatives",
    "Optimizer",
    "OutsideTeacher",
    "Params",
    "Postprocessing",
    "Refinement",
    "Source",
    "Spread",
    "Synthesize",
    "Teacher",
    "Training",
    "arrow",
    "comparable",
    "load_params",
    "parse_params",
    "parse_strategy",
    "unwatched",
    "warnings",
]
