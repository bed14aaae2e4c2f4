"""The project's own best model, and its detector, with the settings that `evaluate` used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline import layout
from pipeline.predict.predictor import Predictor, Thresholds
from pipeline.records.artefacts import read_json
from pipeline.settings import Params


def best_model(params: Params) -> Path:
    """The folder of the strategy's model with the best AP (or PCK) on the first evaluation set.

    ValueError where nothing is evaluated yet.
    """
    reached = {name: _reached(name, params) for name in params.strategies if layout.figures("evaluate", name).is_file()}
    known = {name: value for name, value in reached.items() if value is not None and layout.final(name).is_dir()}
    if not known:
        raise ValueError("no model is evaluated yet: run `ccm run` (or `dvc repro`), or name one with --model")
    return layout.final(max(known, key=lambda name: known[name]))


def _reached(strategy: str, params: Params) -> float | None:
    kinds: dict[str, Any] = read_json(layout.figures("evaluate", strategy)).get(params.evaluate.sets[0], {})
    figures: dict[str, Any] = kinds.get("detected") or next(iter(kinds.values()), {})
    value = figures.get("AP", figures.get("PCK"))
    return None if value is None else float(value)


def detector_of(params: Params) -> Path | None:
    """The detector that found the people of the first evaluation set, else any that is trained; None where none is."""
    origins = params.detect_people.sources
    names = [origins[name] for name in [*params.evaluate.sets, *origins] if name in origins]
    folders = [Path(name) for name in names] + [layout.detector(name) for name in params.train_detector.models]
    return next((folder for folder in folders if (folder / "card.json").is_file()), None)


def project_predictor(
    params: Params,
    model: str | Path | None = None,
    detector: str | Path | None = None,
    *,
    whole: bool = False,
    fast: bool = False,
    stored: bool = False,
) -> Predictor:
    """A predictor with the project's models and settings; `whole` takes each picture as one person."""
    found = None if whole else detector or detector_of(params)
    return Predictor(
        model or best_model(params),
        found,
        postprocessing=params.evaluate.postprocessing,
        fast=fast,
        thresholds=Thresholds(
            max(params.detect_people.score_threshold, params.evaluate.box_threshold), params.detect_people.nms_threshold
        ),
        device=params.compute.device,
        stored=stored,
    )
