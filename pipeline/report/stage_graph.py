"""The stage graph, drawn from `dvc.yaml`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup, escape

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y = 168, 46, 22, 34


@dataclass(frozen=True)
class Stage:
    """A stage: its items, and the stages whose outputs it reads."""

    name: str
    description: str
    items: tuple[str, ...]
    parents: tuple[str, ...]


def read_stages(path: Path, params: Mapping[str, Any]) -> list[Stage]:
    """The stages of a `dvc.yaml` with their items expanded from params, in the file's order."""
    stages = yaml.safe_load(path.read_text())["stages"]
    expanded = {name: _expand(stage, params) for name, stage in stages.items()}
    made = {name: {p for outs, _ in items.values() for p in outs} for name, items in expanded.items()}
    result = []
    for name, items in expanded.items():
        reads = {p for _, deps in items.values() for p in deps}
        parents = tuple(other for other in expanded if other != name and _touch(reads, made[other]))
        description = stages[name].get("do", stages[name]).get("desc", "")
        names = tuple(items) if "foreach" in stages[name] else ()
        result.append(Stage(name, description, names, parents))
    return result


def _expand(stage: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, tuple[set[str], set[str]]]:
    """(outputs, dependencies) by item, `${...}` filled in."""
    if "foreach" not in stage:
        return {"": _paths(stage, params)}
    source = stage["foreach"]
    over = _lookup(source.strip("${}"), params) if isinstance(source, str) else source
    items = over.items() if isinstance(over, Mapping) else [(str(item), item) for item in over or []]
    return {str(key): _paths(stage["do"], {**params, "key": key, "item": item}) for key, item in items}


def _paths(stage: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    def filled(key: str) -> set[str]:
        entries = (entry if isinstance(entry, str) else next(iter(entry)) for entry in stage.get(key) or [])
        return {re.sub(r"\$\{([^}]+)\}", lambda m: str(_lookup(m[1], values)), entry) for entry in entries}

    return filled("outs") | filled("metrics") | filled("plots"), filled("deps")


def _lookup(path: str, values: Any) -> Any:
    for key in path.strip().split("."):
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def _touch(reads: set[str], made: set[str]) -> bool:
    return any(r == m or r.startswith(m + "/") or m.startswith(r + "/") for r in reads for m in made)


def draw(stages: list[Stage]) -> Markup:
    """The graph from top to bottom, each stage below all that it reads from."""
    by_name = {stage.name: stage for stage in stages}
    direct = {stage.name: _direct_parents(stage, by_name) for stage in stages}
    place = _places(stages, direct)
    width = max(x for x, _ in place.values()) + BOX_WIDTH + 8
    height = max(y for _, y in place.values()) + BOX_HEIGHT + 8
    parts = [
        _edge(place[parent], place[stage.name], f"{parent} {stage.name}")
        for stage in stages
        for parent in direct[stage.name]
    ]
    parts += [_box(stage, *place[stage.name]) for stage in stages]
    return Markup(  # every text is escaped where it is put in
        f'<svg class="graph" viewBox="0 0 {width:.0f} {height:.0f}" style="min-width:{width * 0.82:.0f}px" role="img" '
        f'aria-label="Stage graph">{"".join(parts)}</svg>'
    )


def _direct_parents(stage: Stage, by_name: Mapping[str, Stage]) -> list[str]:
    """Parents that are not also reached through another parent: the picture's edges."""

    def ancestors(name: str) -> set[str]:
        found: set[str] = set()
        for parent in by_name[name].parents:
            found |= {parent} | ancestors(parent)
        return found

    return [p for p in stage.parents if not any(p in ancestors(other) for other in stage.parents if other != p)]


def _places(stages: list[Stage], direct: Mapping[str, list[str]]) -> dict[str, tuple[float, float]]:
    """Upper left corners: layer by longest path from the start, within a layer by the parents' mean place."""
    layer: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in layer:
            layer[name] = 1 + max((depth(parent) for parent in direct[name]), default=-1)
        return layer[name]

    layers: dict[int, list[str]] = {}
    for stage in stages:
        layers.setdefault(depth(stage.name), []).append(stage.name)
    widest = max(len(names) for names in layers.values())
    total = widest * (BOX_WIDTH + GAP_X) - GAP_X
    place: dict[str, tuple[float, float]] = {}
    for number in sorted(layers):
        names = layers[number]
        centre = {n: sum(place[p][0] for p in direct[n]) / len(direct[n]) if direct[n] else total / 2 for n in names}
        names.sort(key=lambda n: centre[n])
        left = (total - len(names) * (BOX_WIDTH + GAP_X) + GAP_X) / 2
        for i, name in enumerate(names):
            place[name] = (4 + left + i * (BOX_WIDTH + GAP_X), 4 + number * (BOX_HEIGHT + GAP_Y))
    return place


def _edge(start: tuple[float, float], end: tuple[float, float], title: str) -> str:
    x1, y1 = start[0] + BOX_WIDTH / 2, start[1] + BOX_HEIGHT
    x2, y2 = end[0] + BOX_WIDTH / 2, end[1]
    bend = max((y2 - y1) / 2, GAP_Y / 2)
    return (
        f'<path class="edge" d="M{x1:.0f},{y1:.0f} C{x1:.0f},{y1 + bend:.0f} {x2:.0f},{y2 - bend:.0f} '
        f'{x2:.0f},{y2:.0f}"><title>{escape(title)}</title></path>'
    )


def _box(stage: Stage, x: float, y: float) -> str:
    items = ", ".join(stage.items)
    shown = items if len(items) <= 26 else f"{len(stage.items)} items"
    name_y, middle = y + (20 if shown else 28), x + BOX_WIDTH / 2
    return (
        f'<g class="stage"><title>{escape(stage.description)}</title>'
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8"/>'
        f'<text class="name" x="{middle:.0f}" y="{name_y:.0f}" text-anchor="middle">{escape(stage.name)}</text>'
        f'<text x="{middle:.0f}" y="{y + 36:.0f}" text-anchor="middle">{escape(shown)}</text></g>'
    )
