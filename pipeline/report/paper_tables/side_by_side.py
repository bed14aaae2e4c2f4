"""Runs beside each other: the settings in which they vary, and the AP that each reached, with its spread."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.report.paper_tables.runs import Run
from pipeline.report.paper_tables.seeds import Mean, leaves, matters, other_seeds, without_seeds

WIDTH = 80
_STAGES = ("evaluate", "evaluate_ensemble")


@dataclass(frozen=True)
class Reached:
    """What a model reached on a set's boxes: AP, over several seeds its standard deviation, else its 95 % interval."""

    experiments: tuple[str, ...]
    settings: Mapping[str, Any]
    model: str
    source: str
    boxes: str
    measure: str  # AP, or PCK where there are no sigmas
    value: float
    spread: float | None
    low: float | None
    high: float | None
    seeds: int

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)


def side_by_side(runs: Sequence[Run]) -> list[Reached]:
    """Every evaluation of runs that are done; runs that differ in their seeds only are one."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if not run.pending and any(name.partition("/")[0] in _STAGES for name in run.metrics):
            groups.setdefault(without_seeds(run), []).append(run)
    merged = [other_seeds(members[0], members) for members in groups.values()]
    varying = _varying([members[0] for members in merged])
    return [each for members in merged for each in _reached(members, varying)]


def _varying(runs: Sequence[Run]) -> list[str]:
    """The settings whose values differ between the runs, as paths."""
    values: dict[str, set[str]] = {}
    for run in runs:
        for path, value in leaves(run.params):
            if matters(path):
                values.setdefault(path, set()).add(repr(value))
    counts = {path: sum(path in dict(leaves(run.params)) for run in runs) for path in values}
    return sorted(path for path, found in values.items() if len(found) > 1 or counts[path] < len(runs))


def _reached(members: Sequence[Run], varying: Sequence[str]) -> Iterator[Reached]:
    settings = {path: members[0].param(path) for path in varying}
    names = tuple(run.name for run in members)
    found: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for run in members:
        for name, sets in run.metrics.items():
            stage, _, model = name.partition("/")
            for source, kinds in sets.items() if stage in _STAGES else ():
                for boxes, figures in kinds.items():
                    found.setdefault((model, source, boxes), []).append(figures)
    for (model, source, boxes), each in found.items():
        measure = next((name for name in ("AP", "PCK") if all(name in figures for figures in each)), None)
        if measure is not None:
            mean = Mean.of([figures[measure] for figures in each])
            bounds = each[0].get("interval", {}).get(measure, {}) if len(each) == 1 else {}
            yield Reached(
                names, settings, model, source, boxes, measure, mean.value, mean.spread,
                bounds.get("low"), bounds.get("high"), len(each),
            )  # fmt: skip


def table_text(found: Sequence[Reached], width: int = WIDTH) -> str:
    """A table no wider than `width`: a block a model and group of runs, an AP for each set and kind of boxes."""
    if not found:
        return "nothing evaluated yet"
    names = short_names(list(found[0].settings))
    lines = []
    known: tuple[Any, ...] = ()
    for each in found:
        if each.experiments != known:
            known = each.experiments
            settings = ", ".join(f"{names[path]}={value}" for path, value in each.settings.items())
            seeds = f" ({len(known)} seeds)" if len(known) > 1 else ""
            heading = f"{', '.join(known)}{seeds}" + (f": {settings}" if settings else "")
            lines += ["", *textwrap.wrap(heading, width, subsequent_indent="    ", break_long_words=True)]
        where = f"{each.model} on {each.source}, {each.boxes.replace('_', '-')}"
        lines.append(f"  {where[: width - 32]:<{width - 32}} {each.measure:>4} {_value(each):>24}"[:width].rstrip())
    return "\n".join(lines).lstrip("\n")


def _value(each: Reached) -> str:
    if each.spread is not None:
        return f"{100 * each.value:.1f} ± {100 * each.spread:.1f} ({each.seeds} seeds)"
    if each.low is not None and each.high is not None:
        return f"{100 * each.value:.1f} ({100 * each.low:.1f}-{100 * each.high:.1f})"
    return f"{100 * each.value:.1f}"


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """The shortest end of each dotted path that no other one has."""
    result = {}
    for path in paths:
        parts = path.split(".")
        ends = (".".join(parts[-length:]) for length in range(1, len(parts) + 1))
        others = [other for other in paths if other != path]
        result[path] = next(
            (end for end in ends if not any(other == end or other.endswith(f".{end}") for other in others)), path
        )
    return result
