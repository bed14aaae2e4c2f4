"""A strategy's model on the evaluation sets: poses, COCO results, and figures that say which boxes they used."""

from __future__ import annotations

from typing import Any

from pipeline import layout
from pipeline.artefacts import write_json
from pipeline.devices import pick_device
from pipeline.evaluation.evaluating import evaluate_all, headline
from pipeline.evaluation.postprocess import Decoded, decode_people
from pipeline.evaluation.sets import EvaluationSet, load_model
from pipeline.params import Params
from pipeline.progress import Progress


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Evaluate strategy `item`'s final model on every set and kind of boxes."""
    assert item is not None
    model = load_model(params, item)

    def find(chosen: EvaluationSet, title: str) -> Decoded:
        return decode_people(
            model.network,
            chosen.people,
            {item: params.evaluate.postprocessing},
            keypoints=model.keypoints,
            padding=model.padding,
            batch_size=params.evaluate.batch_size,
            compute=params.compute,
            device=pick_device(params.compute.device),
            progress=progress,
            description=title,
        )[item]

    figures = evaluate_all(params, progress, item, [layout.final(item)], find)
    write_json(layout.metrics("evaluate", item), figures)
    return headline(figures)
