"""What has been measured: the params of a run and the metrics it left, of this workspace or of an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.records.artefacts import read_json
from pipeline.settings.params import PARAMS_FILE


@dataclass(frozen=True)
class Run:
    """A set of params and its metrics by file, `metrics/evaluate/ACHU->CH.json` as `evaluate/ACHU->CH`.

    `pending`: queued or running, so that its metrics are still to come.
    """

    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, Any]
    pending: bool = False

    def param(self, path: str) -> Any:
        """A param by its dotted path; None where it is absent."""
        value: Any = self.params
        for key in path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def has(self, settings: Mapping[str, Any]) -> bool:
        """Were these params in force?"""
        return all(self.param(path) == value for path, value in settings.items())


def workspace_run(folder: Path = Path(".")) -> Run:
    """The run that this folder's `params.yaml` and `metrics/` describe."""
    root = folder / "metrics"
    metrics = {str(path.relative_to(root).with_suffix("")): read_json(path) for path in sorted(root.rglob("*.json"))}
    params = YAML(typ="safe", pure=True).load((folder / PARAMS_FILE).read_text())
    return Run("workspace", params, metrics)
