"""Which items of the stages the strategies need, and which are made for nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath

from pipeline.settings.params import Params, parse_strategy

LETTER_SOURCES: dict[str, tuple[str, Callable[[Params], list[str]]]] = {
    "A": ("align_labels.sources", lambda params: params.align_labels.sources),
    "H": ("mine_hard_negatives.sources", lambda params: params.mine_hard_negatives.sources),
    "U": ("pseudo_label.sources", lambda params: params.pseudo_label.sources),
}
DETECTORS = PurePath("models/detectors")


def made(params: Params) -> dict[str, list[str]]:
    """The items of the stages that come before the strategies' own, as `dvc.yaml` makes them of the params."""
    return {
        "synthesize": list(params.synthesize),
        "ingest": list(params.data.sources),
        "align_labels": params.align_labels.sources,
        "train_detector": list(params.train_detector.models),
        "detect_people": list(params.detect_people.sources),
        "mine_hard_negatives": params.mine_hard_negatives.sources,
        "train_teachers": list(params.train_teachers.models),
        "ask_teachers": list(params.ask_teachers),
        "pseudo_label": params.pseudo_label.sources,
        "rounds": list(params.rounds),
        "fill_in": params.pseudo_label.fill_in,
    }


def letters_of(params: Params) -> set[str]:
    """The letters that the strategies use; those that cannot be read have none."""
    letters: set[str] = set()
    for strategy in params.strategies:
        try:
            letters |= set("".join(parse_strategy(strategy)))
        except ValueError:
            continue
    return letters


def detector_of(origin: str) -> str | None:
    """The detector that a source's boxes come from, by its folder; None for another path."""
    path = PurePath(origin)
    return path.name if path.parent == DETECTORS else None


def comparable(params: Params, source: str) -> list[str]:
    """The labelled sources whose detections' scores mean what those of `source` do, and were not learnt by heart.

    They are the validation's that the same detector has searched, which was trained on C; files are taken to be of one.
    """
    origins = params.detect_people.sources
    own = origins.get(source, "")
    return [
        name
        for name in params.data.validation
        if name not in params.data.labelled and _detected_alike(origins.get(name, ""), own)
    ]


def _detected_alike(one: str, other: str) -> bool:
    return PurePath(one) == PurePath(other) or (one.endswith(".json") and other.endswith(".json"))


def needed(params: Params) -> dict[str, set[str]]:
    """The items that the strategies, their evaluation and the ensembles need, by stage."""
    letters = letters_of(params)
    by_letter = {letter: set(sources(params)) for letter, (_, sources) in LETTER_SOURCES.items() if letter in letters}
    detected = by_letter.get("H", set()) | by_letter.get("U", set())
    if "detected" in params.evaluate.boxes:
        detected |= set(params.evaluate.sets)
    if "U" in letters and params.pseudo_label.person_threshold.mode == "precision":
        detected |= {name for source in params.pseudo_label.sources for name in comparable(params, source)}
    if params.ablate_postprocessing.boxes == "detected":
        detected.add(params.ablate_postprocessing.set)
    origins = {origin for name, origin in params.detect_people.sources.items() if name in detected}
    data = params.data
    sources = {*data.labelled, *data.corrected, *data.validation}
    sources |= {params.ablate_postprocessing.set, *params.evaluate.sets}
    sources |= set().union(detected, *by_letter.values())
    members = {member for ensemble in params.evaluate_ensemble.values() for member in ensemble}
    teachers = set(params.train_teachers.models)
    return {
        "synthesize": {name for name in params.synthesize if _reads(params, sources, name)},
        "ingest": sources,
        "align_labels": by_letter.get("A", set()),
        "train_detector": {detector_of(origin) or "" for origin in origins},
        "detect_people": detected,
        "mine_hard_negatives": by_letter.get("H", set()),
        "train_teachers": {name for name in teachers if "U" in letters or f"teachers/{name}" in members},
        "ask_teachers": set(params.ask_teachers) if "U" in letters else set(),
        "pseudo_label": by_letter.get("U", set()),
        "rounds": set(params.rounds) if "U" in letters else set(),
        "fill_in": set(params.pseudo_label.fill_in) if "U" in letters else set(),
    }


def _reads(params: Params, sources: set[str], rendered: str) -> bool:
    return any(
        PurePath(params.data.sources[name].index).is_relative_to(PurePath("data") / rendered)
        for name in sources
        if name in params.data.sources
    )


_WHERE = {
    "synthesize": ("synthesize", "rendered"),
    "ingest": ("data.sources", "read"),
    "align_labels": ("align_labels.sources", "aligned"),
    "train_detector": ("train_detector.models", "trained"),
    "detect_people": ("detect_people.sources", "searched for people"),
    "mine_hard_negatives": ("mine_hard_negatives.sources", "mined"),
    "train_teachers": ("train_teachers.models", "trained"),
    "ask_teachers": ("ask_teachers", "read"),
    "pseudo_label": ("pseudo_label.sources", "labelled"),
    "fill_in": ("pseudo_label.fill_in", "filled in"),
    "rounds": ("rounds", "trained"),
}
_LETTER = {"align_labels": "A", "mine_hard_negatives": "H"} | dict.fromkeys(
    ("ask_teachers", "pseudo_label", "fill_in", "rounds"), "U"
)


def unneeded(params: Params) -> list[str]:
    """What `dvc repro` would make that nothing uses, a line each: DVC runs every item that the params name."""
    wanted, found = needed(params), []
    for stage, items in made(params).items():
        for item in sorted(set(items) - wanted[stage], key=items.index):
            where, done = _WHERE[stage]
            why = f"no strategy uses {_LETTER[stage]}" if stage in _LETTER else "nothing uses it"
            found.append(f"{where}: {item} is {done} for nothing, {why}; take it out to leave it out")
    return found
