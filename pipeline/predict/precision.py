"""A bundle's networks in half precision, or in integers of eight bits, by onnxruntime's own converters.

Only the networks change. What turns heatmaps into pixels, and proposals into boxes, stays in single precision: a
coordinate of 300 pixels in half precision is off by an eighth of one.
"""

from __future__ import annotations

import io
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline import layout
from pipeline.learning.data.batches import cut, reader
from pipeline.learning.data.rows import rows_of
from pipeline.records.tables import read_table
from pipeline.settings import Params
from postproc.coordinates import crop_transforms

Precision = Literal["float32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("float32", "fp16", "int8")
CROPS, PICTURES = 128, 24  # that int8 is calibrated on
_LAYERS = ("Conv",)  # onnxruntime has no deconvolution in integers: one between two conversions costs time


class Calibration:
    """People of the first labelled set, chosen by a fixed seed: what a network sees in training.

    ValueError where the table has no people.
    """

    def __init__(self, params: Params, input_size: tuple[int, int], padding: float) -> None:
        self.source = params.data.labelled[0]
        rows = rows_of(read_table(layout.instances(self.source), "instances"))
        if not len(rows):
            raise ValueError(f"{layout.instances(self.source)}: no people to calibrate on")
        chosen = np.random.default_rng(0).permutation(len(rows))[:CROPS]
        paths = [rows.path(int(row)) for row in chosen]
        transforms = crop_transforms(rows.boxes[chosen].astype(np.float64), input_size, padding)
        self.crops = np.ascontiguousarray(cut(paths, transforms, input_size).transpose(0, 3, 1, 2))
        self.pictures = list(dict.fromkeys(paths))[:PICTURES]

    def __str__(self) -> str:
        return f"{len(self.crops)} crops and {len(self.pictures)} pictures of {self.source}"

    def crop_feeds(self) -> Iterator[dict[str, np.ndarray]]:
        """What keypoints.onnx takes, crop by crop."""
        for number in range(len(self.crops)):
            yield {"crops": self.crops[number : number + 1]}

    def picture_feeds(self) -> Iterator[dict[str, np.ndarray]]:
        """What detector.onnx takes, picture by picture."""
        for path in self.pictures:
            yield {"image": reader().read(path).transpose(2, 0, 1).astype(np.float32) / 255}


def convert(folder: Path, precision: Precision, calibration: Calibration) -> None:
    """Replace the ONNX files of a bundle by their like in `precision`.

    fp16 leaves the detector alone: the converter does not come through the branches of its suppression.
    """
    keypoints, detector = folder / "keypoints.onnx", folder / "detector.onnx"
    if precision == "fp16":
        halve(keypoints)
    elif precision == "int8":
        quantise(keypoints, calibration.crop_feeds())
        if detector.is_file():
            quantise(detector, calibration.picture_feeds())


def halve(path: Path) -> None:
    """Weights and sums of the network in half precision, in place; inputs and outputs stay as they are."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = onnx.load(path)
    outside = [node.name for node in model.graph.node if not _of_network(node)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # weights so small that they become the least half there is
        half = convert_float_to_float16(model, keep_io_types=True, node_block_list=outside)
    onnx.save(half, path)


def quantise(path: Path, feeds: Iterator[dict[str, np.ndarray]]) -> None:
    """The network's convolutions in integers of eight bits, in place, spanned by what they give for `feeds`.

    A layer spans its extremes, averaged over the feeds: that needs no memory, and spares the resolution that a few
    extremes would cost (on the built-in model as good as percentiles, which hold every value of every layer). The
    first and the last convolutions stay in single precision, as is usual: they are few of the operations, and
    half of what the places of keypoints lose.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(feeds, None)

    with tempfile.TemporaryDirectory() as aside, _quiet():
        fused = Path(aside) / path.name
        quant_pre_process(path, fused, skip_symbolic_shape=True)
        quantize_static(
            fused,
            path,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,  # signed ones are slower than floats: no instructions
            op_types_to_quantize=list(_LAYERS),
            nodes_to_quantize=inner_layers(onnx.load(fused).graph.node),
            extra_options={"CalibMovingAverage": True},
        )


def inner_layers(nodes: Sequence[Any]) -> list[str]:
    """Names of the network's convolutions that have another before and another behind them; `nodes` in their order."""
    layers = [node for node in nodes if node.op_type in _LAYERS and _of_network(node)]
    names = {node.name for node in layers}
    behind, before = _reached(nodes, names, ahead=True), _reached(reversed(nodes), names, ahead=False)
    return [node.name for node in layers if behind & set(node.input) and before & set(node.output)]


def _reached(nodes: Any, layers: set[str], *, ahead: bool) -> set[str]:
    """The values that depend on a layer (`ahead`), or that a layer depends on."""
    found: set[str] = set()
    for node in nodes:
        near, far = (node.input, node.output) if ahead else (node.output, node.input)
        if node.name in layers or found & set(near):
            found |= set(far)
    return found


def _of_network(node: Any) -> bool:
    """Is a node of an exported graph part of the network proper, by the module that it comes from?

    torch notes the module beside a node (its newer exporter) or in the node's name (its older one, for detectors), and
    onnxruntime keeps the former in the name of a fused layer's weights.
    """
    scopes = [entry.value for entry in node.metadata_props if entry.key == "namespace"]
    weights = node.input[1] if node.op_type in _LAYERS else ""
    return any("/network: " in scope for scope in scopes) or "network." in weights or node.name.startswith("/backbone/")


def milliseconds_a_person(files: Sequence[Path], crops: np.ndarray, rounds: int = 15) -> list[float]:
    """Of each keypoints.onnx: processor time of one thread for a batch of four people, in turn, the median."""
    import onnxruntime

    sessions = []
    for path in files:
        options = onnxruntime.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads = 3, 1
        sessions.append(onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]))
    feed = {"crops": crops[:4]}
    spent: list[list[float]] = [[] for _ in files]
    for _ in range(rounds):
        for session, times in zip(sessions, spent, strict=True):
            started = time.process_time()
            session.run(None, feed)
            times.append(1e3 * (time.process_time() - started) / len(feed["crops"]))
    return [statistics.median(times) for times in spent]


@contextmanager
def _quiet() -> Iterator[None]:
    """onnxruntime's quantiser logs and prints how it goes."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
