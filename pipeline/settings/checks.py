"""What is wrong with params that are each allowed, and what has no effect."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.sides import mirror_pairs
from pipeline.settings.params import FIRST_LABELS, Letter, Params, parse_strategy
from pipeline.settings.recipe import LETTER_SOURCES, comparable, detector_of, letters_of, unneeded


def problems(params: Params) -> list[str]:
    """Names that lead nowhere, strategies that cannot run: one line each, which starts with the key's path."""
    return [
        *_strategies(params),
        *_teachers(params),
        *_people(params),
        *_rounds(params),
        *_outside(params),
        *_filled(params),
        *_unknown_sources(params),
        *_twice(params),
        *_sampling(params),
        *_without_detections(params),
        *_detectors(params),
        *_ensembles(params),
        *_checkpoints(params),
        *_keypoint_sets(params),
    ]


def _strategies(params: Params) -> list[str]:
    found = []
    for position, text in enumerate(params.strategies):
        path = f"strategies.{position} = {text!r}"
        try:
            letters = set("".join(parse_strategy(text)))
        except ValueError as error:
            found.append(f"{path}: {error}")
            continue
        for letter, (key, sources) in LETTER_SOURCES.items():
            if letter in letters and not sources(params):
                found.append(f"{path}: uses {letter}, but {key} is empty; name at least one source there")
    if len(set(params.strategies)) != len(params.strategies):
        found.append(f"strategies = {params.strategies!r}: a strategy stands more than once")
    return found


def _teachers(params: Params) -> list[str]:
    """What U needs of its teachers."""
    if "U" not in letters_of(params):
        return []
    found, own, outside = [], params.train_teachers, params.ask_teachers
    if not own.models and not outside:
        found.append(
            "train_teachers.models and ask_teachers are empty, but a strategy uses U: allowed is at least one teacher"
        )
    if outside and params.pseudo_label.fusion == "mean":
        found.append(
            "pseudo_label.fusion = 'mean': teachers from outside (ask_teachers) have no heatmaps; allowed: agreement"
        )
    if params.pseudo_label.calibrated:
        key = "pseudo_label.weigh" if params.pseudo_label.weigh else "pseudo_label.keypoint_threshold"
        trained = any(teacher.training is not None for teacher in own.models.values()) or bool(params.rounds)
        if not own.held_out and trained:
            found.append(
                f"{key}: probabilities are measured on people of C that no teacher was trained on; set "
                "train_teachers.held_out, such as 0.2"
            )
    if (outside or params.pseudo_label.calibrated) and load_keypoint_set(params.data.keypoints).sigmas is None:
        found.append(
            f"data.keypoints = {params.data.keypoints!r}: has no sigmas, so nobody can say which of a teacher's "
            "keypoints are right; leave out ask_teachers, pseudo_label.weigh and precision, or add sigmas"
        )
    for name, teacher in outside.items():
        missing = [source for source in params.data.labelled if source not in (teacher.files or {})]
        if missing and teacher.files is not None:
            found.append(f"ask_teachers.{name}.files: names no file for {missing[0]!r}, which is C")
    return found


def _people(params: Params) -> list[str]:
    """What a target precision of people is calibrated on."""
    if "U" not in letters_of(params) or params.pseudo_label.person_threshold.mode != "precision":
        return []
    origins, validation = params.detect_people.sources, ", ".join(params.data.validation)
    return [
        f"pseudo_label.person_threshold.mode = 'precision': the scores of people on {source} are calibrated on "
        f"data.validation, {validation}, of which none is searched by the same detector and no part of C; give one of "
        f"them the detector {origins[source]} in detect_people.sources"
        for source in params.pseudo_label.sources
        if source in origins and not comparable(params, source)
    ]


def _rounds(params: Params) -> list[str]:
    """Rounds that do not follow each other, or whose networks cannot label together."""
    if not params.rounds:
        return []
    found, before = [], FIRST_LABELS
    if not params.pseudo_label.sources:
        found.append("rounds: label U anew, but pseudo_label.sources is empty; name at least one source there")
    together = {
        f"train_teachers.models.{name}": (teacher.model.input_size, teacher.training.padding)
        for name, teacher in params.train_teachers.models.items()
        if teacher.training is not None
    }
    for name, each in params.rounds.items():
        if each.after != before:
            found.append(f"rounds.{name}.after = {each.after!r}: rounds follow each other; allowed: {before}")
        before = f"rounds/{name}"
        together = together if each.keep_teachers else {}
        for student, own in each.students.items():
            path, crops = f"rounds.{name}.students.{student}", (own.model.input_size, own.training.padding)
            together[path] = crops
            first = next(iter(together))
            if not _alike(crops, together[first]):
                found.append(
                    f"{path}: crops of {_in_words(crops)} do not show the same part of the picture as {first}'s of "
                    f"{_in_words(together[first])}, and both label U; allowed: one aspect ratio and one padding"
                )
    return found


_Crops = tuple[list[int], float]  # height and width, padding of the box


def _alike(one: _Crops, other: _Crops) -> bool:
    (height, width), (other_height, other_width) = one[0], other[0]
    return height * other_width == width * other_height and one[1] == other[1]


def _in_words(crops: _Crops) -> str:
    return f"{crops[0][0]}x{crops[0][1]}, padding {crops[1]:g},"


def _outside(params: Params) -> list[str]:
    """A teacher from outside is a folder's files or a network in it."""
    found = []
    for name, teacher in params.ask_teachers.items():
        if (teacher.files is None) == (teacher.network is None):
            has = "neither" if teacher.files is None else "both"
            found.append(f"ask_teachers.{name}: has {has} of files and network; allowed: one of them")
        if teacher.network is not None and (Path(teacher.network).is_absolute() or ".." in Path(teacher.network).parts):
            found.append(
                f"ask_teachers.{name}.network = {teacher.network!r}: allowed: a file in ask_teachers.{name}.path, "
                "which DVC watches"
            )
    return found


def _filled(params: Params) -> list[str]:
    """What the teachers fill in are gaps of C's or A's labels, not those that a study of annotations has made."""
    allowed = [*params.data.labelled, *params.align_labels.sources]
    found = [
        f"pseudo_label.fill_in: {name!r} is no source of C or A; allowed: {', '.join(allowed)}"
        for name in params.pseudo_label.fill_in
        if name in params.data.sources and name not in allowed
    ]
    if params.pseudo_label.fill_in and params.train_joint.annotations != "all":
        found.append(
            f"train_joint.annotations = {params.train_joint.annotations!r}: takes keypoints out that "
            "pseudo_label.fill_in would fill in; allowed together: all"
        )
    return found


def _unknown_sources(params: Params) -> list[str]:
    known = set(params.data.sources)
    return [
        f"{path}: no source {name!r} in data.sources; allowed: {', '.join(sorted(known))}"
        for path, names in _references(params).items()
        for name in names
        if name not in known
    ]


def _references(params: Params) -> dict[str, list[str]]:
    return {
        "align_labels.sources": params.align_labels.sources,
        "data.labelled": params.data.labelled,
        "data.validation": params.data.validation,
        "data.corrected": params.data.corrected,
        "detect_people.sources": list(params.detect_people.sources),
        "mine_hard_negatives.sources": params.mine_hard_negatives.sources,
        "pseudo_label.sources": params.pseudo_label.sources,
        "pseudo_label.fill_in": params.pseudo_label.fill_in,
        **{f"ask_teachers.{name}.files": list(each.files or {}) for name, each in params.ask_teachers.items()},
        "evaluate.sets": params.evaluate.sets,
        "ablate_postprocessing.set": [params.ablate_postprocessing.set],
    }


def _twice(params: Params) -> list[str]:
    lists = {"data.labelled": params.data.labelled, "data.validation": params.data.validation}
    return [
        f"{path} = {names!r}: a source stands more than once"
        for path, names in lists.items()
        if len(set(names)) < len(names)
    ]


def _sampling(params: Params) -> list[str]:
    allowed = [*get_args(Letter), *params.data.sources]
    return [
        f"train_joint.sampling.{name}: neither a letter nor a source; allowed: {', '.join(allowed)}"
        for name in params.train_joint.sampling
        if name not in allowed
    ]


def _without_detections(params: Params) -> list[str]:
    needing = {
        "mine_hard_negatives.sources": params.mine_hard_negatives.sources,
        "pseudo_label.sources": params.pseudo_label.sources,
    }
    if "detected" in params.evaluate.boxes:
        needing["evaluate.sets"] = params.evaluate.sets
    if params.ablate_postprocessing.boxes == "detected":
        needing["ablate_postprocessing.set"] = [params.ablate_postprocessing.set]
    return [
        f"{path}: {name!r} has no detections; add it to detect_people.sources"
        + ("" if path not in ("evaluate.sets", "ablate_postprocessing.set") else ", or use ground_truth boxes")
        for path, names in needing.items()
        for name in names
        if name in params.data.sources and name not in params.detect_people.sources
    ]


def _detectors(params: Params) -> list[str]:
    allowed = [f"models/detectors/{name}" for name in params.train_detector.models]
    return [
        f"detect_people.sources.{source} = {origin!r}: no such detector; allowed: "
        + ", ".join([*allowed, "a COCO-format detections file (.json)"])
        for source, origin in params.detect_people.sources.items()
        if not origin.endswith(".json") and detector_of(origin) not in params.train_detector.models
    ]


def _ensembles(params: Params) -> list[str]:
    known = [f"teachers/{name}" for name in params.train_teachers.models]
    known += [f"final/{strategy}" for strategy in params.strategies]
    return [
        f"evaluate_ensemble.{name}: no model {member!r}; allowed: {', '.join(known)}"
        for name, members in params.evaluate_ensemble.items()
        for member in members
        if member not in known
    ]


def _checkpoints(params: Params) -> list[str]:
    """A teacher that is not trained needs the file of its weights."""
    return [
        f"train_teachers.models.{name}.checkpoint = {teacher.model.weights!r}: allowed is the file of a pose checkpoint"
        for name, teacher in params.train_teachers.models.items()
        if teacher.training is None and teacher.model.weights in ("none", "imagenet", "packaged")
    ]


def _keypoint_sets(params: Params) -> list[str]:
    places = {"data.keypoints": params.data.keypoints}
    places |= {f"data.sources.{key}.keypoints": source.keypoints for key, source in params.data.sources.items()}
    found = []
    for path, name in places.items():
        try:
            load_keypoint_set(name)
        except ValueError as error:
            found.append(f"{path} = {name!r}: {error}")
    return found


def warnings(params: Params) -> list[str]:
    """What has no effect in this run, cannot work as it is meant, or is computed for nothing: a line each."""
    found = [*_without_effect(params), *_schedules(params), *_without_sigmas(params), *_mirrors(params)]
    return [*found, *_same_sets(params), *unneeded(params)]


def _without_effect(params: Params) -> list[str]:
    found = []
    processing = params.evaluate.postprocessing
    if not processing.flip and processing.shift != "auto":
        found.append(f"evaluate.postprocessing.shift = {processing.shift} has no effect without flip")
    networks = {"train_joint": params.train_joint.model}
    networks |= {f"train_teachers.models.{name}": each.model for name, each in params.train_teachers.models.items()}
    networks |= {path: student.model for path, student in params.students.items()}
    for path, model in networks.items():
        if model.architecture == "hrnet" and (model.mixers or model.auxiliary):
            found.append(f"{path}: mixers and auxiliary have no effect for architecture 'hrnet'")
    if params.train_joint.training.unlabelled_batch_size and "U" not in letters_of(params):
        found.append("train_joint.unlabelled_batch_size has no effect: no strategy uses U")
    if params.spread.runner == "threads" and params.spread.address is not None:
        found.append(f"spread.address = {params.spread.address!r} has no effect with runner 'threads'")
    return found


def _schedules(params: Params) -> list[str]:
    keypoints = _count(params.data.keypoints)
    trainings = {"train_joint": params.train_joint.training, "fine_tune": params.fine_tune.training}
    trainings |= {
        f"train_teachers.models.{name}": teacher.training
        for name, teacher in params.train_teachers.models.items()
        if teacher.training is not None
    }
    trainings |= {path: student.training for path, student in params.students.items()}
    found = []
    for path, training in trainings.items():
        if training.samples_per_epoch is not None:
            batches = -(-training.samples_per_epoch // (training.batch_size * params.compute.processes))
            steps = training.epochs * -(-batches // training.accumulate)
            if training.optimizer.warmup_steps >= steps:
                found.append(
                    f"{path}.optimizer.warmup_steps = {training.optimizer.warmup_steps}: the whole training has "
                    f"{steps} steps, so the learning rate never reaches its value"
                )
        wanted = training.augmentation.half_body_keypoints
        if training.augmentation.half_body > 0 and keypoints is not None and wanted > keypoints:
            found.append(
                f"{path}.augmentation.half_body_keypoints = {wanted}: the set {params.data.keypoints!r} has "
                f"{keypoints}, so half_body has no effect"
            )
        if training.validate_every > training.epochs and training.patience:
            found.append(f"{path}.patience = {training.patience}: validated once only, at the end")
        if training.batch_size == 1 and not training.freeze_batch_norm:
            found.append(f"{path}.batch_size = 1: batch norm learns nothing from one; set freeze_batch_norm")
    return found


def _same_sets(params: Params) -> list[str]:
    """Strategies that train on the same sets, their letters in another order."""
    known: dict[tuple[frozenset[str], ...], str] = {}
    found = []
    for strategy in params.strategies:
        sets = tuple(map(frozenset, parse_strategy(strategy)))
        if sets in known:
            found.append(f"strategies: {strategy} comes to the same sets as {known[sets]}")
        known.setdefault(sets, strategy)
    return found


def _mirrors(params: Params) -> list[str]:
    """Left and right names that are no mirror pair: a flipped crop would train the left as the right."""
    keypoints = load_keypoint_set(params.data.keypoints)
    mirrored = {name for pair in keypoints.flip_pairs for name in pair}
    forgotten = [pair for pair in mirror_pairs(keypoints.names) if not mirrored & set(pair)]
    if not forgotten or not params.train_joint.training.augmentation.flip:
        return []
    names = [name for pair in forgotten[:2] for name in pair]
    return [
        f"data.keypoints = {params.data.keypoints!r}: {', '.join(names)} have sides, but the set names no flip_pairs "
        "for them: flipped crops train the left as the right"
    ]


def _count(name: str) -> int | None:
    try:
        return len(load_keypoint_set(name))
    except ValueError:
        return None


def _without_sigmas(params: Params) -> list[str]:
    keypoints = load_keypoint_set(params.data.keypoints)
    if keypoints.sigmas is not None:
        return []
    return [
        f"data.keypoints = {params.data.keypoints!r}: the set has no sigmas, so there is no OKS and no AP; "
        "PCK and the mean distance, as shares of the box, are reported in their place, and "
        "evaluate.postprocessing.nms has no effect"
    ]


def unwatched(params: Params) -> list[str]:
    """Keypoint sets that DVC cannot find: it looks for pipeline/keypoint_sets/NAME.yaml."""
    places = {"data.keypoints": params.data.keypoints}
    places |= {f"data.sources.{name}.keypoints": source.keypoints for name, source in params.data.sources.items()}
    return [
        f"{where} = {name!r}: DVC looks for pipeline/keypoint_sets/{name}.yaml; write {_from_the_sets(name)!r}"
        for where, name in places.items()
        if Path(name).suffix == ".yaml"
    ]


def _from_the_sets(path: str) -> str:
    plain = str(Path(path).with_suffix(""))
    return plain if Path(path).is_absolute() else f"../../{plain}"
