"""A strategy's model on the evaluation sets: poses, COCO results, and figures that say which boxes they used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline import layout
from pipeline.evaluation.evaluating import evaluate_all, headline
from pipeline.evaluation.postprocess import Decoded, decode_people, padded_areas
from pipeline.evaluation.sets import EvaluationSet, Model, load_model, network_text
from pipeline.learning.devices import pick_device
from pipeline.learning.shards import forget, joined, kept, shards_of
from pipeline.progress import Progress
from pipeline.records.artefacts import file_hash, write_json
from pipeline.records.code import code_hash
from pipeline.settings import Decoding, Params


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Evaluate strategy `item`'s final model on every set and kind of boxes."""
    assert item is not None

    def find(chosen: EvaluationSet, title: str) -> Decoded:
        decode = DecodeShard(params, item, chosen.people)
        shards = shards_of(chosen.people, params.spread.shard_images)
        return decode.read(progress.map(decode, shards, description=title, unit="shard"))

    networks = {layout.final(item): network_text(load_model(params, item).network.spec)}
    figures = evaluate_all(params, progress, item, networks, find)
    write_json(layout.figures("evaluate", item), figures)
    forget(_work(item))
    return headline(figures)


def _work(strategy: str) -> str:
    return f"evaluate/{strategy}"


@dataclass(frozen=True)
class DecodeShard:
    """The keypoints of a range of rows by a strategy's model; picklable, and the same bytes wherever it runs."""

    params: Params
    strategy: str
    people: pa.Table

    @property
    def model(self) -> Model:
        """The model on the device of this worker."""
        return load_model(self.params, self.strategy)

    def __call__(self, rows: tuple[int, int]) -> Path:
        """The file of this shard: `points` and `scores` of `Decoded`, row by row."""
        people, settings = self.people.slice(rows[0], rows[1] - rows[0]), self.params.evaluate
        decoding = {name: getattr(settings.postprocessing, name) for name in Decoding.model_fields}
        identity = [
            file_hash(layout.final(self.strategy)),
            decoding,
            settings.batch_size,
            self.params.compute.precision,
            code_hash("pipeline.evaluation.postprocess"),
        ]
        return kept(_work(self.strategy), people, identity, lambda: self._find(people))

    def _find(self, people: pa.Table) -> dict[str, np.ndarray]:
        model = self.model
        found = decode_people(
            model.network,
            people,
            {self.strategy: self.params.evaluate.postprocessing},
            keypoints=model.keypoints,
            padding=model.padding,
            batch_size=self.params.evaluate.batch_size,
            compute=self.params.compute,
            device=pick_device(self.params.compute.device),
        )[self.strategy]
        return {"points": found.points, "scores": found.scores}

    def read(self, files: list[Path]) -> Decoded:
        """The shards' keypoints as one, in order."""
        model = self.model
        empty = np.zeros((0, len(model.keypoints)))
        areas = padded_areas(self.people, model.network.spec.input_size, model.padding)
        return Decoded(**joined(files, points=np.zeros((*empty.shape, 2)), scores=empty), area=areas)
