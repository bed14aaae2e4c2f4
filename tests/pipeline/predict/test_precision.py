"""Networks of a bundle in half precision and in integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper

from model.export import export
from model.network import build
from pipeline.predict.export import PointsInCrop
from pipeline.predict.precision import halve, inner_layers, milliseconds_a_person, quantise
from tests.model.conftest import with_random_statistics

SPEC = {"backbone": "resnet10t", "input_size": (64, 96), "mixers": (8, 8, 8), "auxiliary": True, "weights": "none"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A keypoint network in single precision, decoding included."""
    torch.manual_seed(0)
    network = with_random_statistics(build(SPEC, 5)).eval()
    return export(network, tmp_path_factory.mktemp("net") / "keypoints.onnx", PointsInCrop(network))


def crops(count: int) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (count, 6, 9, 3), dtype=np.uint8)
    large = [cv2.resize(each, (96, 64), interpolation=cv2.INTER_CUBIC) for each in noise]
    return np.ascontiguousarray(np.stack(large).transpose(0, 3, 1, 2))


def found(path: Path, pictures: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(["coordinates", "scores"], {"crops": pictures}))


def copied(path: Path, folder: Path) -> Path:
    return Path(folder / path.name) if (folder / path.name).write_bytes(path.read_bytes()) else path


def test_half_precision_moves_little(whole: Path, tmp_path: Path) -> None:
    """Weights of two bytes, results within some units of the last of a half's eleven bits, outputs still single."""
    path = copied(whole, tmp_path)
    halve(path)
    graph = onnx.load(path).graph
    assert sum(weights.data_type == onnx.TensorProto.FLOAT16 for weights in graph.initializer) > 20
    assert {output.type.tensor_type.elem_type for output in graph.output} == {onnx.TensorProto.FLOAT}
    assert path.stat().st_size < 0.6 * whole.stat().st_size
    pictures = crops(8)
    (points, scores), (moved, other) = found(whole, pictures), found(path, pictures)
    assert np.abs(other - scores).max() < 0.01 * np.abs(scores).max()
    assert np.median(np.abs(moved - points)) < 0.1


def test_integers_find_nearly_the_same(whole: Path, tmp_path: Path) -> None:
    path, pictures = copied(whole, tmp_path), crops(24)
    quantise(path, ({"crops": pictures[n : n + 1]} for n in range(len(pictures))))
    assert path.stat().st_size < 0.5 * whole.stat().st_size
    (_, scores), (_, other) = found(whole, pictures), found(path, pictures)
    assert 0 < np.abs(other - scores).max() < 0.2 * np.ptp(scores)
    first, second = milliseconds_a_person([whole, path], pictures, rounds=2)
    assert first > 0
    assert second > 0


def test_the_first_and_last_layers_are_left_alone() -> None:
    """Two chains of three convolutions over one input, their sum; a convolution of the decoding behind it."""

    def layer(name: str, source: str, weight: str) -> Any:
        return helper.make_node("Conv", [source, weight], [f"{name}_out"], name=name)

    nodes = [
        layer("a1", "x", "network.a1"), layer("b1", "x", "network.a1"),
        layer("a2", "a1_out", "network.a2"), helper.make_node("Relu", ["b1_out"], ["b1_relu"], name="relu"),
        layer("b2", "b1_relu", "network.a2"),
        layer("a3", "a2_out", "network.a3"), layer("b3", "b2_out", "network.a3"),
        helper.make_node("Add", ["a3_out", "b3_out"], ["maps"], name="sum"), layer("blur", "maps", "kernel"),
    ]  # fmt: skip
    assert inner_layers(nodes) == ["a2", "b2"]
