"""From `params.yaml`, where each setting stands once, to the params that run.

Networks stand by name under `models`, and what all trainings of keypoint models share under `training`; the section of
a stage says which network it trains and what is different there. The two are merged deeply: a mapping key by key,
anything else, lists too, as a whole.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import Field, create_model

from pipeline.settings.networks import DetectorModel, DetectorTraining, KeypointModel, Training
from pipeline.settings.params import Annotations, HeldOut, Params, Round, TrainJoint, TrainTeachers
from pipeline.settings.section import Name, Positive, Section

Network = Annotated[KeypointModel | DetectorModel, Field(discriminator="architecture")]
Path = tuple[Any, ...]

# Sections made here bring their fields' texts along: looking for these in a source that they do not have took three
# quarters of the time that the settings take to load, which every command does.
_SAID = {"use_attribute_docstrings": False}


class Overrides(Section):
    """A section that may say any key of `training` anew."""


def _overrides(base: type[Section], name: str, doc: str, **own: Any) -> type[Section]:
    """A section with fields of its own and any of those of `base`, down to the single key."""
    fields: dict[str, Any] = dict(own)
    for key, kind in get_type_hints(base, include_extras=True).items():
        if key in base.model_fields:
            nested = isinstance(kind, type) and issubclass(kind, Section)
            allowed = _overrides(kind, f"{name}{kind.__name__}", kind.__doc__ or "") if nested else kind
            fields[key] = (allowed, Field(default=None, description=base.model_fields[key].description))
    return create_model(name, __base__=Overrides, __doc__=doc, __cls_kwargs__=_SAID, **fields)


def _field(text: str) -> Any:
    return Field(description=text)


_NETWORK = (Name, _field("Its network, by its name in models."))
Shared = _overrides(Training, "Shared", "What all trainings of keypoint models share.")
_Teacher = _overrides(
    Training,
    "TeacherOverrides",
    "One teacher: its network, and what is different in its training; or a checkpoint that somebody has.",
    model=_NETWORK,
    checkpoint=(
        str,
        Field(
            default=None,
            description="In place of training: the file of a pose checkpoint, one of this project's, or an official "
            "HRNet or Simple Baseline with the keypoints of data.keypoints in that order.",
        ),
    ),
)
_Teachers = create_model(
    "Teachers",
    __base__=Section,
    __cls_kwargs__=_SAID,
    __doc__="The teacher ensemble, trained on C (section 4.2).",
    training=(_overrides(Training, "AllTeachers", "What the trainings of all teachers share."), _field("Shared.")),
    held_out=(HeldOut, _field(TrainTeachers.model_fields["held_out"].description or "")),
    models=(dict[Name, _Teacher], _field("The teachers, by name; {}: no teachers of our own.")),  # type: ignore[valid-type]
)
_Student = _overrides(
    Training, "StudentOverrides", "One student: its network, and what is different in its training.", model=_NETWORK
)
_Round = create_model(
    "RoundInFile",
    __base__=Section,
    __cls_kwargs__=_SAID,
    __doc__=Round.__doc__,
    after=(str, _field(Round.model_fields["after"].description or "")),
    keep_teachers=(bool, _field(Round.model_fields["keep_teachers"].description or "")),
    training=(
        _overrides(Training, "AllStudents", "What the trainings of a round's students share."),
        _field("Shared."),
    ),
    students=(
        Annotated[dict[Name, _Student], Field(min_length=1)],  # type: ignore[valid-type,arg-type]
        _field(Round.model_fields["students"].description or ""),
    ),
)
_Joint = _overrides(
    Training,
    "Joint",
    "Training on Phi: what is different from `training`.",
    model=(Name, _field("The network that every strategy trains, by its name in models.")),
    annotations=(Annotations, _field(TrainJoint.model_fields["annotations"].description or "")),
    sampling=(dict[Name, Positive], _field(TrainJoint.model_fields["sampling"].description or "")),
)
_Detector = create_model(
    "Detector", __base__=DetectorTraining, __cls_kwargs__=_SAID, __doc__=DetectorTraining.__doc__, model=_NETWORK
)
_Detectors = create_model(
    "Detectors",
    __base__=Section,
    __cls_kwargs__=_SAID,
    __doc__="The person detectors (section 4.1).",
    models=(dict[Name, _Detector], _field("By name; {}: none is needed.")),  # type: ignore[valid-type]
)
_ABOUT = {
    "profile": "The profile that this file was made from.",
    "models": "Networks, by name.",
    "training": "What all trainings of keypoint models share; a stage's section says what is different there.",
    "strategies": "Phi-Theta: train on Phi, then fine-tune on Theta (Eq 10); Table 5 is [A-C, AC-C, ACH-CH, ACHU-CH].",
    "synthesize": "The built-in data, rendered; {} where the data are your own.",
    "ask_teachers": "Teachers from outside, by name: what other people's networks say; {}: none.",
    "rounds": "U again, by name and in order: students of C and U label it anew, until the validation rises no more; "
    "{}: once only.",
    "evaluate_ensemble": "Models fused by the mean of their heatmaps (Table 11): folders of models/, by name.",
}


def _file_fields() -> dict[str, Any]:
    special: dict[str, Any] = {
        "train_detector": _Detectors,
        "train_teachers": _Teachers,
        "rounds": dict[Name, _Round],  # type: ignore[valid-type]
        "train_joint": _Joint,
        "fine_tune": _overrides(Training, "FineTuning", "Fine-tuning on Theta: what is different from `training`."),
    }
    fields: dict[str, Any] = {}
    for key, kind in get_type_hints(Params, include_extras=True).items():
        if key not in Params.model_fields:
            continue
        if key == "train_detector":
            fields["models"] = (dict[Name, Network], _field(_ABOUT["models"]))
            fields["training"] = (Shared, _field(_ABOUT["training"]))
        allowed = special.get(key, kind)
        about = _ABOUT.get(key) or (getattr(allowed, "__doc__", None) or "").splitlines()[0]
        fields[key] = (allowed, _field(about))
    return fields


ParamsFile: type[Section] = create_model(
    "ParamsFile", __base__=Section, __cls_kwargs__=_SAID, __doc__="params.yaml.", **_file_fields()
)


def kind_at(place: Sequence[Any]) -> Any:
    """The type of what stands at a place in the file; None where nothing may."""
    current: Any = ParamsFile
    for part in place:
        inner = get_args(current)
        if get_origin(current) is dict:
            current = inner[1]
        elif get_origin(current) is list:
            current = inner[0]
        else:
            fields = {key: field for section in sections_in(current) for key, field in section.model_fields.items()}
            current = fields[part].annotation if part in fields else None
    return current


def sections_in(kind: Any) -> list[type[Section]]:
    """The sections that a type is or may be."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if isinstance(kind, type) and issubclass(kind, Section):
        return [kind]
    if get_origin(kind) in (Union, types.UnionType):
        return [section for part in get_args(kind) for section in sections_in(part)]
    return []


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merged deeply, a later one over an earlier one; lists and values are replaced whole."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            before = result.get(key)
            both = isinstance(value, Mapping) and isinstance(before, Mapping)
            result[key] = merged(before, value) if both else value  # type: ignore[arg-type]
    return result


def resolve(raw: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What runs, from the content of a params file that `ParamsFile` allows; and what is wrong with its names."""
    problems: list[str] = []

    def network(path: str, name: str, kinds: Sequence[str]) -> Any:
        fitting = [key for key, model in raw["models"].items() if model["architecture"] in kinds]
        if name not in fitting:
            known = ", ".join(fitting) or "none yet"
            problems.append(f"{path}.model = {name!r}: no such network in models; allowed: {known}")
        return raw["models"].get(name)

    def run(path: str, section: Mapping[str, Any], *shared: Mapping[str, Any]) -> dict[str, Any]:
        own = {key: value for key, value in section.items() if key in Training.model_fields}
        other = {key: value for key, value in section.items() if key not in own and key != "model"}
        model = {"model": network(path, section["model"], _KEYPOINTS)} if "model" in section else {}
        return model | other | {"training": merged(raw["training"], *shared, own)}

    def teacher(path: str, section: Mapping[str, Any]) -> dict[str, Any]:
        full = run(path, section, raw["train_teachers"]["training"])
        checkpoint = full.pop("checkpoint", None)
        if checkpoint is None:
            return full
        different = sorted(set(section) - {"model", "checkpoint"})
        if different:
            problems.append(f"{path}.{different[0]}: a teacher with a checkpoint is not trained; leave one of them out")
        return {"model": merged(full["model"] or {}, {"weights": checkpoint}), "training": None}

    detectors = {
        name: {**section, "model": network(f"train_detector.models.{name}", section["model"], ("mask_rcnn",))}
        for name, section in raw["train_detector"]["models"].items()
    }
    teachers = {
        name: teacher(f"train_teachers.models.{name}", section)
        for name, section in raw["train_teachers"]["models"].items()
    }
    rounds = {
        name: {key: value for key, value in section.items() if key != "training"}
        | {
            "students": {
                student: run(f"rounds.{name}.students.{student}", own, section["training"])
                for student, own in section["students"].items()
            }
        }
        for name, section in raw.get("rounds", {}).items()  # none in what an earlier version has recorded
    }
    result = {key: value for key, value in raw.items() if key not in ("models", "training")} | {
        "train_detector": {"models": detectors},
        "train_teachers": {"held_out": raw["train_teachers"]["held_out"], "models": teachers},
        "rounds": rounds,
        "train_joint": run("train_joint", raw["train_joint"]),
        "fine_tune": run("fine_tune", raw["fine_tune"]),
    }
    return result, problems


STUDENT = "student"  # the network of experiments on `train_joint`'s, so that teachers of the same name keep theirs


def as_written(settings: Mapping[str, Any], merged: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the merged params (`train_joint.model.se`, `fine_tune.training.seed`) as the file takes them.

    Another network for `train_joint` becomes a network of its own, made of the one in `merged`.
    """
    network: dict[str, Any] = {}
    written: dict[str, Any] = {}
    for path, value in settings.items():
        if path.startswith("train_joint.model."):
            network[path.removeprefix("train_joint.model.")] = value
        else:
            written[path.replace(".training.", ".")] = value
    if network:
        written[f"models.{STUDENT}"] = {**merged["train_joint"]["model"], **network}
        written["train_joint.model"] = STUDENT
    return written


_KEYPOINTS = ("ccm", "simple_baseline", "hrnet")


def origins(path: Path) -> list[Path]:
    """Where a value of the merged params may stand in the file, the place that wins first."""
    if path[:2] in (("train_joint", "training"), ("fine_tune", "training")):
        return [(path[0], *path[2:]), ("training", *path[2:])]
    if path[:2] == ("train_teachers", "models") and path[3:4] == ("training",):
        return [(*path[:3], *path[4:]), ("train_teachers", "training", *path[4:]), ("training", *path[4:])]
    if path[:1] == ("rounds",) and path[2:3] == ("students",) and path[4:5] == ("training",):
        return [(*path[:4], *path[5:]), (*path[:2], "training", *path[5:]), ("training", *path[5:])]
    return [path]
