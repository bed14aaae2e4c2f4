"""Our checkpoints, and Microsoft's and MMPose's, against networks written down apart from ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from model import PoseNetwork, build, checkpoints
from tests.model import official
from tests.model.conftest import with_random_statistics

SMALL = {"backbone": "resnet10t", "input_size": (64, 64), "mixers": (16, 16), "weights": "none"}
CARD = {"keypoint_names": list("abcde"), "trained_on": "made-up people"}
HRNET = {"architecture": "hrnet", "backbone": "hrnet_w32", "input_size": (64, 64)}
BASELINE = {"architecture": "simple_baseline", "backbone": "resnet50", "input_size": (64, 64)}


def saved(tensors: official.Tensors, path: Path, prefix: str = "", head: str = "") -> Path:
    """As `torch.save` writes it, the head's tensors and the others' under prefixes of their own."""
    heads = ("final_layer.", "deconv_layers.")
    named = {(head if name.startswith(heads) else prefix) + name: value for name, value in tensors.items()}
    torch.save({"state_dict": named, "epoch": 210} if prefix else named, path)
    return path


@pytest.fixture(scope="module")
def hrnet() -> official.Tensors:
    return official.hrnet_tensors(32, 17)


@pytest.fixture(scope="module")
def baseline() -> official.Tensors:
    return official.simple_baseline_tensors(17)


def test_official_hrnet_w32_computes_what_its_layout_says(hrnet: official.Tensors, tmp_path: Path) -> None:
    network = checkpoints.load(saved(hrnet, tmp_path / "pose_hrnet_w32.pth"), HRNET, 17)
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        found, expected = network(x), official.hrnet(hrnet, x)
    assert found.shape == (1, 17, 16, 16)
    assert expected.std((2, 3)).mean() > 0.02  # it varies over the crop
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_official_simple_baseline_computes_what_its_layout_says(baseline: official.Tensors, tmp_path: Path) -> None:
    network = checkpoints.load(saved(baseline, tmp_path / "pose_resnet_50.pth.tar"), BASELINE, 17)
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        found, expected = network(x), official.simple_baseline(baseline, x)
    assert expected.std((2, 3)).mean() > 0.02  # it varies over the crop
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("prefix", "head"),
    [("backbone.", "head."), ("backbone.", "keypoint_head."), ("module.", "module.")],
    ids=["MMPose 1", "MMPose 0", "DataParallel"],
)
@pytest.mark.parametrize("architecture", ["hrnet", "simple_baseline"])
def test_other_peoples_names_of_the_two(
    hrnet: official.Tensors, baseline: official.Tensors, tmp_path: Path, architecture: str, prefix: str, head: str
) -> None:
    tensors, spec = (hrnet, HRNET) if architecture == "hrnet" else (baseline, BASELINE)
    network = build(spec, 17)
    assert checkpoints.load_pose_checkpoint(saved(tensors, tmp_path / "net.pth", prefix, head), network) == []
    own = network.state_dict()
    for theirs, ours in (
        ("conv1.weight", "encoder.body.conv1.weight"),
        ("layer1.0.bn2.running_var", "encoder.body.layer1.0.bn2.running_var"),
        ("final_layer.bias", "decoder.head.bias"),
    ):
        assert torch.equal(own[ours], tensors[theirs])
    assert sum(v.numel() for n, v in own.items() if "num_batches" not in n) == sum(v.numel() for v in tensors.values())


def test_a_ccm_takes_the_backbone_of_a_baseline(baseline: official.Tensors, tmp_path: Path) -> None:
    path = saved(baseline, tmp_path / "net.pth")
    network = build({**BASELINE, "architecture": "ccm", "mixers": (16, 16), "weights": str(path)}, 14)
    assert torch.equal(network.encoder.body.layer4[2].bn3.running_mean, baseline["layer4.2.bn3.running_mean"])
    left = checkpoints.load_pose_checkpoint(path, network)
    assert left
    assert all(name.startswith("decoder.") for name in left)


@pytest.mark.parametrize(
    ("spec", "keypoints", "message"),
    [
        (BASELINE, 14, r"final_layer\.weight is \(17, 256, 1, 1\), not \(14, 256, 1, 1\).*model\.replace_head changes"),
        ({**BASELINE, "backbone": "resnet18"}, 17, "layer1.0.conv1.weight.*Build the network that the file is of"),
        ({**BASELINE, "backbone": "resnet101"}, 17, "of .* tensors are missing .layer3.6.conv1.weight"),
        ({**BASELINE, "backbone": "resnet26"}, 17, "layer1.2.conv1.weight"),
    ],
)
def test_a_checkpoint_of_another_network_names_the_tensors(
    baseline: official.Tensors, tmp_path: Path, spec: dict, keypoints: int, message: str
) -> None:
    path = saved(baseline, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=message) as caught:
        checkpoints.load(path, spec, keypoints)
    assert str(path) in str(caught.value)


@pytest.fixture
def network() -> PoseNetwork:
    return with_random_statistics(build({**SMALL, "auxiliary": True}, 5)).eval()


def test_a_saved_network_computes_the_same(network: PoseNetwork, tmp_path: Path) -> None:
    path = checkpoints.save(network, tmp_path / "net", CARD)
    x = torch.randn(2, 3, 64, 64)
    path.rename(tmp_path / "alone.safetensors")  # it carries its card
    loaded = checkpoints.load(tmp_path / "alone.safetensors")
    assert not loaded.training
    assert loaded.spec == network.spec
    assert torch.equal(loaded(x), network(x))
    card = json.loads((tmp_path / "net" / "card.json").read_text())
    assert card == checkpoints.read_card(tmp_path / "alone.safetensors")
    assert (card["keypoint_names"], card["keypoints"], card["trained_on"]) == (list("abcde"), 5, "made-up people")
    assert card["spec"]["input_size"] == [64, 64]
    assert (card["mean"], card["std"]) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def test_saving_again_leaves_nothing_else_behind(network: PoseNetwork, tmp_path: Path) -> None:
    for _ in range(2):
        checkpoints.save(network, tmp_path, CARD)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["card.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"trained_on": "x"}, "keypoint_names is None; allowed: the names of all 5 heatmaps"),
        ({"keypoint_names": ["a"], "trained_on": "x"}, r"keypoint_names is \['a'\]; allowed: the names of all 5"),
        ({"keypoint_names": list("abcde")}, "trained_on is missing"),
    ],
)
def test_a_card_that_says_too_little(network: PoseNetwork, tmp_path: Path, card: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checkpoints.save(network, tmp_path, card)


def test_our_checkpoint_does_not_fill_another_network(network: PoseNetwork, tmp_path: Path) -> None:
    checkpoints.save(network, tmp_path, CARD)
    with pytest.raises(
        ValueError, match=r"decoder.head.weight is \(5, 16, 1, 1\), not \(3, 16, 1, 1\).*Leave the spec"
    ):
        checkpoints.load(tmp_path, keypoints=3)
    with pytest.raises(ValueError, match=r"it also holds auxiliary_decoder\."):
        checkpoints.load(tmp_path, spec=SMALL)


def test_files_that_are_no_checkpoint_of_ours(network: PoseNetwork, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no such file; allowed: a checkpoint, or a directory that holds model"):
        checkpoints.load(tmp_path)
    whole = checkpoints.save(network, tmp_path, CARD).read_bytes()
    for length in (0, 7, 300, len(whole) // 2, len(whole) - 1):
        cut = tmp_path / "cut.safetensors"
        cut.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut\.safetensors: truncated, or not a safetensors file"):
            checkpoints.load(cut)
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match="says not what network it is; give the model's spec and number of keypoints"):
        checkpoints.load(tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match="no card in its header; allowed: a checkpoint that this project wrote"):
        checkpoints.read_card(tmp_path / "foreign.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "newer.safetensors", {"card": '{"format": 99}'})
    with pytest.raises(ValueError, match="its card has format 99; this version reads 1"):
        checkpoints.load(tmp_path / "newer.safetensors")
    checkpoints.write(tmp_path / "detector", torch.nn.Linear(1, 1), {"kind": "detector"})
    with pytest.raises(ValueError, match="holds a detector, not a keypoint network"):
        checkpoints.load(tmp_path / "detector")
