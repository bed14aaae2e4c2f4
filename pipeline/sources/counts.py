"""How many images and people the sources hold, before anything has been ingested."""

from __future__ import annotations

from pathlib import Path

from pipeline import layout
from pipeline.settings import Params
from pipeline.sources import read_records

_PEOPLE_AN_IMAGE = 2.3  # of a rendered image; counted: 2.3 (500 images, seed 0)


def counted(params: Params) -> tuple[dict[str, int], dict[str, int]]:
    """Images and people by source, read from the annotation files; of data yet to be rendered, what the params say.

    Sources that have tables already are left out, for those are counted more cheaply. ValueError names a file that
    cannot be read.
    """
    images: dict[str, int] = {}
    people: dict[str, int] = {}
    for name, source in params.data.sources.items():
        if layout.images(name).is_file():
            continue
        if Path(source.index).exists():
            records = read_records(source)
            images[name], people[name] = len(records.images.ids), len(records.people.ids)
        else:
            images[name] = _rendered(params, name, source.index)
            people[name] = 0 if source.format == "folder" else round(_PEOPLE_AN_IMAGE * images[name])
    return images, people


def _rendered(params: Params, name: str, index: str) -> int:
    for folder, settings in params.synthesize.items():
        if Path(index).is_relative_to(layout.synthetic(folder)):
            counts = {"aic": settings.external_images, "unlabeled": settings.unlabeled_images}
            counts |= {"train": settings.train_images, "val": settings.val_images}
            return next((count for part, count in counts.items() if part in index), 0)
    raise ValueError(f"data.sources.{name}: {index}: no such file; `ccm data check` says what is missing")
