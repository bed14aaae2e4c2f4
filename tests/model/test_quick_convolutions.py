"""Wide depthwise convolutions are trained as they were."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model import build
from model.quick_convolutions import quicken

SIZE = (64, 64)


def images(batch: int = 2, size: tuple[int, int] = SIZE) -> Tensor:
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(3))


def test_training_goes_as_it_did() -> None:
    """Five steps of the same batches, with and without: the loss of each, and validation in between."""
    spec = {"architecture": "ccm", "backbone": "tf_efficientnet_lite0", "input_size": SIZE, "mixers": [16]}
    plain = build({**spec, "trainable_layers": 2}, 5)
    quick = copy.deepcopy(plain)
    quicken(quick)
    assert quick.training
    assert list(quick.state_dict()) == list(plain.state_dict())
    for (name, before), after in zip(plain.state_dict().items(), quick.state_dict().values(), strict=True):
        assert torch.equal(before, after), name
    curves = [list(trained(network)) for network in (plain, quick)]
    assert curves[0][-1] < curves[0][0]
    torch.testing.assert_close(torch.tensor(curves[1]), torch.tensor(curves[0]), rtol=2e-3, atol=0)


def trained(network: nn.Module) -> Iterator[float]:
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.02)
    for step in range(5):
        network.train()
        loss = network(images(4))[0].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()
        if step % 2:
            with torch.inference_mode():
                yield network.eval()(images(4)).square().mean().item()


@pytest.mark.parametrize(("stride", "size", "same"), [(1, (8, 6), False), (2, (9, 12), False), (2, (9, 12), True)])
def test_the_gradients_of_wide_depthwise_kernels(stride: int, size: tuple[int, int], same: bool) -> None:
    """Against autograd's of the sum over the taps, written out."""
    from timm.layers import Conv2dSame

    kind = Conv2dSame if same else nn.Conv2d
    padding = {} if same else {"padding": 2}
    conv = kind(7, 7, 5, stride=stride, groups=7, bias=False, **padding).double()
    batch = torch.randn(3, 7, *size, dtype=torch.float64, requires_grad=True)
    by_taps = copy.deepcopy(conv)
    expected = taps(batch, by_taps.weight, stride, [(side - 1) // stride + 1 for side in size], same)
    outer = torch.randn_like(expected)
    want = torch.autograd.grad(expected, [batch, by_taps.weight], outer)

    network = nn.Sequential(conv).float()
    quicken(network)
    assert type(conv) is not kind
    network.double()
    output = network(batch)
    torch.testing.assert_close(output, expected)
    got = torch.autograd.grad(output, [batch, conv.weight], outer)
    torch.testing.assert_close(got, want)


def taps(batch: Tensor, weight: Tensor, stride: int, out: list[int], same: bool) -> Tensor:
    """A depthwise convolution of 5x5 as a sum over its 25 taps."""
    before, after = [], []
    for side, size in zip(batch.shape[2:], out, strict=True):
        total = max(0, (size - 1) * stride + 5 - side) if same else 4
        before.append(total // 2 if same else 2)
        after.append(total - total // 2 if same else 2)
    padded = F.pad(batch, [before[1], after[1], before[0], after[0]])
    result = torch.zeros(*batch.shape[:2], *out, dtype=batch.dtype)
    for i in range(5):
        for j in range(5):
            part = padded[:, :, i : i + stride * (out[0] - 1) + 1 : stride, j : j + stride * (out[1] - 1) + 1 : stride]
            result = result + part * weight[:, 0, i, j][:, None, None]
    return result
