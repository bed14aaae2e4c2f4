"""`ccm export`: a trained model's folder to a file that finds keypoints in crops."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from flows.cli import main
from model import PoseNetwork, build, checkpoints
from pipeline.predict.export import PointsInCrop
from postproc.codec import decode, encode
from tests.model.conftest import with_random_statistics

SPEC = {"backbone": "resnet10t", "input_size": (64, 96), "mixers": (8, 8, 8), "auxiliary": True, "weights": "none"}


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PoseNetwork:
    """A network with an auxiliary decoder, saved in the current directory's `models/C-C`."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    network = with_random_statistics(build(SPEC, 5)).eval()
    checkpoints.save(network, "models/C-C", {"keypoint_names": list("abcde"), "trained_on": "x", "padding": 1.25})
    return network


def test_a_folder_becomes_a_file_that_gives_crop_pixels(network: PoseNetwork, capsys: pytest.CaptureFixture) -> None:
    assert main(["export", "models/C-C", "--file"]) == 0
    path = Path("exports/C-C.onnx")
    assert capsys.readouterr().out.startswith(f"{path}: uint8 RGB crops in, coordinates in crop pixels, scores out")
    assert sorted(p.name for p in Path("models/C-C").iterdir()) == ["card.json", "model.safetensors"]
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (network.mean, network.std))
    for batch in (1, 2, 3):
        crops = np.random.default_rng(batch).integers(0, 256, (batch, 3, 64, 96), dtype=np.uint8)
        coordinates, scores = session.run(["coordinates", "scores"], {"crops": crops})
        with torch.inference_mode():
            heatmaps = network((torch.from_numpy(crops).float() / 255 - mean) / std)
        cells, expected = decode(heatmaps, gaussian=(5, 1.0), refine="parabola")  # the compiled decoder
        np.testing.assert_allclose(coordinates, cells.numpy() * (96 / 24, 64 / 16), rtol=0, atol=0.01)
        np.testing.assert_allclose(scores, expected.numpy(), rtol=0, atol=1e-4)
    notes = {prop.key: json.loads(prop.value) for prop in onnx.load(path).metadata_props}
    assert (notes["keypoint_names"], notes["padding"]) == (list("abcde"), 1.25)


@pytest.mark.slow
def test_heatmaps_alone_on_request(network: PoseNetwork, capsys: pytest.CaptureFixture) -> None:
    assert main(["export", "models/C-C/model.safetensors", "--heatmaps", "--output", "a/b.onnx"]) == 0
    session = onnxruntime.InferenceSession("a/b.onnx", providers=["CPUExecutionProvider"])
    assert [(o.name, o.shape[1:]) for o in session.get_outputs()] == [("heatmaps", [5, 16, 24])]
    assert isinstance(session.get_inputs()[0].shape[0], str)  # a free dimension has a name


def test_decoded_points_are_where_the_people_are(network: PoseNetwork) -> None:
    """A Gaussian about a known place, away from the borders, decodes to it: the frame is the crop's, in x and in y."""
    points = torch.tensor([[[20.0, 20.0], [41.5, 30.25], [70.0, 44.0], [33.3, 22.4], [76.0, 28.0]]])
    heatmaps = encode(points / 4, torch.ones(1, 5), (16, 24), 2.0)
    coordinates, scores = PointsInCrop(network)(heatmaps)
    # A parabola through a sampled Gaussian is biased, by less than 0.05 cells at this sigma.
    assert (coordinates - points).abs().max() < 4 * 0.05
    assert scores.min() > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such file; allowed: a checkpoint, or a directory that holds model.safetensors"),
        (["models"], "no such file"),
        (["models/C-C", "--output", "net.pt"], "net.pt: the file's name must end in .onnx"),
        (["models/C-C", "--output", "taken/net.onnx"], "taken/net.onnx: cannot be written"),
        (["foreign.safetensors"], "not a model that this pipeline trained; allowed: a folder under models/"),
        (["detector"], "holds a detector, not a keypoint network; choose another checkpoint"),
        (["cut.safetensors"], "truncated, or not a safetensors file"),
    ],
)
def test_what_cannot_be_exported_is_said(
    network: PoseNetwork, capsys: pytest.CaptureFixture, arguments: list[str], message: str
) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, "foreign.safetensors")
    checkpoints.write("detector", torch.nn.Linear(1, 1), {"kind": "detector"})
    whole = Path("models/C-C/model.safetensors").read_bytes()
    Path("cut.safetensors").write_bytes(whole[: len(whole) // 2])
    Path("taken").write_text("a file")
    assert main(["export", "--file", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("ccm: ")
    assert message in error
