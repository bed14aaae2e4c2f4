"""What `params.yaml` may say: frozen, validated as a whole before any stage works.

Every key stands in the file; there are no defaults here, so what is read is what runs. A wrong key, type or value stops
with the key's full path, the value and what is allowed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.records.keypoints import load_keypoint_set

PARAMS_FILE = Path("params.yaml")

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Size = Annotated[list[Annotated[int, Field(ge=32, le=2048)]], Field(min_length=2, max_length=2)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
Refinement = Literal["none", "quarter", "parabola", "paraboloid", "dark", "log_parabola"]


class Section(BaseModel):
    """A part of the params file: no unknown keys, no silent conversions, no changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Compute(Section):
    """What the work runs on."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
    precision: Literal["float32", "bfloat16", "float16"]
    processes: (
        Count  # that train together, one a GPU; on all machines together where torchrun starts them (see the README)
    )
    workers: Whole  # processes that load data, per training process
    crop_store: bool  # cut the people to train on out of their images once, instead of decoding whole images for ever
    compile: bool  # torch.compile


class Spread(Section):
    """Where the shards of the parallel stages run."""

    runner: Literal["threads", "dask", "ray"]
    workers: Count
    address: str | None  # of an existing Dask scheduler or Ray head; null starts one on this machine
    shard_images: Count


class Source(Section):
    """One data set as it was published. `index` is what DVC watches: an annotation file, an image list or a folder."""

    format: Literal["coco", "aic", "ochuman", "posetrack", "folder"]
    index: str
    images: str
    keypoints: str


class Data(Section):
    """The data sets by name, which of them is C and which validates, and the keypoint set that the models learn."""

    keypoints: str
    labelled: Name
    validation: Name
    sources: dict[Name, Source]


class Synthesize(Section):
    """One built-in data set."""

    seed: Whole
    train_images: Count
    val_images: Count
    external_images: Count
    unlabeled_images: Count
    image_size: Size


class Ingest(Section):
    """Reading the sources."""

    check_images: bool  # decode every image, not only its header
    max_bad_share: Share  # more bad records than this stop the run


class AlignLabels(Section):
    """A: foreign labels, mapped to the target's keypoints by name."""

    sources: list[Name]
    min_keypoints: Count


class Optimizer(Section):
    """Optimiser and schedule. Learning rates are multiplied by `factor` at the milestones, or follow a cosine to 0."""

    name: Literal["adam", "adamw", "sgd"]
    learning_rate: Positive
    weight_decay: NotNegative
    schedule: Literal["step", "cosine"]
    milestones: list[Share]  # as shares of the whole training, so that a change of length keeps the shape
    factor: Share
    warmup_steps: Whole
    clip_norm: Positive | None


class Augmentation(Section):
    """Xiao 2018 / Sun 2019: rotation in degrees, scale as a share, half-body where enough keypoints are labelled."""

    rotation: Annotated[float, Field(ge=0, le=180)]
    scale: Annotated[float, Field(ge=0, lt=1)]
    flip: Share
    half_body: Share
    half_body_keypoints: Count


class Training(Section):
    """One keypoint model's training run."""

    seed: Whole
    epochs: Count
    samples_per_epoch: Count | None  # null: every row once
    batch_size: Count
    accumulate: Count
    optimizer: Optimizer
    augmentation: Augmentation
    sigma: Annotated[float, Field(gt=0, le=10)]  # of the target Gaussians, in heatmap cells
    padding: Annotated[float, Field(ge=1, le=2)]  # of the person box
    auxiliary_weight: NotNegative  # lambda of Eq 9
    ema: Share  # decay of the weight average; 0 switches it off
    freeze_batch_norm: bool
    sync_batch_norm: bool
    validate_every: Count  # epochs
    patience: Whole  # validations without improvement before training stops and the best weights are kept; 0: off


class KeypointModel(Section):
    """A network, as `model.ModelSpec` takes it."""

    architecture: Literal["ccm", "simple_baseline", "hrnet"]
    backbone: str
    backbone_stride: Literal[4, 8, 16, 32] | None  # cut the backbone here; null: as the paper
    weights: str  # none | imagenet | packaged | a local file
    input_size: Size
    mixers: list[Count]
    dilated: bool
    auxiliary: bool
    se: bool
    hdc: bool
    residual: bool


class Teacher(Section):
    """One model of the teacher ensemble: trained here, or a pose checkpoint somebody has.

    For the latter `training` is null and `model.weights` is its file: one that this project wrote, or an official HRNet
    or Simple Baseline with the keypoints of `data.keypoints` in that order.
    """

    model: KeypointModel
    training: Training | None

    @model_validator(mode="after")
    def _has_weights(self) -> Teacher:
        if self.training is None and self.model.weights in ("none", "imagenet", "packaged"):
            raise ValueError(
                f"training is null and model.weights = {self.model.weights!r}; allowed without training: the file of "
                "a pose checkpoint"
            )
        return self


class DetectorModel(Section):
    """The detector's network, as `model.detector.DetectorSpec` takes it."""

    backbone: str
    weights: str  # none | imagenet | packaged | a local file
    trainable_layers: Whole  # of the backbone's parts, counted from the last
    masks: bool
    min_size: Annotated[int, Field(ge=64)]
    max_size: Annotated[int, Field(ge=64)]
    anchor_sizes: Annotated[list[Count], Field(min_length=2)]  # one a pyramid level, which decides their number
    max_detections: Count
    fpn_channels: Count
    fpn_norm: bool
    head_channels: Count
    proposals: Count
    sampled_proposals: Count

    @model_validator(mode="after")
    def _ordered(self) -> DetectorModel:
        if self.max_size < self.min_size:
            raise ValueError(f"max_size = {self.max_size}: allowed: min_size, {self.min_size}, or more")
        return self


class DetectorTraining(Section):
    """The person detector, after torchvision's reference."""

    model: DetectorModel
    seed: Whole
    epochs: Count
    batch_size: Count  # per process
    optimizer: Optimizer
    flip: Share
    validate_every: Count  # epochs


class DetectPeople(Section):
    """Which boxes each source gets: a detector's folder, or a COCO-format detections file."""

    sources: dict[Name, str]
    score_threshold: Share
    nms_threshold: Share


class MineHardNegatives(Section):
    """H: confident detections that touch no annotated person (section 4.1)."""

    sources: list[Name]
    score_threshold: Share
    report_thresholds: list[Share]


class TrainTeachers(Section):
    """The ensemble of section 4.2, trained on C."""

    models: dict[Name, Teacher]


class Decoding(Section):
    """From heatmaps to keypoints (section 5). `shift` is SSP's 1/r in heatmap cells, `auto` the exact misalignment."""

    flip: bool
    shift: Annotated[float, Field(ge=0, le=1)] | Literal["auto"]
    gaussian: bool
    refinement: Refinement


class Postprocessing(Decoding):
    """From heatmaps to an image's poses."""

    nms: Literal["none", "hard", "soft"]
    nms_threshold: Share
    keypoint_score_threshold: Share  # keypoints below it do not count towards the pose's score


class PersonThreshold(Section):
    """Which detections on unlabelled images are people: a fixed score, or the one that gives C's people per image."""

    mode: Literal["fixed", "matched"]
    value: Share


class PseudoLabel(Section):
    """U: the ensemble's fused keypoints on unlabelled images (section 4.2)."""

    sources: list[Name]
    person_threshold: PersonThreshold
    keypoint_threshold: Share
    min_keypoints: Count
    decoding: Decoding
    batch_size: Count


class TrainJoint(Section):
    """Training on Phi. `sampling` weighs rows by their letter; 1 each is every row alike."""

    model: KeypointModel
    training: Training
    annotations: Literal["all", "without_occluded", "without_as_many_visible"]  # of C: what section 6.5 compares
    sampling: dict[Literal["A", "C", "H", "U"], Positive]


class FineTune(Section):
    """Fine-tuning on Theta."""

    training: Training


class Evaluate(Section):
    """Which sets, on which boxes."""

    sets: Annotated[list[Name], Field(min_length=1)]
    boxes: Annotated[list[Literal["detected", "ground_truth"]], Field(min_length=1)]
    box_threshold: Share
    batch_size: Count
    postprocessing: Postprocessing
    bootstrap: Whole  # resamples of the images for confidence intervals; 0: none


class AblatePostprocessing(Section):
    """Tables 7 and 8."""

    set: Name
    boxes: Literal["detected", "ground_truth"]


class Benchmark(Section):
    """Tables 9 and 10, on this machine."""

    people: Count
    repeats: Count


class Report(Section):
    """The HTML page."""

    title: str
    pictures: Count
    seed: Whole


class Params(Section):
    """The whole file."""

    profile: str
    compute: Compute
    spread: Spread
    data: Data
    synthesize: dict[Name, Synthesize]
    ingest: Ingest
    align_labels: AlignLabels
    train_detector: DetectorTraining
    detect_people: DetectPeople
    mine_hard_negatives: MineHardNegatives
    train_teachers: TrainTeachers
    pseudo_label: PseudoLabel
    strategies: Annotated[list[str], Field(min_length=1)]
    train_joint: TrainJoint
    fine_tune: FineTune
    evaluate: Evaluate
    evaluate_ensemble: dict[Name, Annotated[list[str], Field(min_length=1)]]  # folders of models/, by ensemble
    ablate_postprocessing: AblatePostprocessing
    benchmark: Benchmark
    report: Report

    @model_validator(mode="after")
    def _consistent(self) -> Params:
        problems = [*_unknown_sources(self), *_strategy_problems(self), *_ensemble_problems(self)]
        for path, name in [("data.keypoints", self.data.keypoints)] + [
            (f"data.sources.{key}.keypoints", source.keypoints) for key, source in self.data.sources.items()
        ]:
            try:
                load_keypoint_set(name)
            except ValueError as error:
                problems.append(f"{path} = {name!r}: {error}")
        if problems:
            raise ValueError("\n".join(problems))
        return self


_STRATEGY = re.compile(r"^(?P<phi>[ACHU]+)->(?P<theta>[ACHU]+)$")


def parse_strategy(text: str) -> tuple[str, str]:
    """'ACHU->CH' to ('ACHU', 'CH') (Eq 10). ValueError on anything else."""
    match = _STRATEGY.match(text)
    if match is None or any(len(set(part)) != len(part) for part in match.groups()):
        raise ValueError("allowed: letters A, C, H, U, each once, on both sides of '->', such as ACHU->CH")
    return match["phi"], match["theta"]


def _ensemble_problems(params: Params) -> list[str]:
    known = [f"teachers/{name}" for name in params.train_teachers.models]
    known += [f"final/{strategy}" for strategy in params.strategies]
    return [
        f"evaluate_ensemble.{name}: no model {member!r}; allowed: {', '.join(known)}"
        for name, members in params.evaluate_ensemble.items()
        for member in members
        if member not in known
    ]


def _strategy_problems(params: Params) -> list[str]:
    problems = []
    sources = {
        "A": ("align_labels.sources", params.align_labels.sources),
        "H": ("mine_hard_negatives.sources", params.mine_hard_negatives.sources),
        "U": ("pseudo_label.sources", params.pseudo_label.sources),
    }
    for position, text in enumerate(params.strategies):
        path = f"strategies.{position} = {text!r}"
        try:
            letters = set("".join(parse_strategy(text)))
        except ValueError as error:
            problems.append(f"{path}: {error}")
            continue
        for letter, (key, names) in sources.items():
            if letter in letters and not names:
                problems.append(f"{path}: uses {letter}, but {key} is empty; name at least one source there")
    if len(set(params.strategies)) != len(params.strategies):
        problems.append(f"strategies = {params.strategies!r}: a strategy stands more than once")
    if "U" in "".join(params.strategies) and not params.train_teachers.models:
        problems.append("train_teachers.models is empty, but a strategy uses U: allowed is at least one teacher")
    return problems


def _unknown_sources(params: Params) -> list[str]:
    known = set(params.data.sources)
    references = {
        "align_labels.sources": params.align_labels.sources,
        "data.labelled": [params.data.labelled],
        "data.validation": [params.data.validation],
        "detect_people.sources": list(params.detect_people.sources),
        "mine_hard_negatives.sources": params.mine_hard_negatives.sources,
        "pseudo_label.sources": params.pseudo_label.sources,
        "evaluate.sets": params.evaluate.sets,
        "ablate_postprocessing.set": [params.ablate_postprocessing.set],
    }
    problems = [
        f"{path}: no source {name!r} in data.sources; allowed: {', '.join(sorted(known))}"
        for path, names in references.items()
        for name in names
        if name not in known
    ]
    detected = set(params.detect_people.sources)
    for path in ("mine_hard_negatives.sources", "pseudo_label.sources", "evaluate.sets"):
        if path == "evaluate.sets" and "detected" not in params.evaluate.boxes:
            continue
        problems += [
            f"{path}: {name!r} has no detections; add it to detect_people.sources"
            for name in references[path]
            if name in known and name not in detected
        ]
    return problems


def load_params(path: str | Path = PARAMS_FILE) -> Params:
    """Read and validate the whole file. ValueError lists every problem: the key's path, the value, what is allowed."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f"{path}: no such file; run from the project's folder, or make one with `ccm profile built-in`"
        )
    try:
        raw = YAML(typ="safe", pure=True).load(path.read_text())  # YAML 1.2, as DVC reads it: 1e-3 is a number
    except YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from error
    return parse_params(raw, str(path))


def parse_params(raw: Any, where: str) -> Params:
    """Validate a mapping as params; `where` names it in errors."""
    if not isinstance(raw, dict):
        raise ValueError(f"{where}: expected a mapping of sections, got {type(raw).__name__}")
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise ValueError("\n".join(f"{where}: {line}" for line in _messages(error))) from None


def _messages(error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors():
        path = ".".join(str(part) for part in problem["loc"] if not str(part).startswith("function-"))
        if not path:  # the whole-file checks already name their keys
            lines += problem["msg"].removeprefix("Value error, ").splitlines()
        elif problem["type"] == "extra_forbidden":
            lines.append(
                f"{path} = {problem['input']!r}: unknown key; allowed: {', '.join(_keys_at(problem['loc'][:-1]))}"
            )
        elif problem["type"] == "missing":
            lines.append(f"{path}: missing; every key stands in the file (see pipeline/profiles for a complete one)")
        else:
            lines.append(f"{path} = {problem['input']!r}: {problem['msg']}")
    return lines


def _keys_at(location: tuple[int | str, ...]) -> list[str]:
    """The keys a section may have, found by walking the models along an error's location."""
    current: Any = Params
    for part in location:
        fields = getattr(current, "model_fields", None)
        if fields is not None and part in fields:
            current = fields[part].annotation
        while current is not None and not hasattr(current, "model_fields"):
            inner = [
                a for a in getattr(current, "__args__", ()) if hasattr(a, "model_fields") or hasattr(a, "__args__")
            ]
            current = inner[-1] if inner else None
    return sorted(getattr(current, "model_fields", {}))


def unused_settings(params: Params) -> list[str]:
    """Settings that have no effect in this run, one warning each."""
    warnings = []
    letters = set("".join(params.strategies))
    threshold = params.pseudo_label.person_threshold
    if threshold.mode == "matched":
        warnings.append(f"pseudo_label.person_threshold.value = {threshold.value} has no effect in mode 'matched'")
    for letter, names, key in [
        ("A", params.align_labels.sources, "align_labels.sources"),
        ("H", params.mine_hard_negatives.sources, "mine_hard_negatives.sources"),
        ("U", params.pseudo_label.sources, "pseudo_label.sources"),
    ]:
        if names and letter not in letters:
            warnings.append(f"{key} = {names}: made, but no strategy uses {letter}")
    processing = params.evaluate.postprocessing
    if not processing.flip:
        warnings.append(f"evaluate.postprocessing.shift = {processing.shift} has no effect without flip")
    if processing.nms == "none":
        warnings.append("evaluate.postprocessing.nms_threshold has no effect with nms 'none'")
    for path, model in [("train_joint", params.train_joint.model)] + [
        (f"train_teachers.models.{name}", teacher.model) for name, teacher in params.train_teachers.models.items()
    ]:
        if model.architecture != "ccm" and (model.mixers or model.auxiliary):
            warnings.append(f"{path}: mixers and auxiliary have no effect for architecture '{model.architecture}'")
    if params.spread.runner == "threads" and params.spread.address is not None:
        warnings.append(f"spread.address = {params.spread.address!r} has no effect with runner 'threads'")
    return warnings
