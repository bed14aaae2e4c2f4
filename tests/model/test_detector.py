"""The detector against torchvision's own, and what the spec promises."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models.detection import maskrcnn_resnet50_fpn
from torchvision.models.resnet import Bottleneck, ResNet

from model import detector as module
from model.detector import DetectorSpec, build_detector, load_detector, save_detector

SMALL = DetectorSpec(
    backbone="mobilenetv3_small_050",
    masks=True,
    min_size=64,
    max_size=96,
    anchor_sizes=(16, 32, 64),
    fpn_channels=16,
    head_channels=16,
    proposals=40,
    sampled_proposals=16,
)


def test_resnet50_is_torchvisions_mask_rcnn_parameter_by_parameter() -> None:
    torch.manual_seed(0)
    theirs = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=2, min_size=96, max_size=128).eval()
    ours = build_detector(DetectorSpec(backbone="resnet50", min_size=96, max_size=128)).eval()
    ours.load_state_dict(theirs.state_dict())
    image = torch.rand(3, 90, 120)
    with torch.inference_mode():
        mine, expected = ours([image])[0], theirs([image])[0]
    assert len(expected["boxes"])
    assert torch.equal(mine["boxes"], expected["boxes"])
    assert torch.equal(mine["scores"], expected["scores"])
    assert torch.equal(mine["masks"], expected["masks"])


def test_the_papers_backbone_has_torchvisions_parameters() -> None:
    with torch.device("meta"):
        theirs = ResNet(Bottleneck, [3, 8, 36, 3], groups=32, width_per_group=8)
        ours = build_detector(DetectorSpec(backbone="resnext152_32x8d")).backbone.body
    expected = {name: p.shape for name, p in theirs.named_parameters() if not name.startswith("fc.")}
    assert {name: p.shape for name, p in ours.named_parameters()} == expected


def test_the_anchor_sizes_decide_the_levels() -> None:
    levels = build_detector(SMALL).backbone(torch.zeros(1, 3, 128, 64))
    assert [tuple(maps.shape[1:]) for maps in levels.values()] == [(16, 8, 4), (16, 4, 2), (16, 2, 1)]
    with pytest.raises(ValueError, match=r"anchor_sizes: 9.*has 5 stages; allowed: up to 6"):
        build_detector(DetectorSpec(**{**SMALL.to_dict(), "anchor_sizes": (8,) * 9}))


@pytest.mark.parametrize(
    ("trainable", "frozen"),
    [(5, set()), (3, {"conv1", "bn1", "layer1"}), (0, {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"})],
)
def test_trainable_layers_are_counted_from_the_last(trainable: int, frozen: set[str]) -> None:
    spec = DetectorSpec(**{**SMALL.to_dict(), "backbone": "resnet18", "trainable_layers": trainable})
    body = build_detector(spec).backbone.body
    fixed = {name.split(".")[0] for name, p in body.named_parameters() if not p.requires_grad}
    assert fixed == frozen


def test_norms_that_came_with_weights_stay_as_they_are(tmp_path: Path) -> None:
    torch.manual_seed(0)
    spec = {**SMALL.to_dict(), "trainable_layers": 5}
    free = build_detector(DetectorSpec(**spec))
    torch.save(free.backbone.body.state_dict() | _head(), tmp_path / "backbone.pth")
    frozen = build_detector(DetectorSpec(**spec | {"weights": str(tmp_path / "backbone.pth")}))
    for detector, moves in ((free, True), (frozen, False)):
        detector.train()
        norms = [m for m in detector.backbone.body.modules() if isinstance(m, nn.BatchNorm2d)]
        before = [m.running_mean.clone() for m in norms if m.running_mean is not None]
        detector.backbone(torch.rand(2, 3, 64, 64))
        after = [m.running_mean for m in norms if m.running_mean is not None]
        assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True)) == moves
        assert all(p.requires_grad == moves for m in norms for p in m.parameters())


def _head() -> dict[str, torch.Tensor]:
    """What the pruned backbone lacks of a classifier's checkpoint."""
    import timm

    return {k: v for k, v in timm.create_model(SMALL.backbone, num_classes=0).state_dict().items() if "conv_head" in k}


def test_a_saved_detector_finds_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    detector = build_detector(SMALL).eval()
    detector.set_thresholds(0.0, 0.5)
    save_detector(detector, tmp_path, {"trained_on": "nothing"})
    before = torch.get_rng_state()
    loaded = load_detector(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    loaded.set_thresholds(0.0, 0.5)
    image = torch.rand(3, 60, 80)
    with torch.inference_mode():
        expected, found = detector([image])[0], loaded([image])[0]
        with loaded.boxes_only():
            boxes = loaded([image])[0]
    assert torch.equal(found["boxes"], expected["boxes"])
    assert torch.equal(found["masks"], expected["masks"])
    assert torch.equal(boxes["boxes"], expected["boxes"])
    assert "masks" not in boxes


def test_wrong_specs_say_what_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_size: 50; allowed: min_size, 64, or more"):
        DetectorSpec(min_size=64, max_size=50)
    with pytest.raises(ValueError, match="unknown key 'colour'; allowed: backbone"):
        DetectorSpec.parse({"colour": 1})
    with pytest.raises(ValueError, match="did you mean resnet50"):
        build_detector(DetectorSpec(backbone="resnet5"))
    with pytest.raises(ValueError, match="resnext101_32x8d"):
        build_detector(DetectorSpec(backbone="resnext152_32x8d", weights="imagenet"))
    module.checkpoints.write(tmp_path, nn.Linear(1, 1), {"kind": "pose"})
    with pytest.raises(ValueError, match="not a person detector"):
        load_detector(tmp_path)
