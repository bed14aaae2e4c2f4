"""Trained models in use."""

from __future__ import annotations

from flows.commands.parsing import Arguments, Commands, command


def add(commands: Commands) -> None:
    """`export`."""
    export = command(
        commands,
        "export",
        "write a trained model as an ONNX file",
        "ccm export models/final/ACHU-CH\nccm export models/final/C-C --heatmaps --output net.onnx",
        _export,
    )
    export.add_argument("model", metavar="MODEL", help="a model's folder, e.g. models/final/ACHU-CH")
    export.add_argument("--output", metavar="FILE", help="default: exports/<name of the folder>.onnx")
    export.add_argument("--heatmaps", action="store_true", help="heatmaps instead of coordinates and scores")


def _export(arguments: Arguments) -> int:
    from pipeline.predict.export import export_model

    path = export_model(arguments.model, arguments.output, arguments.heatmaps)
    result = "heatmaps" if arguments.heatmaps else "coordinates in crop pixels, scores"
    print(f"{path}: uint8 RGB crops in, {result} out; onnxruntime and torch agree")
    return 0
