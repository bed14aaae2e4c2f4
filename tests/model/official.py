"""Microsoft's pose networks written down anew: the names and shapes of their tensors, and what they compute.

From the published layouts (Sun et al., Deep High-Resolution Representation Learning, 2019; Xiao et al., Simple
Baselines, 2018), on plain dictionaries and functions, so that nothing here is shared with `model`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

Tensors = dict[str, Tensor]


class Writer:
    """Random tensors by name, running statistics included.

    `gain` is about what the norms multiply by: less where many branches are summed, so that the heatmaps stay at the
    order of one, as a trained network's are.
    """

    def __init__(self, gain: float) -> None:
        self.tensors: Tensors = {}
        self.gain = gain
        self.random = torch.Generator().manual_seed(0)

    def conv(self, name: str, before: int, after: int, size: int, bias: bool = False) -> None:
        spread = (1 / (before * size * size)) ** 0.5
        self.tensors[f"{name}.weight"] = spread * torch.randn(after, before, size, size, generator=self.random)
        if bias:
            self.tensors[f"{name}.bias"] = torch.randn(after, generator=self.random)

    def norm(self, name: str, channels: int) -> None:
        for tensor, low, high in (
            ("weight", 0.8 * self.gain, 1.2 * self.gain),
            ("bias", -0.2, 0.2),
            ("running_mean", -0.2, 0.2),
            ("running_var", 0.5, 1.5),
        ):
            values = torch.rand(channels, generator=self.random)
            self.tensors[f"{name}.{tensor}"] = low + (high - low) * values

    def bottleneck(self, name: str, before: int, planes: int, project: bool) -> None:
        for i, (c_in, c_out, size) in enumerate([(before, planes, 1), (planes, planes, 3), (planes, 4 * planes, 1)], 1):
            self.conv(f"{name}.conv{i}", c_in, c_out, size)
            self.norm(f"{name}.bn{i}", c_out)
        if project:
            self.conv(f"{name}.downsample.0", before, 4 * planes, 1)
            self.norm(f"{name}.downsample.1", 4 * planes)


def hrnet_tensors(width: int, keypoints: int) -> Tensors:
    """State dict of HRNet-w<width> for poses: four stages of 1, 1, 4 and 3 modules, the last with one output."""
    w = Writer(gain=0.25)
    widths = [width * 2**i for i in range(4)]
    for i, before in ((1, 3), (2, 64)):
        w.conv(f"conv{i}", before, 64, 3)
        w.norm(f"bn{i}", 64)
    for block in range(4):
        w.bottleneck(f"layer1.{block}", 64 if block == 0 else 256, 64, project=block == 0)
    for name, before, after in (
        ("transition1.0", 256, widths[0]),
        ("transition1.1.0", 256, widths[1]),
        ("transition2.2.0", widths[1], widths[2]),
        ("transition3.3.0", widths[2], widths[3]),
    ):
        w.conv(f"{name}.0", before, after, 3)
        w.norm(f"{name}.1", after)
    for stage, modules in ((2, 1), (3, 4), (4, 3)):
        for module in range(modules):
            name = f"stage{stage}.{module}"
            for branch in range(stage):
                for block in range(4):
                    for i in (1, 2):
                        w.conv(f"{name}.branches.{branch}.{block}.conv{i}", widths[branch], widths[branch], 3)
                        w.norm(f"{name}.branches.{branch}.{block}.bn{i}", widths[branch])
            outputs = 1 if (stage, module) == (4, 2) else stage
            for i in range(outputs):
                for j in range(stage):
                    fuse = f"{name}.fuse_layers.{i}.{j}"
                    if j > i:
                        w.conv(f"{fuse}.0", widths[j], widths[i], 1)
                        w.norm(f"{fuse}.1", widths[i])
                    for step in range(i - j):
                        after = widths[i] if step == i - j - 1 else widths[j]
                        w.conv(f"{fuse}.{step}.0", widths[j], after, 3)
                        w.norm(f"{fuse}.{step}.1", after)
    w.conv("final_layer", width, keypoints, 1, bias=True)
    return w.tensors


def simple_baseline_tensors(keypoints: int) -> Tensors:
    """State dict of the Simple Baseline with ResNet-50."""
    w = Writer(gain=0.9)
    w.conv("conv1", 3, 64, 7)
    w.norm("bn1", 64)
    before = 64
    for layer, (blocks, planes) in enumerate(zip((3, 4, 6, 3), (64, 128, 256, 512), strict=True), 1):
        for block in range(blocks):
            w.bottleneck(f"layer{layer}.{block}", before, planes, project=block == 0)
            before = 4 * planes
    for layer in (0, 3, 6):  # a ReLU stands between two of them
        w.conv(f"deconv_layers.{layer}", 256, before, 4)  # transposed: [in, out, 4, 4]
        w.norm(f"deconv_layers.{layer + 1}", 256)
        before = 256
    w.conv("final_layer", 256, keypoints, 1, bias=True)
    return w.tensors


def conv(t: Tensors, name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = t[f"{name}.weight"]
    return F.conv2d(x, weight, t.get(f"{name}.bias"), stride=stride, padding=weight.shape[-1] // 2)


def norm(t: Tensors, name: str, x: Tensor) -> Tensor:
    scale, shift, mean, var = (
        t[f"{name}.{key}"][:, None, None] for key in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / torch.sqrt(var + 1e-5) * scale + shift


def bottleneck(t: Tensors, name: str, x: Tensor, stride: int = 1) -> Tensor:
    y = F.relu(norm(t, f"{name}.bn1", conv(t, f"{name}.conv1", x)))
    y = F.relu(norm(t, f"{name}.bn2", conv(t, f"{name}.conv2", y, stride)))
    y = norm(t, f"{name}.bn3", conv(t, f"{name}.conv3", y))
    if f"{name}.downsample.0.weight" in t:
        x = norm(t, f"{name}.downsample.1", conv(t, f"{name}.downsample.0", x, stride))
    return F.relu(x + y)


def basic(t: Tensors, name: str, x: Tensor) -> Tensor:
    y = F.relu(norm(t, f"{name}.bn1", conv(t, f"{name}.conv1", x)))
    return F.relu(x + norm(t, f"{name}.bn2", conv(t, f"{name}.conv2", y)))


def hrnet(t: Tensors, x: Tensor) -> Tensor:
    """[B, 3, H, W] to [B, K, H/4, W/4]."""
    for i in (1, 2):
        x = F.relu(norm(t, f"bn{i}", conv(t, f"conv{i}", x, 2)))
    for block in range(4):
        x = bottleneck(t, f"layer1.{block}", x)

    def transition(name: str, y: Tensor, stride: int) -> Tensor:
        return F.relu(norm(t, f"{name}.1", conv(t, f"{name}.0", y, stride)))

    branches = [transition("transition1.0", x, 1), transition("transition1.1.0", x, 2)]
    for stage, modules in ((2, 1), (3, 4), (4, 3)):
        if stage > 2:  # the new branch comes from the lowest one
            new = f"transition{stage - 1}.{stage - 1}.0"
            branches = [*branches, transition(new, branches[-1], 2)]
        for module in range(modules):
            for branch in range(stage):
                for block in range(4):
                    branches[branch] = basic(t, f"stage{stage}.{module}.branches.{branch}.{block}", branches[branch])
            outputs = 1 if (stage, module) == (4, 2) else stage
            branches = [fused(t, f"stage{stage}.{module}.fuse_layers.{i}", branches, i) for i in range(outputs)]
    return conv(t, "final_layer", branches[0])


def fused(t: Tensors, name: str, branches: list[Tensor], i: int) -> Tensor:
    """Output i of a fusion: every branch brought to its resolution, and summed."""
    total = torch.zeros_like(branches[i])
    for j, x in enumerate(branches):
        if j > i:
            x = norm(t, f"{name}.{j}.1", conv(t, f"{name}.{j}.0", x))
            x = F.interpolate(x, scale_factor=2 ** (j - i), mode="nearest")
        for step in range(i - j):
            x = norm(t, f"{name}.{j}.{step}.1", conv(t, f"{name}.{j}.{step}.0", x, 2))
            if step < i - j - 1:
                x = F.relu(x)
        total = total + x
    return F.relu(total)


def simple_baseline(t: Tensors, x: Tensor) -> Tensor:
    """[B, 3, H, W] to [B, K, H/4, W/4]."""
    x = F.max_pool2d(F.relu(norm(t, "bn1", conv(t, "conv1", x, 2))), 3, 2, 1)
    for layer, blocks in enumerate((3, 4, 6, 3), 1):
        for block in range(blocks):
            x = bottleneck(t, f"layer{layer}.{block}", x, 2 if layer > 1 and block == 0 else 1)
    for layer in (0, 3, 6):
        x = F.conv_transpose2d(x, t[f"deconv_layers.{layer}.weight"], stride=2, padding=1)
        x = F.relu(norm(t, f"deconv_layers.{layer + 1}", x))
    return conv(t, "final_layer", x)
