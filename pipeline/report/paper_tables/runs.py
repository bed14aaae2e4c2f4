"""What has been measured: the params of a run and the metrics it left, of this workspace or of an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import layout
from pipeline.records.artefacts import read_json
from pipeline.settings import PARAMS_FILE
from pipeline.settings.merging import resolve
from pipeline.settings.reading import load_yaml, read_text

_FIGURES = layout.figures("").parent


@dataclass(frozen=True)
class Run:
    """A set of params, merged as they run, and its figures by file: `evaluate/ACHU-CH`.

    `pending`: queued or running, so that its metrics are still to come.
    """

    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, Any]
    pending: bool = False

    def param(self, path: str) -> Any:
        """A param by its dotted path; None where it is absent."""
        return _at(self.params, path)

    def has(self, settings: Mapping[str, Any]) -> bool:
        """Were these params in force?"""
        return all(self.param(path) == value for path, value in settings.items())


def workspace_run(folder: Path = Path(".")) -> Run:
    """The run that this folder's `params.yaml` and figures describe."""
    root = folder / _FIGURES
    metrics = {str(path.relative_to(root).with_suffix("")): read_json(path) for path in sorted(root.rglob("*.json"))}
    path = folder / PARAMS_FILE
    return Run("workspace", merged_params(load_yaml(read_text(path), str(path))), metrics)


def recorded_run(name: str, params: str, lock: str, cache: Path, pending: bool = False) -> Run | None:
    """A run as git and DVC keep it: the texts of its `params.yaml` and `dvc.lock`, and DVC's cache.

    None where the params are not of this version's form. Figures that the cache lacks are left out, and those that an
    experiment with some targets has taken over from before its params were changed.
    """
    try:
        raw = load_yaml(params, name)
        values = merged_params(raw)
        stages = (load_yaml(lock, name) or {}).get("stages", {}) if lock else {}
    except (ValueError, LookupError, TypeError):
        return None
    found, old = {}, outdated(raw, stages)
    for out in (out for entry in stages.values() for out in entry.get("outs", [])):
        path, digest = Path(out["path"]), str(out.get("md5", ""))
        kept = cache / "files" / "md5" / digest[:2] / digest[2:]
        if _FIGURES in path.parents and path.suffix and digest and kept.is_file() and path not in old:
            found[str(path.relative_to(_FIGURES).with_suffix(""))] = read_json(kept)
    return Run(name, values, found, pending)


def outdated(values: Mapping[str, Any], stages: Mapping[str, Any]) -> set[Path]:
    """The outputs of stages that ran with other params than a file's, and of all that came of them.

    Args:
        values: of `params.yaml`.
        stages: of `dvc.lock`.
    """
    old: set[Path] = set()
    waiting = {
        name: (
            [Path(dep["path"]) for dep in entry.get("deps", [])],
            {Path(out["path"]) for out in entry.get("outs", [])},
            entry.get("params", {}).get(str(PARAMS_FILE), {}),
        )
        for name, entry in stages.items()
    }
    while True:
        found = {
            name
            for name, (deps, _, used) in waiting.items()
            if any(_at(values, path) != value for path, value in used.items())
            or any(_touch(dep, out) for dep in deps for out in old)
        }
        if not found:
            return old
        for name in found:
            old |= waiting.pop(name)[1]


def _at(values: Any, path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    for key in path.split("."):
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def _touch(one: Path, other: Path) -> bool:
    """Whether one lies in the other, or is it."""
    return one == other or one in other.parents or other in one.parents


def merged_params(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The params of a file as they run."""
    return resolve(raw)[0]
