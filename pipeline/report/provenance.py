"""What produced the page: the paper's tables, the stage graph, params, revision and the hashes of every artefact."""

from __future__ import annotations

import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from pipeline import layout
from pipeline.records.artefacts import file_hash, revision
from pipeline.records.keypoints import load_keypoint_set
from pipeline.records.text import one_line, read_file, without_secrets
from pipeline.report.blocks import Block, Figure, Fold, MissingArtefact, Note, PaperTable, Section, Table, Text
from pipeline.report.context import Context
from pipeline.report.paper_tables import compare, workspace_run
from pipeline.report.paper_tables.published import NUMBERS
from pipeline.report.stage_graph import draw, read_stages
from pipeline.settings import PARAMS_FILE

DVC_FILE, LOCK_FILE = Path("dvc.yaml"), Path("dvc.lock")
PACKAGES = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless", "pyarrow", "dvc", "prefect")


def paper_tables(context: Context) -> Section:
    """Tables 2 to 14 of the paper, each figure beside ours."""
    blocks: list[Block] = []
    for number in NUMBERS:
        table = compare(number, [context.run])
        detail = f"{table.measured} of {len(table.lines)} rows measured"
        blocks.append(Fold(f"Table {number}: {table.caption}", [PaperTable(table)], detail, table.measured > 0))
    if not on_coco(context):
        note = "The data here are not COCO: the paper's figures stand for reference, not to be compared with."
        blocks = [Fold("Tables 2 to 14", [Note(note), *blocks], "the data are not COCO")]
    return Section(
        "paper",
        "Beside the paper",
        "Each figure as the paper prints it, and below it as measured in this workspace; blank where nothing was. "
        "`ccm table N --run` runs the experiments that a table lacks. Milliseconds (Table 9) depend on the machine and "
        f"the moment: they stand beside this page, in `{layout.TIMES_PAGE.name}`.",
        blocks,
    )


def times() -> Section:
    """Table 9, as measured here the last time."""
    run = workspace_run()
    if layout.TIMES not in run.metrics:
        raise MissingArtefact(layout.figures(layout.TIMES), "benchmark")
    return Section("times", "Times", "As `benchmark` took them here last.", [PaperTable(compare(9, [run]))])


def on_coco(context: Context) -> bool:
    """Whether the models are validated on COCO's keypoints and files of its names: COCO itself, or built-in data."""
    data = context.params.data
    files = [Path(data.sources[name].index).name for name in data.validation]
    known = re.compile(r"person_keypoints_\w+20\d\d\.json(\.gz)?$")
    return context.keypoints.names == load_keypoint_set("coco").names and all(map(known.match, files))


def stage_graph(context: Context) -> Section:
    """The stages and what they read from each other."""
    introduction = "A stage reruns when the params, code or artefacts it reads have changed, and only then."
    if not DVC_FILE.exists():
        return Section("stages", "Stages", introduction, [Note(f"{DVC_FILE} is not here.", missing=True)])
    stages = read_stages(DVC_FILE, context.run.params)
    rows = [
        [stage.name, stage.description, "none: left out" if stage.left_out else ", ".join(stage.items) or "-"]
        for stage in stages
    ]
    return Section(
        "stages",
        "Stages",
        introduction,
        [
            Figure(draw(stages), "From the top down; edges that a longer path implies are left out"),
            Fold("What each stage does", [Table(["stage", "what it makes", "items"], rows, labels=3)]),
        ],
    )


def provenance(context: Context) -> Section:
    """Revision, versions, params and hashes."""
    rows = [["profile", context.params.profile], ["revision", revision()], ["python", platform.python_version()]]
    for package in PACKAGES:
        try:
            rows.append([package, version(package)])
        except PackageNotFoundError:
            continue
    blocks: list[Block] = [Table(["", ""], rows, labels=2)]
    if PARAMS_FILE.exists():
        blocks.append(Fold(str(PARAMS_FILE), [Text(without_secrets(read_file(PARAMS_FILE)))]))
    blocks.append(Fold("Artefacts and their hashes", [_artefacts()]))
    return Section("provenance", "Provenance", "What produced all this, so that it can be made again.", blocks)


def _locked() -> dict[str, Any]:
    """The stages of dvc.lock; ValueError where it is not what DVC writes."""
    try:
        content = yaml.load(read_file(LOCK_FILE), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return dict(content.get("stages", {}))
    except (yaml.YAMLError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(f"{LOCK_FILE}: not as DVC writes it: {one_line(error)}; `git checkout` it") from None


def _artefacts() -> Block:
    if LOCK_FILE.exists():
        rows = [
            [stage, str(out["path"]), str(out.get("md5", "-")), f"{out.get('size', 0):,}"]
            for stage, entry in sorted(_locked().items())
            for out in entry.get("outs", [])
        ]
        return Table(["stage", "artefact", "md5", "bytes"], rows, "From dvc.lock", labels=3)
    folders = [
        Path("data/sets"),
        Path("data/results"),
        layout.MODELS / "detectors",
        layout.TEACHERS,
        Path("models/final"),
    ]
    files = sorted(path for folder in folders if folder.exists() for path in folder.rglob("*") if path.is_file())
    rows = [[str(path), file_hash(path), f"{path.stat().st_size:,}"] for path in files]
    return Table(["artefact", "md5", "bytes"], rows, "No dvc.lock here: hashes of the files as they lie", labels=2)
