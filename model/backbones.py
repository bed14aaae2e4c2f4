"""Encoders by name: what they give, at which stride, and what input they take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import timm
import torchvision
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from model.spec import ModelSpec
from model.weights import fill_backbone

# Built by torchvision: timm has no ShuffleNet-v2, and its MobileNet-v2 ends at 320 channels where Table 10's
# baseline counts the 1280 of the last 1x1 convolution.
TORCHVISION = ("shufflenet_v2_x1_5", "mobilenet_v2")


@dataclass(frozen=True)
class Level:
    """Feature maps of `channels` channels, one cell every `stride` input pixels."""

    channels: int
    stride: int


class Encoder(nn.Module):
    """A backbone cut to what a decoder needs: [B, 3, H, W] to (penultimate stage or None, last stage).

    `body` keeps the parameter names of the library it comes from, so that its checkpoints fit by name.

    Attributes:
        last, penultimate: the levels; `penultimate` is None where the backbone offers none.
        multiple: input height and width must be multiples of this.
        mean, std: what the input is normalised with, RGB in 0..1.
        frozen: modules that do not learn: they stay as in inference, also in training mode.
    """

    def __init__(
        self,
        body: nn.Module,
        features: Callable[[nn.Module, Tensor], tuple[Tensor | None, Tensor]],
        last: Level,
        penultimate: Level | None = None,
        multiple: int = 32,
        mean: tuple[float, ...] = IMAGENET_DEFAULT_MEAN,
        std: tuple[float, ...] = IMAGENET_DEFAULT_STD,
        frozen: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__()
        self.body = body
        self.frozen = tuple(frozen)
        self._features = features
        self.last, self.penultimate, self.multiple = last, penultimate, multiple
        self.mean, self.std = tuple(mean), tuple(std)

    def forward(self, images: Tensor) -> tuple[Tensor | None, Tensor]:
        return self._features(self.body, images)

    def train(self, mode: bool = True) -> Encoder:
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self


def build_encoder(spec: ModelSpec) -> Encoder:
    """The spec's backbone with its weights, ready for a decoder.

    Raises:
        ValueError: no such backbone, or it cannot do what the spec asks of it (dilate, stop at a stride, feed an
            auxiliary decoder, take this input size, or find its weights).
    """
    if spec.backbone in TORCHVISION:
        encoder = _torchvision(spec)
    elif spec.backbone.startswith("hrnet_w") and timm.is_model(spec.backbone):
        encoder = _hrnet(spec)
    elif timm.is_model(spec.backbone):
        encoder = _timm(spec)
    else:
        close = get_close_matches(spec.backbone, [*timm.list_models(), *TORCHVISION], n=3)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise ValueError(
            f"backbone: {spec.backbone!r} is unknown{hint} Allowed: {', '.join(TORCHVISION)} and the models that "
            "timm.list_models() names"
        )
    if spec.auxiliary and encoder.penultimate is None:
        raise ValueError(f"auxiliary: {spec.backbone} offers no penultimate stage for it; set auxiliary: false")
    height, width = spec.input_size
    if height % encoder.multiple or width % encoder.multiple:
        near = [max(1, round(side / encoder.multiple)) * encoder.multiple for side in spec.input_size]
        raise ValueError(
            f"input_size: {height}x{width} is not divisible by {encoder.multiple}, the stride of {spec.backbone}; "
            f"the nearest that works is {near[0]}x{near[1]}"
        )
    return encoder


def freeze(body: nn.Module, parts: Sequence[str], trainable: int) -> list[nn.Module]:
    """Stop the gradients of all that comes before the last `trainable` of a body's parts.

    Args:
        body: modules in the order in which images go through them.
        parts: the names of the modules that its parts end with, such as timm's `feature_info` has them.
        trainable: how many parts learn; as many as there are, or more, freezes nothing.

    Returns:
        The modules that are frozen whole; the body itself, for one, goes on behind them.
    """
    if trainable >= len(parts):
        return []
    last = parts[len(parts) - 1 - trainable]
    modules = list(body.named_modules())
    end = max(i for i, (name, _) in enumerate(modules) if name == last or name.startswith(f"{last}."))
    for _, module in modules[: end + 1]:
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(False)
    return [m for i, (_, m) in enumerate(modules[: end + 1]) if i + len(list(m.modules())) <= end + 1]


def _torchvision(spec: ModelSpec) -> Encoder:
    _refuse(spec, "dilated", spec.dilated)
    _refuse(spec, "backbone_stride", spec.backbone_stride is not None)
    _refuse(spec, "trainable_layers", spec.trainable_layers is not None)
    body = fill_backbone(
        spec.backbone,
        spec.weights,
        lambda weights, _: torchvision.models.get_model(
            spec.backbone, weights="DEFAULT" if weights == "imagenet" else None
        ),
    )
    if spec.backbone == "mobilenet_v2":
        body.classifier = nn.Identity()
        return Encoder(body, _mobilenet_features, Level(1280, 32), Level(96, 16))
    body.fc = nn.Identity()
    return Encoder(body, _shufflenet_features, Level(1024, 32), Level(352, 16))


def _mobilenet_features(body: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    penultimate = body.features[:14](images)
    return penultimate, body.features[14:](penultimate)


def _shufflenet_features(body: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    penultimate = body.stage3(body.stage2(body.maxpool(body.conv1(images))))
    return penultimate, body.conv5(body.stage4(penultimate))


# Stage 4 of the official pose network ends in its highest resolution alone; the classifier's has all four.
LOWER_OUTPUTS = tuple(f"stage4.2.fuse_layers.{row}." for row in (1, 2, 3))


def _hrnet(spec: ModelSpec) -> Encoder:
    """The official pose network's encoder: no classification parts, one output at a stride of 4 (Sun 2019).

    The auxiliary decoder reads the highest-resolution branch of stage 3; the paper does not say where it sits.
    """
    _refuse(spec, "dilated", spec.dilated)
    _refuse(spec, "backbone_stride", spec.backbone_stride is not None)
    _refuse(spec, "trainable_layers", spec.trainable_layers is not None)
    body: Any = fill_backbone(
        spec.backbone,
        spec.weights,
        lambda weights, overlay: timm.create_model(
            spec.backbone, pretrained=weights != "none", pretrained_cfg_overlay=overlay
        ),
        ignore=("incre_modules.", "downsamp_modules.", "final_layer.", "classifier.", *LOWER_OUTPUTS),
    )
    for part in ("incre_modules", "downsamp_modules", "final_layer", "global_pool", "head_drop", "classifier"):
        delattr(body, part)
    body.stage4[-1].fuse_layers = body.stage4[-1].fuse_layers[:1]
    channels = body.stage3[-1].get_num_in_chs()[0]
    level = Level(channels, 4)
    return Encoder(body, _hrnet_features, level, level)


def _hrnet_features(body: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    stem = body.act2(body.bn2(body.conv2(body.act1(body.bn1(body.conv1(images))))))
    features = body.layer1(stem)
    branches = body.stage2([transition(features) for transition in body.transition1])
    branches = body.stage3(_widen(body.transition2, branches))
    return branches[0], body.stage4(_widen(body.transition3, branches))[0]


def _widen(transitions: nn.ModuleList, branches: list[Tensor]) -> list[Tensor]:
    """One branch more: the transitions of existing branches are identities, the new one reads the lowest."""
    return [
        branches[i] if isinstance(transition, nn.Identity) else transition(branches[-1])
        for i, transition in enumerate(transitions)
    ]


def _timm(spec: ModelSpec) -> Encoder:
    arguments: dict[str, Any] = {"num_classes": 0}
    config = timm.get_pretrained_cfg(spec.backbone)
    if config is not None and config.fixed_input_size:
        arguments["img_size"] = spec.input_size
    if spec.dilated:
        arguments["output_stride"] = 16

    def create(weights: str, overlay: dict[str, Any]) -> nn.Module:
        return timm.create_model(
            spec.backbone, pretrained=weights != "none", pretrained_cfg_overlay=overlay, **arguments
        )

    try:
        body: Any = fill_backbone(spec.backbone, spec.weights, create)
    except (TypeError, NotImplementedError, AssertionError) as error:
        asked = ", ".join(f"{key}={value}" for key, value in arguments.items() if key != "num_classes")
        raise ValueError(
            f"backbone: {spec.backbone} cannot be built with {asked or 'features only'} ({error}); "
            f"{'set dilated: false, or ' if spec.dilated else ''}choose a backbone that can, such as resnet50"
        ) from error
    if not (hasattr(body, "forward_intermediates") and hasattr(body, "prune_intermediate_layers")):
        raise ValueError(f"backbone: timm's {spec.backbone} gives no feature maps; resnet50 does, for example")
    levels = [Level(info["num_chs"], info["reduction"]) for info in body.feature_info]
    plain = len({level.stride for level in levels}) == 1  # a ViT: every block has the same resolution
    indices = _plain_indices(spec, levels) if plain else _staged_indices(spec, levels)
    body.prune_intermediate_layers(indices, prune_norm=not plain, prune_head=True)
    frozen: list[nn.Module] = []
    if spec.trainable_layers is not None:
        parts = [info["module"] for info in body.feature_info][: indices[-1] + 1]
        frozen = freeze(body, parts, spec.trainable_layers)

    def features(trunk: Any, images: Tensor) -> tuple[Tensor | None, Tensor]:
        maps = trunk.forward_intermediates(
            images, indices=indices, norm=plain, output_fmt="NCHW", intermediates_only=True
        )
        return (maps[0] if len(maps) > 1 else None), maps[-1]

    statistics = body.pretrained_cfg
    return Encoder(
        body,
        features,
        levels[indices[-1]],
        levels[indices[0]] if len(indices) > 1 else None,
        multiple=levels[indices[-1]].stride,
        mean=statistics.get("mean", IMAGENET_DEFAULT_MEAN),
        std=statistics.get("std", IMAGENET_DEFAULT_STD),
        frozen=frozen,
    )


def _staged_indices(spec: ModelSpec, levels: list[Level]) -> list[int]:
    """The last stage to keep and, for the auxiliary decoder, the one before."""
    last = len(levels) - 1
    if spec.backbone_stride is not None:
        strides = [level.stride for level in levels]
        if spec.backbone_stride not in strides:
            raise ValueError(f"backbone_stride: {spec.backbone_stride}; {spec.backbone} has {sorted(set(strides))}")
        last = max(i for i, stride in enumerate(strides) if stride == spec.backbone_stride)
    return [last - 1, last] if spec.auxiliary and last > 0 else [last]


def _plain_indices(spec: ModelSpec, levels: list[Level]) -> list[int]:
    """A ViT has blocks and no stages: the auxiliary decoder reads the block at three quarters of the depth."""
    _refuse(spec, "backbone_stride", spec.backbone_stride not in (None, levels[-1].stride))
    last = len(levels) - 1
    return [len(levels) * 3 // 4 - 1, last] if spec.auxiliary and last > 0 else [last]


def _refuse(spec: ModelSpec, key: str, asked: bool) -> None:
    if asked:
        raise ValueError(
            f"{key}: {getattr(spec, key)!r} is not possible with {spec.backbone}; leave it out, or choose a backbone "
            "with stages, such as resnet50"
        )
