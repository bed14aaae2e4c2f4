"""Write the frozen set of the version whose code this runs in: `python -m tests.frozen.make FOLDER`.

Small on purpose (a few hundred kilobytes): two tiny untrained networks, the tables of ten made-up pictures, what
evaluation makes of them, and `expected.json`, what the networks said then.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from model import checkpoints
from model.detector import DetectorSpec, build_detector, save_detector
from model.network import build
from pipeline import layout
from pipeline.progress import Progress
from pipeline.records.keypoints import load_keypoint_set
from pipeline.steps import evaluate
from tests.pipeline.workspace import STRATEGY, make_workspace

SPEC: dict[str, Any] = {
    "architecture": "ccm", "backbone": "mobilenetv3_small_050", "backbone_stride": 8, "weights": "none",
    "input_size": [64, 64], "mixers": [8, 8], "dilated": False, "auxiliary": False,
    "se": True, "hdc": True, "residual": True,
}  # fmt: skip
DETECTOR = DetectorSpec(
    "test_efficientnet", min_size=64, max_size=96, anchor_sizes=(16, 32), fpn_channels=8, head_channels=8,
    proposals=20, sampled_proposals=8, max_detections=5, masks=False,
)  # fmt: skip


def main(target: Path) -> None:
    """Fill a folder."""
    target = target.resolve()
    target.mkdir(parents=True)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        params = make_workspace(Path(folder))
        torch.manual_seed(0)
        keypoints = load_keypoint_set("coco")
        card = {
            "keypoint_set": keypoints.name,
            "keypoint_definition": keypoints.as_dict(),
            "keypoint_names": list(keypoints.names),
            "trained_on": "nothing",
            "padding": 1.25,
        }
        network = build(SPEC, len(keypoints))
        shutil.rmtree(layout.final(STRATEGY))
        checkpoints.save(network, layout.final(STRATEGY), card)
        save_detector(build_detector(DETECTOR), layout.detector("person"), {"trained_on": "nothing"})
        evaluate.run(params, Progress(), STRATEGY)
        kept = [layout.images("val"), layout.instances("val"), layout.masks("val"), layout.quarantine("val")]
        kept += [layout.manifest("val"), layout.detections("val"), layout.figures("evaluate", STRATEGY)]
        kept += [
            Path("params.yaml"),
            *sorted(layout.results(STRATEGY).glob("*")),
            *sorted(layout.final(STRATEGY).glob("*")),
        ]
        kept += sorted(layout.detector("person").glob("*"))
        for path in kept:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / path)
        (target / "expected.json").write_text(json.dumps(said_of_it(Path())) + "\n")


def said_of_it(folder: Path) -> dict[str, Any]:
    """What the networks say of a fixed picture: heatmaps at some places, and the detector's scores."""
    from model.detector import load_detector

    network = checkpoints.load(folder / layout.final(STRATEGY))
    detector = load_detector(folder / layout.detector("person"))
    detector.set_thresholds(0.0, 0.5)
    picture = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64).sin()
    with torch.inference_mode():
        heatmaps, found = network(picture), detector([picture[0].abs()])[0]
    return {
        "heatmaps": heatmaps[0, :, ::5, ::5].flatten()[:60].tolist(),
        "largest": heatmaps.abs().max().item(),
        "scores": sorted(found["scores"].tolist(), reverse=True)[:3],
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
