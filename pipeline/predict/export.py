"""A trained model's folder as one ONNX file that needs nothing of this project to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from model import checkpoints
from model.export import export
from model.network import PoseNetwork
from postproc.heatmaps import GAUSSIAN, decode_torch

FOLDER = Path("exports")  # not the model's own folder: that one is DVC's
REFINEMENT = "parabola"


class PointsInCrop:
    """Heatmaps [B, K, h, w] to coordinates [B, K, 2] in crop pixels and scores [B, K], as the paper decodes one pass.

    Gaussian filter, maximum, parabola (sections 5.2 and 5.3); a score is the unfiltered map's maximum. No flip test,
    which takes a second pass.
    """

    def __init__(self, network: PoseNetwork, gaussian: bool = True, refinement: str = REFINEMENT) -> None:
        (height, width), (rows, columns) = network.spec.input_size, network.heatmap_size
        self.gaussian, self.refinement = GAUSSIAN if gaussian else None, refinement
        self.scale = width / columns, height / rows  # crop pixels a cell: only the scale changes between the two

    def __call__(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
        cells, scores = decode_torch(heatmaps, gaussian=self.gaussian, refine=self.refinement)
        return cells * cells.new_tensor(self.scale), scores


def export_model(folder: str | Path, output: str | Path | None = None, heatmaps: bool = False) -> Path:
    """Write a model as ONNX, once onnxruntime gives what torch gives.

    Args:
        folder: a trained model's, such as models/final/ACHU-CH, or its model.safetensors.
        output: the file to write; None: exports/<name of the folder>.onnx.
        heatmaps: leave the post-processing out; heatmaps instead of coordinates and scores.

    Returns:
        The file that was written. Its input is `crops`, uint8 RGB [B, 3, H, W]; its metadata name the keypoints and say
        how a crop is cut (`padding` about the box, `input_size`).

    Raises:
        ValueError: no keypoint model of this project there, or nothing can be written to `output`.
    """
    source = checkpoints.tensors_file(folder)
    if not checkpoints.is_ours(source):
        raise ValueError(f"{source}: not a model that this pipeline trained; allowed: a folder under models/")
    network, card = checkpoints.load(source), checkpoints.read_card(source, checkpoints.POSE)
    path = FOLDER / f"{source.parent.resolve().name}.onnx" if output is None else Path(output)
    if path.suffix != ".onnx":
        raise ValueError(f"{path}: the file's name must end in .onnx")
    notes: dict[str, Any] = {name: card[name] for name in ("keypoint_names", "padding", "trained_on") if name in card}
    notes["frame"] = "heatmap cells" if heatmaps else "crop pixels, the first pixel's centre is 0"
    return export(network, path, None if heatmaps else PointsInCrop(network), notes)
