"""Runs that differ in their seeds only: the same experiment again, so that a figure comes with its spread."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.report.paper_tables.runs import Run

SEEDS = ("train_joint.training.seed", "fine_tune.training.seed")  # what makes a strategy's training another draw
_NO_MATTER = ("strategies", "spread", "benchmark", "report", "evaluate_ensemble", "ablate_postprocessing")
_SHOWN = ("AP", "AR", "OKS", "AP_Eq27", "PCK", "confident_false_positive_score", "touching_box_score")


@dataclass(frozen=True)
class Mean:
    """A figure over `count` seeds; `spread` is the sample's standard deviation, None for a single seed."""

    value: float
    spread: float | None
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        """The mean of one value a seed."""
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, len(values))

    def text(self, decimals: int) -> str:
        """`43.2`, or `43.2 ± 0.6`."""
        shown = f"{self.value:.{decimals}f}"
        return shown if self.spread is None else f"{shown} ± {self.spread:.{decimals}f}"


def with_seed(workspace: Run, seed: int) -> Run:
    """The workspace's run if it has this seed, else one of its params with the seed, which has measured nothing."""
    if workspace.has(dict.fromkeys(SEEDS, seed)):
        return workspace
    params = json.loads(json.dumps(workspace.params))
    for path in SEEDS:
        section, training, key = path.split(".")
        params[section][training][key] = seed
    return replace(workspace, params=params, metrics={})


def other_seeds(run: Run, runs: Sequence[Run]) -> list[Run]:
    """`run` and those of `runs` that differ from it in training seeds only, each set of seeds once."""
    found = {_seeds(run): run}
    for other in runs:
        if without_seeds(other) == without_seeds(run) and not other.pending:
            found.setdefault(_seeds(other), other)
    return list(found.values())


def mean_figures(runs: Sequence[Run]) -> str:
    """A line for each model, set and kind of boxes that `evaluate` has measured, over the runs that differ in seeds."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if not run.pending and any(name.startswith("evaluate") for name in run.metrics):
            groups.setdefault(without_seeds(run), []).append(run)
    parts = []
    for members in groups.values():
        unique = other_seeds(members[0], members)
        parts.append("\n".join([_heading(unique, runs[0]), *_lines(members)]))
    return "\n\n".join(parts) or "nothing evaluated yet"


def _heading(members: Sequence[Run], workspace: Run) -> str:
    changed = [
        f"{path} = {value}"
        for path, value in sorted(leaves(members[0].params))
        if not _is_seed(path) and not path.startswith(_NO_MATTER) and workspace.param(path) != value
    ]
    return f"{', '.join(changed) or 'as params.yaml'} ({len(members)} set{'s' * (len(members) > 1)} of seeds)"


def _lines(members: Sequence[Run]) -> Iterator[str]:
    figures: dict[tuple[str, str, str], dict[tuple[tuple[str, Any], ...], Mapping[str, Any]]] = {}
    for run in members:
        for name, sets in run.metrics.items():
            stage, _, model = name.partition("/")
            if stage in ("evaluate", "evaluate_ensemble"):
                for source, kinds in sets.items():
                    for boxes, found in kinds.items():
                        figures.setdefault((model, source, boxes), {}).setdefault(_seeds(run), found)
    for (model, source, boxes), by_seed in figures.items():
        found = list(by_seed.values())
        means = {
            name: Mean.of([each[name] for each in found]) for name in _SHOWN if all(name in each for each in found)
        }
        shown = ", ".join(f"{name} {mean.text(4)}" for name, mean in means.items())
        yield f"  {model} on {source}, {boxes} boxes, {len(found)} seed{'s' * (len(found) > 1)}: {shown}"


def _seeds(run: Run) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted((path, value) for path, value in leaves(run.params) if _is_seed(path)))


def without_seeds(run: Run) -> str:
    """What runs of the same experiment share: every param that matters."""
    kept = [leaf for leaf in leaves(run.params) if matters(leaf[0])]
    return json.dumps(sorted(kept, key=lambda leaf: leaf[0]))


def _is_seed(path: str) -> bool:
    """A seed of training; the built-in data's seed makes other data, not another run on the same."""
    return path.endswith(".seed") and not path.startswith("synthesize.")


def matters(path: str) -> bool:
    """Whether a param makes another experiment: no seed of training, and nothing that changes no figure."""
    return not _is_seed(path) and not path.startswith(_NO_MATTER)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested mappings by its dotted path."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value
