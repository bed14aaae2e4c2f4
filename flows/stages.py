"""A DVC stage's command: its step, run as the Prefect flow of the same name when a server is there to show it."""

from __future__ import annotations

import importlib
import os
import pkgutil
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import pipeline.steps
from flows import durations, lifetime, server
from flows.notices import say_once
from flows.spread import SpreadingProgress
from pipeline import layout
from pipeline.progress import Progress, Silence
from pipeline.records.artefacts import file_hash, write_json
from pipeline.settings import PARAMS_FILE, Params, load_params, warnings
from pipeline.settings.graph import Definition, read_graph
from pipeline.settings.leftovers import drop_notes
from pipeline.settings.reading import load_yaml, read_text

Figures = dict[str, Any]

WITH_PEOPLE = ("pseudo_label", "evaluate", "evaluate_ensemble")  # whose results the page shows in pictures
HEADLINES = ("AP", "AR", "OKS", "PCK", "val_AP", "val_oks", "val_ap", "val_pck", "rows", "keypoints_per_row")


def stage_names() -> list[str]:
    """The stages that exist: the modules of `pipeline.steps`."""
    return sorted(module.name for module in pkgutil.iter_modules(pipeline.steps.__path__))


def run_stage(name: str, item: str | None = None) -> Figures:
    """Validate all of params.yaml, then run one stage to its end and return its figures.

    ValueError for wrong params, an unknown stage, or whatever the step finds wrong with its input.
    """
    with lifetime.watched():
        return _validated_and_run(name, item)


def _validated_and_run(name: str, item: str | None) -> Figures:
    first = os.environ.get("RANK", "0") == "0"  # of those that torchrun has started; it alone is seen
    params = load_params()
    for warning in warnings(params) if first else ():
        say_once(f"warning: params.yaml: {warning}")
    graph = current_graph()
    check_item(graph, name, item)
    if not first:
        return _work(name, item, params, Silence())
    drop_notes(graph)
    address = server.connect()
    started = time.monotonic()
    try:
        figures = _run(name, item, params, address)
    except BaseException as error:
        if not isinstance(error, Exception):  # told to stop: leave nobody behind
            lifetime.end_children(2.0)
        raise
    durations.remember(label(name, item), time.monotonic() - started)
    _print_figures(label(name, item), figures)
    return figures


def label(name: str, item: str | None) -> str:
    """The stage as DVC writes it: `detect_people@train`."""
    return f"{name}@{item}" if item else name


def check_item(graph: Mapping[str, Definition], name: str, item: str | None) -> None:
    """ValueError unless there is such a stage, and the params make this item of it."""
    if name not in stage_names():
        raise ValueError(f"stage {name!r}: there is none of that name; allowed: {', '.join(stage_names())}")
    if name not in graph:  # not in dvc.yaml: a stage that is being written
        return
    stage = graph[name]
    if not stage.has_items and item is not None:
        raise ValueError(f"stage {name!r} has no items; leave {item!r} out")
    if stage.has_items and item not in stage.items:
        allowed = ", ".join(stage.items) or "none, for params.yaml leaves this stage out"
        what = "works item by item, name one" if item is None else f"has no item {item!r}"
        raise ValueError(f"stage {name!r} {what}; allowed: {allowed}")


def _work(name: str, item: str | None, params: Params, progress: Progress) -> Figures:
    step = importlib.import_module(f"pipeline.steps.{name}")
    return dict(step.run(params, progress, item))


def _work_and_note(name: str, item: str | None, params: Params, progress: Progress) -> Figures:
    """Run the step, write its headline figures, and leave a note of what the item made for the stages that join it."""
    figures = _work(name, item, params, progress)
    stage = current_graph().get(name)
    made = stage.items.get(item or "") if stage is not None else None
    if made is not None:
        for path in made.metrics:
            write_json(path, {key: value for key, value in figures.items() if is_headline(key, value)})
        notes = [path for path in made.outs if layout.INDEX in Path(path).parents]
        results = [path for path in (*made.outs, *made.plots) if path not in notes]
        for path in notes:
            write_json(path, {result: file_hash(result) for result in results})
    return figures


def is_headline(name: str, value: Any) -> bool:
    """Whether a figure is one of the few that `dvc metrics` compares; `data/figures` has them all."""
    return name.rpartition(".")[2] in HEADLINES and isinstance(value, int | float) and value == value


def current_graph() -> dict[str, Definition]:
    """The stages of this workspace, with the items that its params make."""
    return read_graph(load_yaml(read_text(PARAMS_FILE), str(PARAMS_FILE)))


def _run(name: str, item: str | None, params: Params, address: str | None) -> Figures:
    work = partial(_work_and_note, name, item, params)
    if address is None:
        say_once(server.absence())
        return work(SpreadingProgress(params.spread))
    from flows.runs import run_as_flow

    def shown(progress: Progress) -> Figures:
        figures = work(progress)
        if name in WITH_PEOPLE or layout.curves(name, item or "").is_file():
            from flows import pictures  # brings pandas: a third of a second that most stages can do without

            pictures.show(name, item, progress)
        return figures

    settings = getattr(params, name, None)
    details = {"item": item, "params": settings.model_dump() if isinstance(settings, BaseModel) else None}
    return run_as_flow(name, label(name, item), details, params.spread, shown)


def _print_figures(title: str, figures: Figures) -> None:
    if not figures:
        return
    width = max(len(str(key)) for key in figures)
    print(f"{title}:", flush=True)
    for key, value in figures.items():
        print(f"  {key!s:<{width}}  {f'{value:.5g}' if isinstance(value, float) else value}")
