"""Exported files against torch, run by onnxruntime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from model import PoseNetwork, build
from model.export import _clear, export
from tests.model.conftest import with_random_statistics

SPEC = {"backbone": "resnet10t", "input_size": (64, 96), "mixers": (8, 8, 8), "auxiliary": True, "weights": "none"}


@pytest.fixture(scope="module")
def network() -> PoseNetwork:
    torch.manual_seed(0)
    return with_random_statistics(build(SPEC, 5)).train()


def run(path: Path, crops: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"crops": crops})


def test_heatmaps_of_any_batch_are_torchs(network: PoseNetwork, tmp_path: Path) -> None:
    path = export(network, tmp_path / "new" / "net.onnx", card={"keypoint_names": list("abcde")})
    assert network.training  # the caller's network is as it was
    assert network.auxiliary_decoder is not None
    assert [p.name for p in path.parent.iterdir()] == ["net.onnx"]
    for batch in (1, 2, 3, 7):
        crops = np.random.default_rng(batch).integers(0, 256, (batch, 3, 64, 96), dtype=np.uint8)
        pixels = torch.from_numpy(crops).float() / 255
        # ImageNet's statistics, which timm's ResNets were trained with.
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        with torch.inference_mode():
            expected = network.eval()((pixels - mean) / std)
        assert expected.std() > 0.1
        np.testing.assert_allclose(run(path, crops)[0], expected.numpy(), rtol=0, atol=1e-4)
    network.train()
    notes = {prop.key: json.loads(prop.value) for prop in onnx.load(path).metadata_props}
    assert notes["keypoint_names"] == list("abcde")
    assert notes["spec"]["auxiliary"] is False


@pytest.mark.slow
def test_a_plain_transformer_exports(tmp_path: Path) -> None:
    spec = {"backbone": "vit_tiny_patch16_224", "input_size": (64, 48), "mixers": (8, 8), "auxiliary": True}
    path = export(build(spec, 3), tmp_path / "net.onnx")  # which has compared the results
    assert run(path, np.zeros((2, 3, 64, 48), np.uint8))[0].shape == (2, 3, 16, 12)


@pytest.mark.slow
def test_a_file_that_computes_something_else_is_not_handed_over(network: PoseNetwork, tmp_path: Path) -> None:
    class Unsteady:
        """Another result once the graph has been recorded."""

        shift = 0.0

        def __call__(self, heatmaps: Tensor) -> tuple[Tensor, Tensor]:
            points = heatmaps.flatten(2)[..., :2] * 0 + self.shift
            if not torch.compiler.is_exporting():
                points = points + 0.02
            return points, heatmaps.amax((2, 3))

    (tmp_path / "net.onnx").write_text("the one before")
    with pytest.raises(
        RuntimeError, match=r"coordinates differ from torch's by 0\.02 for a batch of 1; allowed: 0\.01"
    ):
        export(network, tmp_path / "net.onnx", Unsteady())
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("net.onnx", "the one before")]


def test_a_tie_has_no_clear_peak() -> None:
    heatmaps = torch.zeros(1, 3, 8, 8)
    heatmaps[0, 0, 2, 3] = 1.0
    heatmaps[0, 1, 2, 3] = heatmaps[0, 1, 6, 6] = 1.0

    def maximum(maps: Tensor) -> tuple[Tensor, Tensor]:
        best = maps.flatten(2).argmax(-1)
        return torch.stack([best % 8, best // 8], -1).float(), maps.amax((2, 3))

    heatmaps[0, 2] = torch.rand(8, 8)
    assert _clear(heatmaps, maximum).tolist() == [[True, False, True]]


def test_where_nothing_can_be_written_is_said_before_the_work(network: PoseNetwork, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is a folder; allowed: the name of a file to write, such as .*model\.onnx"):
        export(network, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot be written .*; choose another file"):
        export(network, tmp_path / "file" / "net.onnx")
