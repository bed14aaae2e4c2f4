"""The person detector: torchvision's Mask R-CNN (or Faster R-CNN, without masks) on a pyramid of any backbone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models.resnet import Bottleneck, ResNet
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from model import checkpoints
from model.backbones import freeze
from model.cards import built
from model.weights import fill_backbone, read_tensors

PERSON = 1  # the label of a person in torchvision's targets; 0 is background
ASPECTS = (0.5, 1.0, 2.0)  # height to width of the anchors
_MASK_LAYERS = 4
_NORM_GROUPS = 8


@dataclass(frozen=True)
class DetectorSpec:
    """Everything that decides a detector's parameters.

    Args:
        backbone: `resnext152_32x8d` (the paper's) or a timm model that gives feature maps.
        weights: `none`, `imagenet`, `packaged` or a local file, for the backbone. With weights, batch normalisation
            stays as it was trained, as in torchvision's reference.
        trainable_layers: how many of the backbone's parts, counted from the last, are trained: of the stem and the
            four stages of a ResNet, 3 leave the stem and the first stage as they are.
        masks: has a mask head, so that it is a Mask R-CNN.
        min_size, max_size: images are resized so that their shorter side has `min_size` pixels, unless the longer
            one would then exceed `max_size`.
        anchor_sizes: pixels of the resized image, one a pyramid level. The last level is pooled from the backbone's
            last stage, the others are its last stages: five sizes are strides 4, 8, 16, 32 and 64.
        max_detections: of an image.
        fpn_channels: of the pyramid and of the mask head (torchvision's: 256).
        fpn_norm: group normalisation in the pyramid. torchvision has none; a backbone whose last convolutions are
            followed by no activation gives maps so large that training without it starts far off.
        head_channels: of the box head's two layers (torchvision's: 1024).
        proposals: that leave the first stage while training; half as many in use (torchvision's: 2000).
        sampled_proposals: of an image, that the box head is trained on (torchvision's: 512).

    Raises:
        ValueError: a value is outside what is allowed.
    """

    backbone: str = "resnext152_32x8d"
    weights: str = "none"
    trainable_layers: int = 3
    masks: bool = True
    min_size: int = 800
    max_size: int = 1333
    anchor_sizes: tuple[int, ...] = (32, 64, 128, 256, 512)
    max_detections: int = 100
    fpn_channels: int = 256
    fpn_norm: bool = False
    head_channels: int = 1024
    proposals: int = 2000
    sampled_proposals: int = 512

    def __post_init__(self) -> None:
        object.__setattr__(self, "anchor_sizes", tuple(self.anchor_sizes))
        if len(self.anchor_sizes) < 2:
            raise ValueError(f"anchor_sizes: {list(self.anchor_sizes)}; allowed: two or more, one a pyramid level")
        if self.max_size < self.min_size:
            raise ValueError(f"max_size: {self.max_size}; allowed: min_size, {self.min_size}, or more")
        if self.fpn_norm and self.fpn_channels % _NORM_GROUPS:
            raise ValueError(f"fpn_channels: {self.fpn_channels}; allowed with fpn_norm: multiples of {_NORM_GROUPS}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a JSON card holds them."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> DetectorSpec:
        """A spec from plain values; an unknown key is a ValueError that lists the known ones."""
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(values) - set(known)):
            raise ValueError(f"detector: unknown key {unknown[0]!r}; allowed: {', '.join(known)}")
        return cls(**values)


class Pyramid(nn.Module):
    """A backbone and its feature pyramid: [B, 3, H, W] to maps of one width, by level name."""

    def __init__(self, body: Any, indices: Sequence[int], channels: int, norm: bool, freeze_norms: bool) -> None:
        super().__init__()
        body.prune_intermediate_layers(list(indices), prune_norm=True, prune_head=True)
        self.body, self.indices, self.freeze_norms = body, list(indices), freeze_norms
        widths = [body.feature_info[i]["num_chs"] for i in indices]
        layer = partial(nn.GroupNorm, _NORM_GROUPS) if norm else None
        self.fpn = FeaturePyramidNetwork(widths, channels, extra_blocks=LastLevelMaxPool(), norm_layer=layer)
        self.out_channels = channels  # torchvision reads it

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        maps = self.body.forward_intermediates(images, indices=self.indices, output_fmt="NCHW", intermediates_only=True)
        levels: OrderedDict[str, Tensor] = self.fpn(OrderedDict((str(i), m) for i, m in enumerate(maps)))
        return levels

    def train(self, mode: bool = True) -> Pyramid:
        """As usual, except that frozen norms keep their statistics."""
        super().train(mode)
        if self.freeze_norms:
            for module in self.body.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


class PersonDetector(FasterRCNN):
    """torchvision's detector of two classes, with its spec.

    Called with a list of [3, H, W] images in 0..1, each of its own size. In training, with targets (`boxes` x1, y1,
    x2, y2, `labels` and, where it has masks, `masks` [N, H, W]), it returns the losses by name.
    """

    def __init__(self, spec: DetectorSpec, pyramid: Pyramid, mean: Sequence[float], std: Sequence[float]) -> None:
        levels = [str(i) for i in range(len(spec.anchor_sizes) - 1)]
        width, head = spec.fpn_channels, spec.head_channels
        super().__init__(
            pyramid,
            min_size=spec.min_size,
            max_size=spec.max_size,
            image_mean=list(mean),
            image_std=list(std),
            rpn_anchor_generator=AnchorGenerator(
                tuple((size,) for size in spec.anchor_sizes), (ASPECTS,) * len(spec.anchor_sizes)
            ),
            rpn_pre_nms_top_n_train=spec.proposals,
            rpn_post_nms_top_n_train=spec.proposals,
            rpn_pre_nms_top_n_test=max(1, spec.proposals // 2),
            rpn_post_nms_top_n_test=max(1, spec.proposals // 2),
            box_roi_pool=MultiScaleRoIAlign(levels, output_size=7, sampling_ratio=2),
            box_head=TwoMLPHead(width * 7 * 7, head),
            box_predictor=FastRCNNPredictor(head, PERSON + 1),
            box_batch_size_per_image=spec.sampled_proposals,
            box_detections_per_img=spec.max_detections,
        )
        if spec.masks:
            self.roi_heads.mask_roi_pool = MultiScaleRoIAlign(levels, output_size=14, sampling_ratio=2)
            self.roi_heads.mask_head = MaskRCNNHeads(width, (width,) * _MASK_LAYERS, dilation=1)
            self.roi_heads.mask_predictor = MaskRCNNPredictor(width, width, PERSON + 1)
        self.spec = spec

    @contextmanager
    def boxes_only(self) -> Iterator[None]:
        """Inside, the mask head is left out: boxes cost less without the masks that nobody asked for."""
        mask_roi_pool = self.roi_heads.mask_roi_pool
        self.drop_masks()
        try:
            yield
        finally:
            self.roi_heads.mask_roi_pool = mask_roi_pool

    def drop_masks(self) -> None:
        """From now on there are boxes alone."""
        self.roi_heads.mask_roi_pool = None  # what torchvision looks at

    def set_thresholds(self, score: float, nms: float) -> None:
        """Boxes leave the detector that score above `score` and overlap no better one by more than `nms`."""
        self.roi_heads.score_thresh, self.roi_heads.nms_thresh = score, nms


def build_detector(spec: DetectorSpec) -> PersonDetector:
    """The spec's network, its backbone filled with the weights it asks for.

    Raises:
        ValueError: no such backbone, it has too few stages for the anchor sizes, or its weights cannot be had.
    """
    body = _body(spec)
    stages = len(spec.anchor_sizes) - 1
    if stages > len(body.feature_info):
        raise ValueError(
            f"anchor_sizes: {len(spec.anchor_sizes)}, one a pyramid level, but {spec.backbone} has "
            f"{len(body.feature_info)} stages; allowed: up to {len(body.feature_info) + 1}"
        )
    frozen = spec.weights != "none"
    freeze(body, [part["module"] for part in body.feature_info], spec.trainable_layers)
    if frozen:
        for module in body.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.requires_grad_(False)
    statistics = body.pretrained_cfg if hasattr(body, "pretrained_cfg") else {}
    indices = range(len(body.feature_info) - stages, len(body.feature_info))
    pyramid = Pyramid(body, indices, spec.fpn_channels, spec.fpn_norm, frozen)
    mean = statistics.get("mean", timm.data.IMAGENET_DEFAULT_MEAN)
    std = statistics.get("std", timm.data.IMAGENET_DEFAULT_STD)
    return PersonDetector(spec, pyramid, mean, std)


def _body(spec: DetectorSpec) -> Any:
    if spec.backbone == "resnext152_32x8d":
        if spec.weights == "imagenet":
            raise ValueError(
                "weights: nobody publishes ImageNet weights of resnext152_32x8d under torchvision's names; set it to a "
                "local file that holds them, or choose the backbone resnext101_32x8d"
            )
        return fill_backbone(spec.backbone, spec.weights, lambda *_: _resnext152())
    if not timm.is_model(spec.backbone):
        close = get_close_matches(spec.backbone, timm.list_models(), n=3)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise ValueError(
            f"backbone: {spec.backbone!r} is unknown{hint} Allowed: resnext152_32x8d and the models that "
            "timm.list_models() names"
        )
    body: Any = fill_backbone(
        spec.backbone,
        spec.weights,
        lambda weights, overlay: timm.create_model(
            spec.backbone, pretrained=weights != "none", pretrained_cfg_overlay=overlay, num_classes=0
        ),
    )
    if not hasattr(body, "forward_intermediates") or not hasattr(body, "prune_intermediate_layers"):
        raise ValueError(f"backbone: timm's {spec.backbone} gives no feature maps; resnet50 does, for example")
    return body


def _resnext152() -> nn.Module:
    """ResNeXt-152 32x8d, which neither timm nor torchvision lists; torchvision's parameter names."""
    bottleneck: Any = Bottleneck
    return ResNet(bottleneck, (3, 8, 36, 3), num_classes=0, cardinality=32, base_width=8)


def save_detector(detector: PersonDetector, directory: str | Path, card: Mapping[str, Any]) -> Path:
    """Write `model.safetensors` and `card.json`; returns the tensors' path. Spec and kind are added to the card."""
    facts = {
        "kind": checkpoints.DETECTOR,
        "spec": {**detector.spec.to_dict(), "weights": "none"},
        "initial_weights": detector.spec.weights,
    }
    return checkpoints.write(directory, detector, {**card, **facts})


def load_detector(path: str | Path) -> PersonDetector:
    """A detector from a folder that `save_detector` wrote, in evaluation mode.

    Raises:
        ValueError: unreadable, another kind of network, or tensors that do not fit, by name.
    """
    file = checkpoints.tensors_file(path)
    card = checkpoints.read_card(file, checkpoints.DETECTOR)
    with torch.random.fork_rng(devices=[]):  # building draws weights that the file replaces
        detector = built(
            file,
            lambda: build_detector(DetectorSpec.parse({**card["spec"], "weights": "none"})),
            lambda sketch, tensors: checkpoints.check_fits(sketch, tensors, file),
        )
    checkpoints.fill(detector, read_tensors(file), file)
    return detector.eval()
