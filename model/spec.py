"""What a keypoint network is: one frozen description, validated before anything is built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

ARCHITECTURES = ("ccm", "simple_baseline", "hrnet")


@dataclass(frozen=True)
class ModelSpec:
    """Everything that decides a network's parameters, except the number of keypoints.

    Args:
        architecture: `ccm` (the paper's), `simple_baseline` (three deconvolutions, Xiao 2018) or `hrnet`
            (a 1x1 head on the high-resolution branch, Sun 2019).
        backbone: `resnet50`, `resnet152`, `resnext50_32x4d`, `shufflenet_v2_x1_5`, `mobilenet_v2`, `hrnet_w32`,
            `hrnet_w48` or the name of any timm model that gives feature maps.
        input_size: (H, W) of the crop in pixels; a multiple of the backbone's stride.
        mixers: channels C_k of each decoder stage, a context mixer or a deconvolution; their number is K.
            None means three of 256 (paper 6.1 for ResNet-50), and none for `hrnet`.
        dilated: the last stage dilates instead of striding, so the features keep a stride of 16 (Table 2, "D").
        auxiliary: supervise a second decoder on the penultimate stage while training (paper 3.2.3).
        se, hdc, residual: the branches of the mixer (Eq 1-4). Without `hdc` a mixer is a plain deconvolution;
            without any of the three it is the Simple Baseline's. They only exist in `ccm`.
        backbone_stride: stop the backbone at this stride, e.g. 16, and drop what is deeper. None keeps it whole.
        trainable_layers: how many of the backbone's parts that are left learn, counted from the last; those before keep
            their weights and batch statistics. None: all learn.
        weights: `none`, `imagenet` (downloaded by timm or torchvision), `packaged` (ImageNet weights from an
            installed package) or the path of a local file. They fill the backbone only.

    Raises:
        ValueError: a value is outside what is allowed; the message lists what is.
    """

    architecture: str = "ccm"
    backbone: str = "resnet50"
    input_size: tuple[int, int] = (256, 192)
    mixers: tuple[int, ...] | None = None
    dilated: bool = False
    auxiliary: bool = False
    se: bool = True
    hdc: bool = True
    residual: bool = True
    backbone_stride: int | None = None
    trainable_layers: int | None = None
    weights: str = "none"

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise ValueError(f"architecture: {self.architecture!r}; allowed: {', '.join(ARCHITECTURES)}")
        for name in ("dilated", "auxiliary", "se", "hdc", "residual"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}: {getattr(self, name)!r}; allowed: true, false")
        object.__setattr__(self, "input_size", _whole_numbers("input_size", self.input_size, count=2))
        default = () if self.architecture == "hrnet" else (256, 256, 256)
        mixers = default if self.mixers is None else _whole_numbers("mixers", self.mixers)
        object.__setattr__(self, "mixers", mixers)
        self._check_decoder(mixers)
        if self.dilated and self.backbone_stride is not None:
            raise ValueError("backbone_stride: has no meaning with dilated: true, which keeps a stride of 16")
        kept = self.trainable_layers
        if kept is not None and (not isinstance(kept, int) or isinstance(kept, bool) or kept < 0):
            raise ValueError(f"trainable_layers: {kept!r}; allowed: a whole number from 0, or null for all")
        if not isinstance(self.weights, str) or not self.weights:
            raise ValueError(f"weights: {self.weights!r}; allowed: none, imagenet, packaged or a file's path")

    def _check_decoder(self, mixers: tuple[int, ...]) -> None:
        if self.architecture == "hrnet":
            if mixers:
                raise ValueError(f"mixers: {list(mixers)}; hrnet's decoder is one 1x1 convolution, so leave it empty")
            if not self.backbone.startswith("hrnet_w"):
                raise ValueError(f"backbone: {self.backbone!r}; architecture hrnet needs hrnet_w32 or hrnet_w48")
        elif not mixers:
            raise ValueError(
                f"mixers: empty; {self.architecture} needs one channel count per decoder stage, e.g. [256, 256, 256]"
            )
        if self.architecture == "ccm":
            uneven = [width for width in mixers if width % 4]
            if uneven:
                raise ValueError(
                    f"mixers: {uneven[0]} is not a multiple of 4, the number of dilated branches and the reduction "
                    "of the channel attention"
                )
        elif not (self.se and self.hdc and self.residual):
            raise ValueError(f"se, hdc, residual: {self.architecture} has no context mixer to switch; use ccm")

    @property
    def widths(self) -> tuple[int, ...]:
        """`mixers`, once the default is filled in."""
        assert self.mixers is not None
        return self.mixers

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a JSON card or `params.yaml` holds them."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def parse(cls, values: Mapping[str, Any] | ModelSpec) -> ModelSpec:
        """A spec from plain values; an unknown key is a ValueError that lists the known ones."""
        if isinstance(values, ModelSpec):
            return values
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"model: unknown key {unknown[0]!r}; allowed: {', '.join(known)}")
        return cls(**values)


def _whole_numbers(name: str, values: object, count: int | None = None) -> tuple[int, ...]:
    fits = (
        isinstance(values, Sequence)
        and not isinstance(values, str)
        and all(isinstance(value, int) and not isinstance(value, bool) and value > 0 for value in values)
        and (count is None or len(values) == count)
    )
    if not fits:
        wanted = "(height, width)" if count == 2 else "a list of channel counts"
        raise ValueError(f"{name}: {values!r}; allowed: {wanted}, positive whole numbers")
    return tuple(values)  # type: ignore[arg-type]
