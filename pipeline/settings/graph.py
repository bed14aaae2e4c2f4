"""The stages of `dvc.yaml`, their items expanded from the params: what each makes and reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.records.text import check_yaml, one_line, read_file

DVC_FILE = Path("dvc.yaml")


@dataclass(frozen=True)
class Item:
    """One item of a stage, or a stage that has none: its outputs and dependencies as DVC knows them."""

    outs: tuple[str, ...]
    plots: tuple[str, ...]
    metrics: tuple[str, ...]
    deps: tuple[str, ...]

    @property
    def made(self) -> tuple[str, ...]:
        """Everything that DVC tracks of it."""
        return (*self.outs, *self.plots, *self.metrics)


@dataclass(frozen=True)
class Definition:
    """A stage. `items` by name; a stage without items has one, named by the empty text, in `items` too.

    `pattern` is an item named by `MARK`, which says where the artefacts of any item would lie.
    """

    description: str
    has_items: bool
    items: Mapping[str, Item]
    pattern: Item


MARK = "\0"


def read_graph(params: Mapping[str, Any], path: Path = DVC_FILE) -> dict[str, Definition]:
    """The stages of a `dvc.yaml` in its order; {} where there is none. `params` are the file's, merged or not."""
    if not path.is_file():
        return {}
    text = read_file(path)
    check_yaml(text, str(path))
    try:
        stages = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["stages"]
        return {name: _definition(stage, params) for name, stage in stages.items()}
    except (yaml.YAMLError, LookupError, AttributeError, TypeError, ValueError, StopIteration) as error:
        raise ValueError(f"{path}: not stages as DVC reads them ({one_line(error)}); `dvc status` says more") from None


def _definition(stage: Mapping[str, Any], params: Mapping[str, Any]) -> Definition:
    if "foreach" not in stage:
        alone = _item(stage, params)
        return Definition(stage.get("desc", ""), False, {"": alone}, alone)
    source, body = stage["foreach"], stage["do"]
    over = _lookup(source.strip("${}"), params) if isinstance(source, str) else source
    pairs = over.items() if isinstance(over, Mapping) else [(str(item), item) for item in over or []]
    items = {str(key): _item(body, {**params, "key": key, "item": item}) for key, item in pairs}
    return Definition(body.get("desc", ""), True, items, _item(body, {**params, "key": MARK, "item": MARK}))


def _item(stage: Mapping[str, Any], values: Mapping[str, Any]) -> Item:
    def filled(key: str) -> tuple[str, ...]:
        entries = (entry if isinstance(entry, str) else next(iter(entry)) for entry in stage.get(key) or [])
        return tuple(re.sub(r"\$\{([^}]+)\}", lambda m: str(_lookup(m[1], values)), entry) for entry in entries)

    return Item(filled("outs"), filled("plots"), filled("metrics"), filled("deps"))


def _lookup(path: str, values: Any) -> Any:
    for key in path.strip().split("."):
        values = values.get(key) if isinstance(values, Mapping) else None
    return values
