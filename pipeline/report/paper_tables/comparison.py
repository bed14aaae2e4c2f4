"""The paper's table beside what was measured, cell by cell, and the experiments that would fill the blanks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.evaluation.ablation import OWN_SETTINGS
from pipeline.report.paper_tables.published import Published, published
from pipeline.report.paper_tables.rows import PAPER_PROFILE, Needs, needs
from pipeline.report.paper_tables.runs import Run
from pipeline.report.paper_tables.seeds import SEEDS, Mean, other_seeds, with_seed

_FIGURES = ("AP", "AR", "#Params", "GFLOPs", "Network Forward", "Map -> Coord", "Evaluation")


@dataclass(frozen=True)
class Cell:
    """A figure as the paper prints it, and as measured here; empty where there is none."""

    paper: str
    ours: str


@dataclass(frozen=True)
class Line:
    """A row: its labels, its figures, and what ours were measured on (a number into `Comparison.conditions`)."""

    labels: tuple[str, ...]
    cells: tuple[Cell, ...]
    condition: int | None


@dataclass(frozen=True)
class Comparison:
    """A table of the paper with ours beside it."""

    number: int
    caption: str
    label_columns: tuple[str, ...]
    figure_columns: tuple[str, ...]
    lines: tuple[Line, ...]
    conditions: tuple[str, ...]

    @property
    def measured(self) -> int:
        """How many rows have a figure of ours."""
        return sum(any(cell.ours for cell in line.cells) for line in self.lines)


def show(number: int, runs: Sequence[Run]) -> str:
    """Table `number` as text. `runs`: the workspace first (`workspace_run()`), then experiments, newest first."""
    table = compare(number, runs)
    header = [*table.label_columns, *table.figure_columns, ""]
    body = []
    for line in table.lines:
        note = "" if line.condition is None else f"[{line.condition + 1}]"
        body.append([*line.labels, *(_text(cell) for cell in line.cells), note])
    widths = [max(len(row[i]) for row in [header, *body]) for i in range(len(header))]
    labels = len(table.label_columns)

    def laid_out(row: list[str]) -> str:
        cells = (
            text.ljust(w) if i < labels else text.rjust(w) for i, (text, w) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    lines = [f"Table {number}: {table.caption}", "each figure: paper | here", "", laid_out(header)]
    lines += ["-" * len(lines[-1]), *map(laid_out, body), ""]
    lines += [f"[{i + 1}] {text}" for i, text in enumerate(table.conditions)] or ["nothing measured here yet"]
    return "\n".join(lines)


def compare(number: int, runs: Sequence[Run]) -> Comparison:
    """Table `number` beside `runs`, the first run that has a row's params winning; its other seeds give the spread.

    ValueError when there is no such table, or no run at all.
    """
    if not runs:
        raise ValueError("a comparison needs at least the workspace's own run")
    table = _with_own_row(published(number))
    labels = tuple(name for name in table.columns if not _is_figure(name))
    figures = tuple(name for name in table.columns if _is_figure(name))
    conditions: list[str] = []
    lines = []
    for row in table.rows:
        cells = table.labels(row)
        found, text = _measured(table, cells, runs)
        if text and text not in conditions:
            conditions.append(text)
        lines.append(
            Line(
                tuple(cells[name] for name in labels),
                tuple(
                    Cell(
                        "" if cells[name] == "-" else cells[name],
                        _figure(number, found.get(name)),
                    )
                    for name in figures
                ),
                conditions.index(text) if text else None,
            )
        )
    return Comparison(
        number, table.caption, labels, figures, tuple(_with_differences(lines, labels)), tuple(conditions)
    )


def experiments_for(number: int, runs: Sequence[Run], seeds: Sequence[int] = ()) -> list[dict[str, Any]]:
    """The experiments that fill the blanks of table `number`, with `seeds` once a seed; see `_experiments_for`."""
    if not seeds:
        return _experiments_for(number, runs)
    wanted = []
    for seed in seeds:
        workspace = with_seed(runs[0], seed)
        chosen = dict.fromkeys(SEEDS, seed)
        changed = {path: value for path, value in chosen.items() if runs[0].param(path) != value}
        same_seed = [run for run in runs[1:] if run.has(chosen)]
        wanted += [{**changed, **settings} for settings in _experiments_for(number, [workspace, *same_seed])]
    return wanted


def _experiments_for(number: int, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The params of each experiment that would fill a blank of table `number`: none that a run already has, none twice.

    `runs[0]` is the workspace; queued experiments are runs that are `pending`. Rows of the same params but another
    strategy become one experiment with several strategies. Rows about a backbone of their own are run in the paper
    profile only.
    """
    table = _with_own_row(published(number))
    workspace = runs[0]
    wanted: list[tuple[dict[str, Any], list[str]]] = []
    for row in table.rows:
        need = needs(table, table.labels(row), workspace)
        if need is None or not need.queue or (need.backbone and workspace.param("profile") != PAPER_PROFILE):
            continue
        if any(_fills(run, need, table) for run in runs):
            continue
        settings = {path: value for path, value in need.params().items() if workspace.param(path) != value}
        for known, strategies in wanted:
            if known == settings:
                strategies += [need.strategy] if need.strategy not in strategies else []
                break
        else:
            wanted.append((settings, [need.strategy]))
    return [{**settings, "strategies": strategies} for settings, strategies in wanted]


def _with_own_row(table: Published) -> Published:
    """Tables 7 and 8 get a last row, the settings that params.yaml itself has; Table 5 a first, C alone."""
    if table.number == 5:
        return replace(table, rows=(("CCM", "C->C", *["-"] * (len(table.columns) - 2)), *table.rows))
    if table.number not in (7, 8):
        return table
    own = (OWN_SETTINGS, *[""] * (len(table.columns) - 1))
    return replace(table, rows=(*table.rows, own))


def _measured(table: Published, labels: Mapping[str, str], runs: Sequence[Run]) -> tuple[Mapping[str, Mean], str]:
    need = needs(table, labels, runs[0])
    if need is None:
        return {}, ""
    merged: dict[str, Mean] = {}
    words = ""
    for run in runs:
        figures, text = need.read(run) if _fits(run, need) else ({}, "")
        if set(figures) - set(merged):
            same = [run, *_repeats(run, need, runs, figures)]
            where = f" (experiment {run.name})" if run is not runs[0] else ""
            words = text + (f" (mean and standard deviation of {len(same)} seeds)" if len(same) > 1 else where)
            merged = {**_means([need.read(each)[0] for each in same], figures), **merged}
        if merged and not need.any_run:
            break
    return merged, words


def _repeats(run: Run, need: Needs, runs: Sequence[Run], figures: Mapping[str, float]) -> list[Run]:
    """The other runs that have the row's figures from other seeds; times and sizes have no seed to differ in."""
    if need.any_run or not any(name.startswith("AP") for name in figures):
        return []
    measured = [each for each in runs if each is run or (_fits(each, need) and need.read(each)[0])]
    return [each for each in other_seeds(run, measured) if each is not run]


def _means(found: Sequence[Mapping[str, float]], names: Iterable[str]) -> dict[str, Mean]:
    return {name: Mean.of([figures[name] for figures in found if name in figures]) for name in names}


def _fits(run: Run, need: Needs) -> bool:
    return need.any_run or (need.strategy in (run.param("strategies") or []) and run.has(need.params()))


def _fills(run: Run, need: Needs, table: Published) -> bool:
    """Is or will the row's result be there? Sizes alone are none where the table asks for an AP."""
    if run.pending:
        return need.strategy in (run.param("strategies") or []) and run.has(need.params())
    figures = need.read(run)[0] if _fits(run, need) else {}
    return "AP" in figures if "AP" in table.columns else bool(figures)


def _is_figure(column: str) -> bool:
    return column.startswith(_FIGURES) or column.isdigit()


def _figure(number: int, figure: Mean | None) -> str:
    if figure is None:
        return ""
    return figure.text(2 if number in (9, 10) and figure.value < 100 else 1)


def _text(cell: Cell) -> str:
    return f"{cell.paper or '':>5} | {cell.ours:<5}"


def _value(cell: Cell) -> float:
    return float(cell.ours.split(" ")[0])


def _with_differences(lines: list[Line], labels: tuple[str, ...]) -> list[Line]:
    """Fill the paper's `delta` rows: CCM-V minus CCM-I of the same kind."""
    result = []
    for place, line in enumerate(lines):
        if "delta" in line.labels:
            second = lines[place - 1]
            kind = second.labels[-1]
            first = next(one for one in lines if one.labels[0] == "CCM-I" and one.labels[-1] == kind)
            cells = tuple(
                replace(cell, ours=f"{_value(b) - _value(a):.1f}" if a.ours and b.ours else "")
                for cell, a, b in zip(line.cells, first.cells, second.cells, strict=True)
            )
            line = replace(line, cells=cells)
        result.append(line)
    return result
