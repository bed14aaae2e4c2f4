"""A trained network as one ONNX file, checked against torch before it is handed over."""

from __future__ import annotations

import copy
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from model.network import PoseNetwork

HEATMAP_TOLERANCE = 1e-4
COORDINATE_TOLERANCE = 0.01  # in the unit of `decode`'s coordinates

Decode = Callable[[Tensor], tuple[Tensor, Tensor]]


class Deployed(nn.Module):
    """What an exported file computes: crops as they come from an image, uint8 RGB [B, 3, H, W], to heatmaps or points.

    Normalisation is inside, so nobody has to repeat it. Without `decode`: heatmaps [B, K, h, w]. With it: what
    `decode` makes of them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: PoseNetwork, decode: Decode | None) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).drop_auxiliary().cpu().float().eval()
        self.decode = decode
        self.register_buffer("mean", torch.tensor(network.mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(network.std).view(1, 3, 1, 1) * 255)

    def forward(self, crops: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        heatmaps = self.network((crops.float() - self.mean) / self.std)
        return heatmaps if self.decode is None else self.decode(heatmaps)


def export(network: PoseNetwork, path: str | Path, decode: Decode | None = None) -> Path:
    """Writes an ONNX file with a free batch dimension, once onnxruntime gives what torch gives.

    The file's input is `crops`, uint8 RGB [B, 3, H, W]. Its outputs are `heatmaps` [B, K, h, w] or, with `decode`,
    `coordinates` [B, K, 2] and `scores` [B, K]. Its metadata hold the network's spec.

    Args:
        network: stays as it is; its auxiliary decoder is left out.
        path: replaced in one step, and only by a file that passed.
        decode: heatmaps [B, K, h, w] to (coordinates, scores) in tensor operations alone, in the frame that the
            file's users want.

    Raises:
        ValueError: the packages for exporting are not installed.
        RuntimeError: onnxruntime's heatmaps differ by more than 1e-4, or coordinates by more than 0.01.
    """
    path = Path(path)
    deployed = Deployed(network, decode)
    height, width = network.spec.input_size
    crops = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8)
    outputs = ["heatmaps"] if decode is None else ["coordinates", "scores"]
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".onnx-", dir=path.parent) as folder:
        aside = Path(folder) / path.name
        _write(deployed, crops, aside, outputs)
        check(aside, deployed, outputs)
        os.replace(aside, path)
    return path


def _write(deployed: Deployed, crops: Tensor, path: Path, outputs: Sequence[str]) -> None:
    try:
        import onnx
        import onnxscript  # noqa: F401  torch needs it
    except ImportError as error:
        raise ValueError(f"{error}; ONNX export needs `pip install 'ccm-pipeline[export]'`") from error
    program = torch.onnx.export(
        deployed,
        (crops,),
        input_names=["crops"],
        output_names=list(outputs),
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    spec = deployed.network.spec.to_dict()
    onnx.helper.set_model_props(model, {"spec": json.dumps(spec), "keypoints": str(deployed.network.keypoints)})
    onnx.save(model, path)


def check(path: Path, deployed: Deployed, outputs: Sequence[str]) -> None:
    """RuntimeError unless onnxruntime computes what torch does, on batches of one, two and three random crops."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ValueError(f"{error}; checking an export needs `pip install 'ccm-pipeline[export]'`") from error
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    for batch in (1, 2, 3):
        shape = (batch, 3, *deployed.network.spec.input_size)
        crops = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        with torch.inference_mode():
            expected = deployed(crops)
        found = session.run(list(outputs), {"crops": crops.numpy()})
        references = expected if isinstance(expected, tuple) else (expected,)
        for name, theirs, ours in zip(outputs, found, references, strict=True):
            allowed = COORDINATE_TOLERANCE if name == "coordinates" else HEATMAP_TOLERANCE
            difference = (torch.from_numpy(theirs) - ours).abs().max().item()
            if not difference <= allowed:
                raise RuntimeError(
                    f"{path.name}: onnxruntime's {name} differ from torch's by {difference:g} for a batch of {batch}; "
                    f"allowed: {allowed:g}"
                )
