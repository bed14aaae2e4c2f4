"""A trained network as one ONNX file, checked against torch before it is handed over."""

from __future__ import annotations

import copy
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from model.network import PoseNetwork

HEATMAP_TOLERANCE = 1e-4  # where heatmaps reach 1, as trained ones do; in proportion where they reach higher
COORDINATE_TOLERANCE = 0.01  # in the unit of `decode`'s coordinates
ROUNDING = 1e-5  # of a heatmap's largest value: what two orders of summing a deep network's terms differ by

Decode = Callable[[Tensor], tuple[Tensor, Tensor]]
Merge = Callable[[Tensor, Tensor], Tensor]


class Deployed(nn.Module):
    """What an exported file computes: crops as they come from an image, uint8 RGB [B, 3, H, W], to heatmaps or points.

    Normalisation is inside, so nobody has to repeat it. Without `decode`: heatmaps [B, K, h, w]. With it: what
    `decode` makes of them. With `merge` the mirrored crops pass as well, and the heatmaps are what it makes of both.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: PoseNetwork, decode: Decode | None, merge: Merge | None = None) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).drop_auxiliary().cpu().float().eval()
        self.decode, self.merge = decode, merge
        self.register_buffer("mean", torch.tensor(network.mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(network.std).view(1, 3, 1, 1) * 255)
        self.eval()

    def heatmaps(self, crops: Tensor) -> Tensor:
        images = (crops.float() - self.mean) / self.std
        plain: Tensor = self.network(images)
        return plain if self.merge is None else self.merge(plain, self.network(images.flip(3)))

    def forward(self, crops: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        heatmaps = self.heatmaps(crops)
        return heatmaps if self.decode is None else self.decode(heatmaps)


def export(
    network: PoseNetwork,
    path: str | Path,
    decode: Decode | None = None,
    card: Mapping[str, Any] | None = None,
    merge: Merge | None = None,
) -> Path:
    """Writes an ONNX file with a free batch dimension, once onnxruntime gives what torch gives.

    The file's input is `crops`, uint8 RGB [B, 3, H, W]. Its outputs are `heatmaps` [B, K, h, w] or, with `decode`,
    `coordinates` [B, K, 2] and `scores` [B, K]. Its metadata hold the network's spec and the card, as JSON.

    Args:
        network: stays as it is; its auxiliary decoder is left out.
        path: replaced in one step, and only by a file that passed.
        decode: heatmaps [B, K, h, w] to (coordinates, scores) in tensor operations alone, in the frame that the
            file's users want.
        card: what a user of the file needs besides, anything that JSON holds.
        merge: heatmaps of the crops and of the mirrored crops to those that count: the flip test.

    Raises:
        ValueError: the packages for exporting are not installed, or the file cannot be written there.
        RuntimeError: onnxruntime's results differ from torch's by more than `check` allows.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; allowed: the name of a file to write, such as {path / 'model.onnx'}")
    deployed = Deployed(network, decode, merge)
    height, width = network.spec.input_size
    crops = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8)
    outputs = ["heatmaps"] if decode is None else ["coordinates", "scores"]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=".onnx-", dir=path.parent)
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({error.strerror}); choose another file") from error
    with folder:
        aside = Path(folder.name) / path.name
        _write(deployed, crops, aside, outputs, card or {})
        check(aside, deployed, outputs)
        os.replace(aside, path)
    return path


def _write(deployed: Deployed, crops: Tensor, path: Path, outputs: Sequence[str], card: Mapping[str, Any]) -> None:
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
    notes = {"spec": deployed.network.spec.to_dict(), "keypoints": deployed.network.keypoints, **card}
    onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in notes.items()})
    onnx.save(model, path)


def check(path: Path, deployed: Deployed, outputs: Sequence[str]) -> None:
    """RuntimeError unless onnxruntime computes what torch does, on batches of one, two and three random crops.

    Heatmaps and scores may differ by 1e-4 (of the largest value, where that is above 1), coordinates by 0.01. A heatmap
    without a clear peak is left out of the latter: where two cells are equally high, rounding decides which of them is
    the maximum.
    """
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
            heatmaps = deployed.heatmaps(crops)
            expected = (heatmaps,) if deployed.decode is None else deployed.decode(heatmaps)
            clear = _clear(heatmaps, deployed.decode) if deployed.decode is not None else None
        found = session.run(list(outputs), {"crops": crops.numpy()})
        for name, theirs, ours in zip(outputs, found, expected, strict=True):
            difference = (torch.from_numpy(theirs) - ours).abs()
            allowed = HEATMAP_TOLERANCE * max(1.0, heatmaps.abs().max().item())
            if name == "coordinates":
                difference, allowed = difference[clear], COORDINATE_TOLERANCE
            if not bool((difference <= allowed).all()):
                raise RuntimeError(
                    f"{path.name}: onnxruntime's {name} differ from torch's by {difference.max().item():g} for a "
                    f"batch of {batch}; allowed: {allowed:g}"
                )


def _clear(heatmaps: Tensor, decode: Decode) -> Tensor:
    """[B, K] bool: do torch's own coordinates stay where they are when the heatmaps change by a rounding error?"""
    generator = torch.Generator().manual_seed(1)
    still, _ = decode(heatmaps)
    clear = torch.ones(still.shape[:2], dtype=torch.bool)
    for _ in range(3):
        noise = 2 * torch.rand(heatmaps.shape, generator=generator) - 1
        moved, _ = decode(heatmaps + ROUNDING * noise * heatmaps.abs().amax((2, 3), keepdim=True))
        clear &= ((moved - still).abs() <= COORDINATE_TOLERANCE / 2).all(-1)
    return clear
