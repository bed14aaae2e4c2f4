"""Depthwise convolutions of 5x5, as mobile networks have them, trained on a CPU: the same numbers, sooner.

oneDNN computes the gradient of their weights without a kernel of its own, twenty times as slowly as that of 3x3, from
which it can be put together. Figures: docs/performance.md.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.padding import pad_same
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def quicken(network: nn.Module) -> None:
    """Exchange how such convolutions of a network are trained, in place; names, weights and inference stay."""
    for module in network.modules():
        if type(module) in (nn.Conv2d, Conv2dSame) and _is_wide_depthwise(module):
            module.__class__ = _WideDepthwiseSame if isinstance(module, Conv2dSame) else _WideDepthwise


def _is_wide_depthwise(conv: Any) -> bool:
    return (
        conv.kernel_size == (5, 5)
        and conv.groups == conv.in_channels == conv.out_channels
        and conv.dilation == (1, 1)
        and conv.stride[0] == conv.stride[1]
        and conv.padding in ((0, 0), (2, 2))
        and conv.padding_mode == "zeros"
        and conv.bias is None
    )


def _wanted(weight: Tensor) -> bool:
    learns = weight.requires_grad and torch.is_grad_enabled()
    return learns and weight.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


class _WideDepthwise(nn.Conv2d):
    def forward(self, images: Tensor) -> Tensor:
        if not _wanted(self.weight):
            return super().forward(images)
        output: Tensor = _DepthwiseOfFive.apply(images, self.weight, self.stride[0], int(self.padding[0]))
        return output


class _WideDepthwiseSame(Conv2dSame):  # type: ignore[misc]
    """With TensorFlow's padding, which depends on the images' size."""

    def forward(self, images: Tensor) -> Tensor:
        if not _wanted(self.weight):
            output: Tensor = super().forward(images)
        else:
            images = pad_same(images, list(self.kernel_size), list(self.stride))
            output = _DepthwiseOfFive.apply(images, self.weight, self.stride[0], 0)
        return output


class _DepthwiseOfFive(torch.autograd.Function):
    """A depthwise convolution of 5x5 whose weights' gradient is put together from four of 3x3.

    The gradient of the tap (i, j) is the sum over the output of its gradient times the input that lies i rows and j
    columns further. Taps 0 to 2 and 2 to 4 of either direction are kernels of 3x3 on inputs shifted by 0 and by 2.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(images, weight, None, stride, padding, 1, images.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        images, weight = ctx.saved_tensors
        of_images = of_weight = None
        if ctx.needs_input_grad[0]:
            of_images = _gradient(gradient, images, weight, ctx.stride, ctx.padding, of_images=True)
        if ctx.needs_input_grad[1]:
            of_weight = _weight_gradient(gradient, images, weight, ctx.stride, ctx.padding)
        return of_images, of_weight, None, None


def _weight_gradient(gradient: Tensor, images: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    padded = F.pad(images, [padding] * 4)
    height, width = (stride * (side - 1) + 3 for side in gradient.shape[2:])
    small = weight[:, :, :3, :3]
    result = torch.empty_like(weight)
    for row in (0, 2):
        for column in (0, 2):
            part = padded[:, :, row : row + height, column : column + width]
            part = part.contiguous(memory_format=torch.channels_last)
            taps = result[:, :, row : row + 3, column : column + 3]
            taps.copy_(_gradient(gradient, part, small, stride, 0, of_images=False))
    return result


def _gradient(
    gradient: Tensor, images: Tensor, weight: Tensor, stride: int, padding: int, *, of_images: bool
) -> Tensor:
    """PyTorch's own gradient, of the images or of the weights."""
    found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        gradient, images, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], images.shape[1],
        [of_images, not of_images, False],
    )  # fmt: skip
    return found[0] if of_images else found[1]
