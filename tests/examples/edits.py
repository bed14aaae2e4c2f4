"""The examples of CONTRIBUTING.md: what is written into which file, and what must then hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """`add` are new files by path, `replace` edits of existing ones (what stands there, what takes its place); `check`
    is run as a script in the project that has been edited."""

    add: dict[str, str]
    replace: dict[str, tuple[str, str]]
    check: str

    @property
    def files(self) -> set[str]:
        return {*self.add, *self.replace}


BACKBONE = Example(
    add={},
    replace={
        "model/backbones.py": (
            'TORCHVISION = ("shufflenet_v2_x1_5", "mobilenet_v2")',
            '''TORCHVISION = ("shufflenet_v2_x1_5", "mobilenet_v2")


class Stem(nn.Module):
    """Two strided convolutions, as a backbone of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, 4, 1), nn.Conv2d(8, 16, 3, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.second(self.first(images))


def _stem(spec: ModelSpec) -> Encoder:
    return Encoder(Stem(), lambda body, images: (None, body(images)), Level(16, 16), multiple=16)


OWN = {"stem": _stem}''',
        ),
        "model/backbones.py#2": (
            "    if spec.backbone in TORCHVISION:",
            "    if spec.backbone in OWN:\n        encoder = OWN[spec.backbone](spec)\n"
            "    elif spec.backbone in TORCHVISION:",
        ),
    },
    check="""
import torch
from model.network import build
network = build({"backbone": "stem", "input_size": (64, 48), "mixers": (8, 8), "weights": "none"}, 5).eval()
assert network(torch.zeros(2, 3, 64, 48)).shape == (2, 5, 16, 12)
""",
)

FORMAT = Example(
    add={
        "pipeline/sources/formats/names.py": '''"""Boxes in a text file, `file x y w h` a line."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipeline.records.keypoints import KeypointSet
from pipeline.settings import Source
from pipeline.sources.quarantine import Quarantine
from pipeline.sources.records import Images, People, Records, identities


def read(source: Source, keypoints: KeypointSet) -> Records:
    """Read the lines; ValueError when there is no such file."""
    try:
        with open(source.index) as file:
            rows = [line.split() for line in file if line.strip()]
    except OSError as error:
        raise ValueError(f"{source.index}: cannot be read: {error.strerror}") from None
    names = list(dict.fromkeys(row[0] for row in rows))
    boxes = np.array([row[1:5] for row in rows], np.float32).reshape(-1, 4)
    count = len(rows)
    people = People(
        identities([f"{number}" for number in range(count)]),
        [row[0] for row in rows],
        boxes,
        np.full(count, np.nan, np.float32),
        np.zeros(count, bool),
        np.zeros((count, len(keypoints), 3), np.float32),
        pa.nulls(count, pa.string()),
    )
    return Records(Images(names, names, [0] * len(names), [0] * len(names)), people, Quarantine(), count)
'''
    },
    replace={},
    check="""
from pathlib import Path
from pipeline.settings import Source
from pipeline.sources import read_records
Path("boxes.txt").write_text("a.jpg 1 2 30 40\\na.jpg 5 6 7 8\\nb.jpg 0 0 9 9\\n")
records = read_records(Source(format="names", index="boxes.txt", images=".", keypoints="coco"))
assert (len(records.images.ids), len(records.people)) == (2, 3)
""",
)

DECODING = Example(
    add={},
    replace={
        "postproc/heatmaps.py": (
            '"paraboloid", "dark", "log_parabola")',
            '"paraboloid", "dark", "log_parabola", "eighth")',
        ),
        "postproc/heatmaps.py#2": (
            '    if refine == "quarter":',
            '    if refine == "eighth":\n'
            "        return torch.where(inside, 0.125 * torch.sign(after - before), 0)\n"
            '    if refine == "quarter":',
        ),
        "postproc/kernels.py": (
            "    if refine == QUARTER:",
            "    if refine == 6:\n"
            "        dx = 0.125 * np.sign(z[2, 3] - z[2, 1]) if across else 0.0\n"
            "        dy = 0.125 * np.sign(z[3, 2] - z[1, 2]) if down else 0.0\n"
            "        return dx, dy\n"
            "    if refine == QUARTER:",
        ),
    },
    check="""
import torch
from pipeline.settings import Decoding
from postproc.codec import decode, encode
from postproc.heatmaps import decode_torch
Decoding(flip=False, shift=0.0, gaussian=False, refinement="eighth")
maps = encode(torch.tensor([[[10.3, 7.8]]]), torch.ones(1, 1), (16, 24), 2.0)
for found, _ in (decode(maps, gaussian=None, refine="eighth"), decode_torch(maps, gaussian=None, refine="eighth")):
    assert torch.allclose(found, torch.tensor([[[10.125, 7.875]]])), found
""",
)

AUGMENTATION = Example(
    add={},
    replace={
        "pipeline/settings/networks.py": (
            '    """where at least so many keypoints are labelled."""\n',
            '    """where at least so many keypoints are labelled."""\n'
            "    shift: Share = 0.0\n"
            '    """Share of the box by which it is moved, either way; new, so it may be left out."""\n',
        ),
        "pipeline/learning/data/augmentation.py": (
            "    rotation = settings.rotation * normal",
            "    boxes[:, :2] += settings.shift * (2 * uniform[:, :2] - 1) * boxes[:, 2:]\n"
            "    rotation = settings.rotation * normal",
        ),
    },
    check="""
import numpy as np
from pipeline.learning.data.augmentation import augmented, draws
from pipeline.records.keypoints import load_keypoint_set
from pipeline.settings import Augmentation, load_params
load_params()
off = Augmentation(rotation=0.0, scale=0.0, flip=0.0, half_body=0.0, half_body_keypoints=8)
on = off.model_copy(update={"shift": 0.5})
boxes, points = np.tile([10.0, 10.0, 40.0, 60.0], (8, 1)), np.full((8, 17, 3), 20.0)
random = draws(0, 0, np.arange(8))
arguments = (random, off, load_keypoint_set("coco"), (64, 48), 1.25)
labels = boxes, points, np.ones((8, 17), bool), np.ones((8, 17), np.float32)
still = augmented(*labels, *arguments)
moved = augmented(*labels, random, on, *arguments[2:])
assert np.ptp(still.keypoints[:, 0], axis=0).max() == 0
assert np.ptp(moved.keypoints[:, 0], axis=0).min() > 5
""",
)

STAGE = Example(
    add={
        "pipeline/steps/count_people.py": '''"""How many people a source has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline import layout
from pipeline.progress import Progress
from pipeline.records.artefacts import write_json
from pipeline.records.tables import read_table
from pipeline.settings import Params


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Count the people of source `item`."""
    assert item is not None
    people = read_table(layout.instances(item), "instances", ["instance_id"]).num_rows
    write_json(Path("data/counts") / f"{item}.json", {"rows": people})
    return {"rows": people}
'''
    },
    replace={
        "dvc.yaml": (
            "  align_labels:\n    foreach",
            """  count_people:
    foreach: ${data.sources}
    do:
      desc: How many people a source has
      cmd: ccm stage count_people ${key}
      deps: ['data/tables/${key}/instances.parquet', pipeline/steps/count_people.py, pipeline/records]
      outs: ['data/counts/${key}.json']
      metrics: ['metrics/count_people/${key}.json']

  align_labels:
    foreach""",
        )
    },
    check="""
import json
from pathlib import Path
from flows.stages import run_stage
from tests.pipeline.workspace import make_workspace
import os, shutil
shutil.copy("dvc.yaml", "folder/dvc.yaml") if Path("folder").mkdir() is None else None
os.chdir("folder")
make_workspace(Path.cwd())
assert run_stage("count_people", "val")["rows"] > 0
headline, whole = (json.loads(Path(p).read_text()) for p in ("metrics/count_people/val.json", "data/counts/val.json"))
assert headline == whole
""",
)

TABLE = Example(
    add={
        "pipeline/report/paper_tables/published/table15.csv": "# Strategies again\nTraining Strategy,AP\nC->C,70.0\n",
    },
    replace={
        "pipeline/report/paper_tables/rows.py": ("    14: _by_count,\n", "    14: _by_count,\n    15: _strategies,\n"),
    },
    check="""
from pipeline.report.paper_tables import Run, show
figures = {"boxes": {"kind": "detected"}, "images": 3, "AP": 0.5}
params = {"strategies": ["C-C"], "data": {"validation": "val"}, "train_joint": {"model": {"architecture": "ccm"}}}
text = show(15, [Run("workspace", params, {"evaluate/C-C": {"val": {"detected": figures}}})])
assert "Table 15: Strategies again" in text and "70.0 | 50.0" in text, text
""",
)

EXAMPLES = {
    "backbone": BACKBONE,
    "data format": FORMAT,
    "decoding technique": DECODING,
    "augmentation": AUGMENTATION,
    "stage": STAGE,
    "paper's table": TABLE,
}
