"""The keypoint network: encoder, decoder, and the auxiliary decoder that only training sees (paper 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from model.backbones import Encoder, build_encoder
from model.mixer import ContextMixer, Decoder, initialise
from model.spec import ModelSpec

FINEST_STRIDE = 2  # of a heatmap; a mixer beyond it keeps the resolution (paper 6.2.1, HRNet with K > 1)


class PoseNetwork(nn.Module):
    """Heatmaps of K keypoints from crops, [B, 3, H, W] to [B, K, h, w].

    In training mode it returns (heatmaps, auxiliary heatmaps or None), both [B, K, h, w].

    Attributes:
        spec: what it was built from.
        keypoints: K.
        stride: input pixels per heatmap cell.
        heatmap_size: (h, w).
        mean, std: what the crops are normalised with, RGB in 0..1.
    """

    def __init__(
        self, spec: ModelSpec, encoder: Encoder, decoder: Decoder, auxiliary: Decoder | None, stride: float
    ) -> None:
        super().__init__()
        self.spec = spec
        self.encoder = encoder
        self.decoder = decoder
        self.auxiliary_decoder = auxiliary
        self.stride = stride
        self.heatmap_size = (round(spec.input_size[0] / stride), round(spec.input_size[1] / stride))

    @property
    def keypoints(self) -> int:
        return self.decoder.head.out_channels

    @property
    def mean(self) -> tuple[float, ...]:
        return self.encoder.mean

    @property
    def std(self) -> tuple[float, ...]:
        return self.encoder.std

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor | None]:
        if images.shape[-2:] != self.spec.input_size:
            raise ValueError(f"images: {tuple(images.shape)}; this network takes [B, 3, *{self.spec.input_size}]")
        penultimate, last = self.encoder(images)
        heatmaps = self.decoder(last)
        if not self.training:
            return heatmaps
        if self.auxiliary_decoder is None:
            return heatmaps, None
        return heatmaps, self.auxiliary_decoder(penultimate)

    def drop_auxiliary(self) -> PoseNetwork:
        """Removes the auxiliary decoder, which inference never runs; returns the network itself."""
        if self.auxiliary_decoder is not None:
            self.auxiliary_decoder = None
            self.spec = replace(self.spec, auxiliary=False)
        return self


def build(spec: Mapping[str, Any] | ModelSpec, keypoints: int) -> PoseNetwork:
    """The network that a spec describes, for `keypoints` heatmaps, with its backbone's weights.

    Raises:
        ValueError: the spec, or its combination with the backbone, cannot be built; says what could.
    """
    spec = ModelSpec.parse(spec)
    _check_keypoints(keypoints)
    encoder = build_encoder(spec)
    branches = dict.fromkeys(("se", "hdc", "residual"), False)
    if spec.architecture == "ccm":
        branches = {"se": spec.se, "hdc": spec.hdc, "residual": spec.residual}

    stride = float(encoder.last.stride)
    upsample = []
    for _ in spec.widths:
        upsample.append(stride > FINEST_STRIDE)
        stride /= 2 if upsample[-1] else 1
    decoder = Decoder(encoder.last.channels, spec.widths, upsample, keypoints, **branches)

    auxiliary = None
    if spec.auxiliary:
        assert encoder.penultimate is not None
        doublings = _doublings(spec, encoder.penultimate.stride, stride)
        auxiliary = Decoder(encoder.penultimate.channels, spec.widths, doublings, keypoints, **branches)
    return PoseNetwork(spec, encoder, decoder, auxiliary, stride)


def _doublings(spec: ModelSpec, stride: float, target: float) -> list[bool]:
    """Which auxiliary mixers double the resolution, so that both decoders end at the same one.

    The penultimate stage can be finer than the last: the paper's undilated rows of Table 2 then have a mixer left
    over, and like HRNet's extra ones it keeps the resolution.
    """
    upsample = []
    for _ in spec.widths:
        upsample.append(stride > target)
        stride /= 2 if upsample[-1] else 1
    if stride != target:
        raise ValueError(
            f"auxiliary: {spec.backbone}'s penultimate stage cannot reach the heatmaps' stride of {target:g}; add a "
            "mixer or set auxiliary: false"
        )
    return upsample


def _check_keypoints(keypoints: int) -> None:
    if not isinstance(keypoints, int) or isinstance(keypoints, bool) or keypoints < 1:
        raise ValueError(f"keypoints: {keypoints!r}; allowed: a whole number from 1 on (COCO 17, AI Challenger 14)")


def replace_head(network: PoseNetwork, keypoints: int) -> PoseNetwork:
    """New prediction layers for another keypoint set, everything else kept: transfer learning, A->C (Table 5).

    Changes the network in place and returns it.
    """
    _check_keypoints(keypoints)
    for decoder in (network.decoder, network.auxiliary_decoder):
        if decoder is not None:
            old = decoder.head
            head = nn.Conv2d(old.in_channels, keypoints, 1, device=old.weight.device, dtype=old.weight.dtype)
            initialise(head)
            decoder.head = head
    return network


@torch.no_grad()
def record_mixer_features(network: PoseNetwork, images: Tensor) -> dict[str, Tensor]:
    """What Fig 12 shows, for each mixer k from 1 on, as the images pass in evaluation mode.

    Returns:
        `level{k}/hdc{j}`, j from 1 on: the dilated branches, [B, C_k/4, h, w] before the deconvolution;
        `level{k}/hdc_x_se`: the first term of Eq 4 and `level{k}/output`: the mixer's output, [B, C_k, h', w'].
    """
    recorded: dict[str, Tensor] = {}
    handles = []

    def record(module: nn.Module, name: str) -> None:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            recorded[name] = output.detach().clone()

        handles.append(module.register_forward_hook(hook))

    for level, mixer in enumerate(network.decoder.mixers, start=1):
        assert isinstance(mixer, ContextMixer)
        for j, branch in enumerate(mixer.hdc.branches, start=1):
            record(branch, f"level{level}/hdc{j}")
        record(mixer.attended, f"level{level}/hdc_x_se")
        record(mixer, f"level{level}/output")
    was_training = network.training
    try:
        network.eval()(images)
    finally:
        network.train(was_training)
        for handle in handles:
            handle.remove()
    return recorded
