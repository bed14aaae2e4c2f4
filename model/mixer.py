"""The context mixer and the decoder that cascades it (paper 3.2, Eq 1-7)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

DILATIONS = (1, 2, 3, 4)
REDUCTION = 4  # of the channel attention's bottleneck, paper 3.2.1


class ChannelAttention(nn.Module):
    """The SE branch: [B, C_in, H, W] to weights alpha in [0, 1], [B, C_out, 1, 1] (Eq 2).

    Batch normalisation sees one value per image and channel here, so training needs two images or more a batch.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        narrow = out_channels // REDUCTION
        self.reduce = nn.Sequential(nn.Conv2d(in_channels, narrow, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU())
        self.expand = nn.Sequential(nn.Conv2d(narrow, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))

    def forward(self, features: Tensor) -> Tensor:
        pooled = features.mean(dim=(2, 3), keepdim=True)
        return torch.sigmoid(self.expand(self.reduce(pooled)))


class HybridDilatedConvolution(nn.Module):
    """The HDC branch: four dilated convolutions, concatenated and merged (Eq 3).

    `branches[j]` gives C_out/4 maps at the input's resolution; `merge` is the deconvolution that doubles it, or,
    where there is nothing left to upsample, a 3x3 convolution that keeps it (paper 6.2.1). With
    `dilated_branches` off, `merge` reads the input itself: the Simple Baseline's deconvolution.
    """

    def __init__(self, in_channels: int, out_channels: int, *, upsample: bool, dilated_branches: bool) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(in_channels, out_channels // 4, 3, padding=rate, dilation=rate, bias=False),
                nn.BatchNorm2d(out_channels // 4),
                nn.ReLU(),
            )
            for rate in DILATIONS
            if dilated_branches
        )
        channels = out_channels if dilated_branches else in_channels
        resize: nn.Module
        if upsample:
            resize = nn.ConvTranspose2d(channels, out_channels, 4, stride=2, padding=1, bias=False)
        else:
            resize = nn.Conv2d(channels, out_channels, 3, padding=1, bias=False)
        self.merge = nn.Sequential(resize, nn.BatchNorm2d(out_channels))

    def forward(self, features: Tensor) -> Tensor:
        if len(self.branches):
            features = torch.cat([branch(features) for branch in self.branches], dim=1)
        return self.merge(features)


class ResidualBranch(nn.Module):
    """Up-sampling (bilinear; the paper names no method), then a 1x1 convolution (Eq 1)."""

    def __init__(self, in_channels: int, out_channels: int, *, upsample: bool) -> None:
        super().__init__()
        self.resize: nn.Module = (
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False) if upsample else nn.Identity()
        )
        self.project = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))

    def forward(self, features: Tensor) -> Tensor:
        return self.project(self.resize(features))


class ContextMixer(nn.Module):
    """f_k = ReLU(HDC(f_{k-1}) * alpha + RES(f_{k-1})) (Eq 4): [B, C_in, H, W] to [B, C_out, 2H, 2W] or [.., H, W].

    A branch that is switched off is None: without `se` alpha is one, without `residual` the sum has one term, and
    `hdc` is described at `HybridDilatedConvolution`. `attended` passes the first term of Eq 4 through unchanged,
    so that a hook can record it.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, upsample: bool, se: bool, hdc: bool, residual: bool
    ) -> None:
        super().__init__()
        self.hdc = HybridDilatedConvolution(in_channels, out_channels, upsample=upsample, dilated_branches=hdc)
        self.se = ChannelAttention(in_channels, out_channels) if se else None
        self.residual = ResidualBranch(in_channels, out_channels, upsample=upsample) if residual else None
        self.attended = nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        mixed = self.hdc(features)
        if self.se is not None:
            mixed = mixed * self.se(features)
        mixed = self.attended(mixed)
        if self.residual is not None:
            mixed = mixed + self.residual(features)
        return torch.relu(mixed)


class Decoder(nn.Module):
    """K mixers in cascade and the 1x1 prediction layer (Eq 6, 7).

    `[B, C_in, H, W]` to `[B, K, h, w]`: each mixer whose entry in `upsample` is true doubles the resolution. With
    no mixers it is HRNet's head; with mixers that have no branches it is the Simple Baseline's decoder.
    """

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int],
        upsample: Sequence[bool],
        keypoints: int,
        *,
        se: bool,
        hdc: bool,
        residual: bool,
    ) -> None:
        super().__init__()
        channels = [in_channels, *widths]
        self.mixers = nn.ModuleList(
            ContextMixer(before, after, upsample=doubles, se=se, hdc=hdc, residual=residual)
            for (before, after), doubles in zip(itertools.pairwise(channels), upsample, strict=True)
        )
        self.head = nn.Conv2d(channels[-1], keypoints, 1)
        self.apply(initialise)

    def forward(self, features: Tensor) -> Tensor:
        for mixer in self.mixers:
            features = mixer(features)
        return self.head(features)


def initialise(module: nn.Module) -> None:
    """Gaussian weights for (de)convolutions, 1 and 0 for batch normalisation (paper 6.1; std 0.001 as Xiao 2018)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, std=0.001)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
