"""The stage graph, drawn from `dvc.yaml`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from pipeline.settings.graph import read_graph

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y, LANE = 168, 46, 22, 36, 10


@dataclass(frozen=True)
class Stage:
    """A stage: its items, and the stages whose outputs it reads; `left_out` by params that give it no item."""

    name: str
    description: str
    items: tuple[str, ...]
    parents: tuple[str, ...]
    left_out: bool = False


def read_stages(path: Path, params: Mapping[str, Any]) -> list[Stage]:
    """The stages of a `dvc.yaml` with their items expanded from params, in the file's order."""
    graph = read_graph(params, path)
    made = {name: {p for item in stage.items.values() for p in item.made} for name, stage in graph.items()}
    result = []
    for name, stage in graph.items():
        reads = {p for item in stage.items.values() for p in item.deps}
        parents = tuple(other for other in graph if other != name and _touch(reads, made[other]))
        items = tuple(stage.items) if stage.has_items else ()
        result.append(Stage(name, stage.description, items, parents, left_out=not stage.items))
    return result


def _touch(reads: set[str], made: set[str]) -> bool:
    return any(r == m or r.startswith(m + "/") or m.startswith(r + "/") for r in reads for m in made)


def draw(stages: list[Stage]) -> Markup:
    """The graph of the stages that run, from top to bottom; an edge past other stages has a lane of its own."""
    stages = [stage for stage in stages if not stage.left_out]
    by_name = {stage.name: stage for stage in stages}
    direct = {stage.name: _direct_parents(stage, by_name) for stage in stages}
    rows, chains = _rows(stages, direct)
    centre = _centres(rows, chains)
    left = min(centre[node] - _width(node) / 2 for row in rows for node in row) - 6
    width = max(centre[node] + _width(node) / 2 for row in rows for node in row) - left + 6
    height = len(rows) * (BOX_HEIGHT + GAP_Y) - GAP_Y + 12
    top = {node: 6 + number * (BOX_HEIGHT + GAP_Y) for number, row in enumerate(rows) for node in row}
    parts = [_edge([(centre[node] - left, top[node], node in by_name) for node in chain]) for chain in chains]
    parts += [_box(stage, centre[stage.name] - left - BOX_WIDTH / 2, top[stage.name]) for stage in stages]
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


def _rows(stages: list[Stage], direct: Mapping[str, list[str]]) -> tuple[list[list[str]], list[list[str]]]:
    """Stages by row, each just above the first that reads it, and every edge as a chain through the rows between.

    Where an edge passes a row it has a lane there, a node with a name of its own (`parent>child`).
    """
    children = {stage.name: [other for other in direct if stage.name in direct[other]] for stage in stages}
    height: dict[str, int] = {}

    def rows_below(name: str) -> int:
        if name not in height:
            height[name] = 1 + max((rows_below(child) for child in children[name]), default=-1)
        return height[name]

    tallest = max(rows_below(stage.name) for stage in stages)
    rows: list[list[str]] = [[] for _ in range(tallest + 1)]
    for stage in stages:
        rows[tallest - height[stage.name]].append(stage.name)
    chains = []
    for child, parents in direct.items():
        for parent in parents:
            between = range(tallest - height[parent] + 1, tallest - height[child])
            lanes = [f"{parent}>{child}>{number}" for number in between]
            for number, lane in zip(between, lanes, strict=True):
                rows[number].append(lane)
            chains.append([parent, *lanes, child])
    return rows, chains


def _width(node: str) -> float:
    return LANE if ">" in node else BOX_WIDTH


def _centres(rows: list[list[str]], chains: list[list[str]]) -> dict[str, float]:
    """Horizontal centres: in its row, a node goes by the mean place of its neighbours above, then of those below."""
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for chain in chains:
        for upper, lower in itertools.pairwise(chain):
            above.setdefault(lower, []).append(upper)
            below.setdefault(upper, []).append(lower)
    centre: dict[str, float] = {}
    for row in rows:
        _spread(row, centre)
    for neighbours, order in ((above, rows), (below, rows[::-1]), (above, rows)):
        for row in order:
            wanted = {
                node: sum(centre[n] for n in neighbours[node]) / len(neighbours[node])
                for node in row
                if node in neighbours
            }
            row.sort(key=lambda node: wanted.get(node, centre[node]))
            _spread(row, centre)
    return centre


def _spread(row: list[str], centre: dict[str, float]) -> None:
    """Put a row's nodes side by side, centred about 0."""
    x = -(sum(_width(node) for node in row) + GAP_X * (len(row) - 1)) / 2
    for node in row:
        centre[node] = x + _width(node) / 2
        x += _width(node) + GAP_X


def _edge(places: list[tuple[float, float, bool]]) -> str:
    """A curve from the bottom of the first place to the top of the last; `bool`: a box, not a lane."""
    path = f"M{places[0][0]:.0f},{places[0][1] + BOX_HEIGHT:.0f}"
    for (x1, y1, _), (x2, y2, is_box) in itertools.pairwise(places):
        bend = GAP_Y * 0.6
        path += f" C{x1:.0f},{y1 + BOX_HEIGHT + bend:.0f} {x2:.0f},{y2 - bend:.0f} {x2:.0f},{y2:.0f}"
        path += "" if is_box else f" V{y2 + BOX_HEIGHT:.0f}"
    return f'<path class="edge" d="{path}"/>'


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
