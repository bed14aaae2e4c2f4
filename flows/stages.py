"""A DVC stage's command: its step, run as the Prefect flow of the same name when a server is there to show it."""

from __future__ import annotations

import importlib
import os
import pkgutil
import time
from functools import partial
from typing import Any

from pydantic import BaseModel

import pipeline.steps
from flows import durations, lifetime, server
from flows.notices import say_once
from flows.spread import SpreadingProgress
from pipeline import layout
from pipeline.progress import Progress, Silence
from pipeline.records.artefacts import file_hash, write_json
from pipeline.settings import Params, load_params, recipe, warnings
from pipeline.settings.leftovers import drop_notes
from pipeline.settings.recipe import items_of

Figures = dict[str, Any]


def stage_names() -> list[str]:
    """The stages that exist: the modules of `pipeline.steps`."""
    return sorted(module.name for module in pkgutil.iter_modules(pipeline.steps.__path__))


def run_stage(name: str, item: str | None = None) -> Figures:
    """Validate all of params.yaml, then run one stage to its end and return its figures.

    ValueError for wrong params, an unknown stage, or whatever the step finds wrong with its input.
    """
    lifetime.watch()
    first = os.environ.get("RANK", "0") == "0"  # of those that torchrun has started; it alone is seen
    params = load_params()
    for warning in warnings(params) if first else ():
        say_once(f"warning: params.yaml: {warning}")
    check_item(params, name, item)
    if not first:
        return _work(name, item, params, Silence())
    drop_notes(params)
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


def check_item(params: Params, name: str, item: str | None) -> None:
    """ValueError unless there is such a stage, and the params make this item of it."""
    if name not in stage_names():
        raise ValueError(f"stage {name!r}: there is none of that name; allowed: {', '.join(stage_names())}")
    items = items_of(params).get(name)
    if items is None and item is not None and name in recipe.SINGLE:
        raise ValueError(f"stage {name!r} has no items; leave {item!r} out")
    if items is not None and item not in items:
        allowed = ", ".join(items) or "none, for params.yaml leaves this stage out"
        what = "works item by item, name one" if item is None else f"has no item {item!r}"
        raise ValueError(f"stage {name!r} {what}; allowed: {allowed}")


def _work(name: str, item: str | None, params: Params, progress: Progress) -> Figures:
    step = importlib.import_module(f"pipeline.steps.{name}")
    return dict(step.run(params, progress, item))


def _work_and_note(name: str, item: str | None, params: Params, progress: Progress) -> Figures:
    """Run the step, write its headline figures, and leave a note of what the item made for the stages that join it."""
    figures = _work(name, item, params, progress)
    if name in recipe.STAGES and name not in layout.WITHOUT_METRICS:
        numbers = {key: value for key, value in figures.items() if value is None or value == value}
        write_json(layout.metrics(name, item), numbers)
    if name in recipe.STAGES and item is not None and name not in layout.WITHOUT_NOTE:
        made = layout.results_of(name, item)
        write_json(layout.note(name, item), {str(path): file_hash(path) for path in made})
    return figures


def _run(name: str, item: str | None, params: Params, address: str | None) -> Figures:
    work = partial(_work_and_note, name, item, params)
    if address is None:
        say_once(server.absence())
        return work(SpreadingProgress(params.spread))
    from flows import pictures
    from flows.runs import run_as_flow

    def shown(progress: Progress) -> Figures:
        figures = work(progress)
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
