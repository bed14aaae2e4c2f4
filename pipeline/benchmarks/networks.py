"""The networks of the paper's Table 10, and how large they and ours are."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from model.network import build
from model.spec import ModelSpec

KEYPOINTS = 17


def _named(
    architecture: str, backbone: str, size: tuple[int, int], mixers: tuple[int, ...], *, dilated: bool = False
) -> tuple[str, ModelSpec]:
    spec = ModelSpec(
        architecture=architecture,
        backbone=backbone,
        input_size=size,
        mixers=mixers,
        dilated=dilated,
        auxiliary=dilated,  # Table 10 counts the auxiliary decoder of the dilated networks, and of no other
        weights="none",
    )
    return f"{architecture} {backbone} {size[0]}x{size[1]}", spec


_MEDIUM, _LARGE, _WIDE = (256, 192), (384, 288), (256, 256, 256)
PAPER_NETWORKS = dict(
    [
        _named("simple_baseline", "shufflenet_v2_x1_5", _MEDIUM, _WIDE),
        _named("simple_baseline", "mobilenet_v2", _MEDIUM, _WIDE),
        _named("ccm", "shufflenet_v2_x1_5", _MEDIUM, _WIDE),
        _named("ccm", "mobilenet_v2", _MEDIUM, _WIDE),
        _named("simple_baseline", "resnet50", _MEDIUM, _WIDE),
        _named("simple_baseline", "resnext50_32x4d", _MEDIUM, _WIDE),
        _named("hrnet", "hrnet_w32", _MEDIUM, ()),
        _named("ccm", "resnet50", _MEDIUM, _WIDE, dilated=True),
        _named("ccm", "resnext50_32x4d", _MEDIUM, _WIDE, dilated=True),
        _named("ccm", "hrnet_w32", _MEDIUM, (32,)),
        _named("simple_baseline", "resnet152", _LARGE, _WIDE),
        _named("hrnet", "hrnet_w48", _LARGE, ()),
        _named("ccm", "resnet152", _LARGE, (128, 96, 64), dilated=True),
        _named("ccm", "hrnet_w48", _LARGE, (48,)),
    ]
)
# What `size_of` says of them, kept because it takes ten seconds; a test counts them again.
PAPER_SIZES = {
    "simple_baseline shufflenet_v2_x1_5 256x192": {"parameters": 8_775_985, "macs": 1_510_049_280},
    "simple_baseline mobilenet_v2 256x192": {"parameters": 9_569_809, "macs": 1_565_042_688},
    "ccm shufflenet_v2_x1_5 256x192": {"parameters": 9_714_865, "macs": 2_340_668_928},
    "ccm mobilenet_v2 256x192": {"parameters": 10_131_857, "macs": 2_386_241_536},
    "simple_baseline resnet50 256x192": {"parameters": 33_999_697, "macs": 5_426_380_800},
    "simple_baseline resnext50_32x4d 256x192": {"parameters": 33_471_569, "macs": 5_564_792_832},
    "hrnet hrnet_w32 256x192": {"parameters": 28_536_113, "macs": 7_645_003_776},
    "ccm resnet50 256x192": {"parameters": 40_667_490, "macs": 23_148_986_368},
    "ccm resnext50_32x4d 256x192": {"parameters": 40_139_362, "macs": 23_150_559_232},
    "ccm hrnet_w32 256x192": {"parameters": 28_563_521, "macs": 7_741_243_904},
    "simple_baseline resnet152 384x288": {"parameters": 68_635_473, "macs": 28_573_433_856},
    "hrnet hrnet_w48 384x288": {"parameters": 63_595_745, "macs": 35_306_606_592},
    "ccm resnet152 384x288": {"parameters": 63_524_354, "macs": 35_610_746_368},
    "ccm hrnet_w48 384x288": {"parameters": 63_657_209, "macs": 35_785_360_512},
}
# Section 6.2.1 counts further mixers on HRNet; the dilated networks are run without what only training needs.
OTHER_NETWORKS = {
    **{
        f"ccm hrnet_w32 256x192, K = {count}": replace(PAPER_NETWORKS["ccm hrnet_w32 256x192"], mixers=(32,) * count)
        for count in (2, 3)
    },
    **{
        f"{name}, no auxiliary decoder": replace(spec, auxiliary=False)
        for name, spec in PAPER_NETWORKS.items()
        if spec.auxiliary
    },
}


def size_of(spec: ModelSpec, keypoints: int = KEYPOINTS) -> dict[str, int]:
    """`parameters`, and `macs` of one crop through all that training runs, nothing being computed.

    Multiply-accumulates as PyTorch counts them (its operations halved), deconvolutions as they are executed. The paper
    counts otherwise, so its GFLOPs are not these.
    """
    with torch.device("meta"):
        network = build(spec, keypoints)
        network.train()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(2, 3, *spec.input_size))  # normalisation of pooled features needs two crops
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "macs": counter.get_total_flops() // 4,
    }
