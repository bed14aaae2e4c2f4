"""Each source's own files -> tables, quarantine and statistics (section 6.1, Figure 1)."""

from __future__ import annotations

import hashlib
import json
from itertools import chain
from pathlib import Path
from typing import Any

from pipeline import layout
from pipeline.progress import Progress
from pipeline.records.artefacts import provenance, write_json
from pipeline.records.statistics import headline, statistics
from pipeline.records.tables import TableInfo, write_table
from pipeline.settings import Ingest, Params, Source
from pipeline.sources import read_records
from pipeline.sources.assemble import assemble
from pipeline.sources.image_files import FileCheck, Found
from pipeline.sources.orientation import orientation_of, settled


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Read the source `item`. ValueError when its files are no use, or more records are bad than params allow."""
    assert item is not None
    source, settings = params.data.sources[item], params.ingest
    with progress.task("read"):
        records = read_records(source)
    with progress.task("check images"):
        images = records.images
        files = list(zip(images.file_names, images.widths, images.heights, strict=True))
        size = params.spread.shard_images
        shards = [files[start : start + size] for start in range(0, len(files), size)]
        check = FileCheck(source.images, settings.check_images, orientation_of(source), source.links)
        found = list(chain.from_iterable(progress.map(check, shards, description="check images")))
        found = settled(found, images.file_names, f"data.sources.{item}")
    with progress.task("build tables"):
        made_by = _provenance(source, settings, found)
        made_by |= {"category": records.category, "text_ids": records.text_ids}
        info = TableInfo(source.keypoints, {item: source.images}, made_by)
        tables = assemble(item, source.index, records, found, info)
    with progress.task("write"):
        write_table(layout.quarantine(item), tables.quarantine)
        records.quarantine.check_share(records.records, settings.max_bad_share, f"source '{item}'")
        write_table(layout.images(item), tables.images)
        write_table(layout.manifest(item), tables.manifest)
        write_table(layout.instances(item), tables.instances)
        write_table(layout.masks(item), tables.masks)
    with progress.task("statistics"):
        figures = statistics(tables.images, tables.instances) | {
            "records": records.records,
            "quarantined": records.quarantine.reasons(),
            "left_out": records.notes,
            "derived": records.derived,
        }
        write_json(layout.figures("ingest", item), figures)
    bad = len(records.quarantine)
    if bad:
        progress.say(f"{item}: {bad} of {records.records} records set aside, see {layout.quarantine(item)}")
    for what, count in records.derived.items():
        progress.say(f"{item}: {count} {what}")
    return headline(figures) | {"quarantined": bad}


def _provenance(source: Source, settings: Ingest, found: list[Found]) -> dict[str, Any]:
    """What made the tables. A folder of images is known by the contents of its files."""
    configured = {"source": source.model_dump(exclude_defaults=True), **settings.model_dump()}
    if not Path(source.index).is_dir():
        return provenance(configured, [source.index, *([source.only] if source.only else [])])
    contents = json.dumps([file.content for file in found]).encode()
    return {"settings": configured, "inputs": {source.index: hashlib.md5(contents).hexdigest()}}
