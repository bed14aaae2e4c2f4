"""Backbones by name: what comes out of them, and what is said where one cannot do what is asked."""

from __future__ import annotations

import pytest
import torch

from model import ModelSpec, build
from model.losses import total_loss

# One of each kind that timm builds its own way.
KINDS = {
    "resnet10t": (64, 64),
    "tf_efficientnet_lite0": (64, 64),
    "mobilenetv3_small_050": (64, 64),
    "convnext_atto": (64, 64),
    "shufflenet_v2_x1_5": (64, 64),
    "mobilenet_v2": (64, 64),
    "hrnet_w18_small": (64, 64),
    "vit_tiny_patch16_224": (96, 64),
}


@pytest.mark.parametrize("backbone", KINDS)
def test_any_backbone_builds_and_trains_a_step(backbone: str) -> None:
    height, width = KINDS[backbone]
    spec = ModelSpec(backbone=backbone, input_size=(height, width), mixers=(8, 8, 8), auxiliary=True)
    network = build(spec, 4).train()
    main, auxiliary = network(torch.randn(2, 3, height, width))
    assert auxiliary is not None
    assert main.shape == auxiliary.shape == (2, 4, *network.heatmap_size)
    assert network.heatmap_size == (height / network.stride, width / network.stride)
    loss = total_loss((main, auxiliary), torch.rand_like(main), torch.ones(2, 4, dtype=torch.bool), 0.5)
    loss.backward()
    # Nothing is built that training would not reach.
    assert [name for name, p in network.named_parameters() if p.grad is None] == []
    assert network.eval()(torch.randn(1, 3, height, width)).shape == (1, 4, *network.heatmap_size)


def test_a_plain_transformer_keeps_one_resolution() -> None:
    encoder = build({"backbone": "vit_tiny_patch16_224", "input_size": (96, 64), "auxiliary": True}, 4).encoder
    assert encoder.last == encoder.penultimate
    penultimate, last = encoder.eval()(torch.randn(1, 3, 96, 64))
    assert last.shape == penultimate.shape == (1, 192, 6, 4)
    assert not torch.equal(last, penultimate)
    assert encoder.mean == (0.5, 0.5, 0.5)  # its own normalisation, not ImageNet's


@pytest.mark.parametrize(
    ("backbone", "channels"),
    [("resnet50", (1024, 2048)), ("shufflenet_v2_x1_5", (352, 1024)), ("mobilenet_v2", (96, 1280))],
)
def test_levels_are_what_comes_out(backbone: str, channels: tuple[int, int]) -> None:
    encoder = build({"backbone": backbone, "input_size": (64, 64), "auxiliary": True, "mixers": (8, 8, 8)}, 2).encoder
    penultimate, last = encoder.eval()(torch.randn(1, 3, 64, 64))
    assert (penultimate.shape[1], last.shape[1]) == channels
    assert (encoder.penultimate.channels, encoder.last.channels) == channels
    assert (64 // penultimate.shape[2], 64 // last.shape[2]) == (encoder.penultimate.stride, encoder.last.stride)


def test_a_backbone_can_stop_early() -> None:
    network = build(
        {"backbone": "resnet10t", "backbone_stride": 16, "input_size": (48, 48), "mixers": (8, 8)}, 2
    ).eval()
    assert not [name for name, _ in network.named_parameters() if "layer4" in name]
    assert network.heatmap_size == (12, 12)
    assert network(torch.randn(1, 3, 48, 48)).shape == (1, 2, 12, 12)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"backbone": "resnet5"}, r"backbone: 'resnet5' is unknown; did you mean .*resnet50.*timm\.list_models\(\)"),
        ({"backbone": ""}, "is unknown"),
        ({"input_size": (250, 190)}, "250x190 is not divisible by 32, the stride of resnet10t; .* works is 256x192"),
        ({"input_size": (10, 64)}, "the nearest that works is 32x64"),
        ({"backbone": "vit_tiny_patch16_224", "input_size": (100, 64)}, "not divisible by 16.*works is 96x64"),
        (
            {"backbone": "vit_tiny_patch16_224", "dilated": True},
            "dilated.* choose a backbone that can, such as resnet50",
        ),
        (
            {"backbone": "mobilenet_v2", "dilated": True},
            "dilated: True is not possible with mobilenet_v2; leave it out",
        ),
        ({"backbone": "hrnet_w32", "dilated": True}, "dilated: True is not possible with hrnet_w32"),
        ({"backbone_stride": 7}, r"backbone_stride: 7; resnet10t has \[2, 4, 8, 16, 32\]"),
        ({"backbone": "hrnet_w32", "backbone_stride": 16}, "backbone_stride: 16 is not possible with hrnet_w32"),
        ({"dilated": True, "backbone_stride": 16}, "backbone_stride: has no meaning with dilated"),
        ({"auxiliary": True, "mixers": (8, 8, 8), "backbone_stride": 2}, "auxiliary"),
        ({"mixers": ()}, r"mixers: empty; ccm needs one channel count per decoder stage"),
        ({"mixers": (30,)}, "mixers: 30 is not a multiple of 4"),
        ({"mixers": (0,)}, r"mixers: \(0,\); allowed: a list of channel counts, positive whole numbers"),
        ({"architecture": "unet"}, "architecture: 'unet'; allowed: ccm, simple_baseline, hrnet"),
        ({"architecture": "hrnet"}, "architecture hrnet needs hrnet_w32 or hrnet_w48"),
        ({"architecture": "hrnet", "backbone": "hrnet_w32", "mixers": (32,)}, "leave it empty"),
        ({"architecture": "simple_baseline", "se": False}, "simple_baseline has no context mixer to switch; use ccm"),
        ({"dilated": "yes"}, "dilated: 'yes'; allowed: true, false"),
        ({"depth": 50}, "unknown key 'depth'; allowed: architecture, backbone"),
        ({"weights": ""}, "allowed: none, imagenet, packaged or a file's path"),
    ],
)
def test_what_cannot_be_built_says_what_can(spec: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build({"backbone": "resnet10t", "input_size": (64, 64), **spec}, 17)


@pytest.mark.parametrize("keypoints", [0, -1, True, 2.0, "17"])
def test_a_wrong_keypoint_count_says_what_is_allowed(keypoints: object) -> None:
    with pytest.raises(ValueError, match=r"keypoints: .*; allowed: a whole number from 1 on"):
        build({"backbone": "resnet10t", "input_size": (64, 64)}, keypoints)  # type: ignore[arg-type]


def first_parts(name: str) -> bool:
    """Whether a tensor of lite0 lies before stage 2, the first of those that learn where two of four do."""
    return name.startswith(tuple(f"encoder.body.{part}." for part in ("conv_stem", "bn1", "blocks.0", "blocks.1")))


def test_the_first_parts_keep_weights_and_statistics_and_the_others_learn() -> None:
    spec = {"backbone": "tf_efficientnet_lite0", "backbone_stride": 16, "input_size": (64, 64), "mixers": (8, 8)}
    network = build({**spec, "trainable_layers": 2}, 4).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters(), 0.1)  # moves what has any gradient, however small
    heatmaps, _ = network(torch.randn(4, 3, 64, 64))
    heatmaps.square().sum().backward()
    optimizer.step()
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(value, before[name]) == first_parts(name), name
    network.eval()
    everything = build(spec, 4).eval()
    everything.load_state_dict(network.state_dict())
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(network(images), everything(images))  # it decides what learns, nothing else


@pytest.mark.parametrize(("kept", "learn"), [(0, "decoder"), (1, "layer4"), (3, "layer2"), (4, "layer1"), (5, "conv1")])
def test_trainable_layers_count_from_the_last_as_the_detectors_do(kept: int, learn: str) -> None:
    network = build({"backbone": "resnet18", "input_size": (64, 64), "mixers": (8, 8, 8), "trainable_layers": kept}, 2)
    assert learn in next(name for name, value in network.named_parameters() if value.requires_grad)


def test_a_backbone_whose_parts_are_not_known_says_so() -> None:
    with pytest.raises(ValueError, match=r"trainable_layers: 2 is not possible with hrnet_w18_small"):
        build({"backbone": "hrnet_w18_small", "input_size": (64, 64), "trainable_layers": 2}, 2)
