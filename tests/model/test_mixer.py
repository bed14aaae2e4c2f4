"""The context mixer against Equations 1 to 4, written out, and against the number of its weights, in closed form."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.mixer import ContextMixer, Decoder
from tests.model.conftest import with_random_statistics

SWITCHES = list(itertools.product([True, False], repeat=3))


def norm(x: Tensor, layer: nn.Module) -> Tensor:
    """Batch normalisation in evaluation mode, by its definition."""
    assert isinstance(layer, nn.BatchNorm2d)
    mean, var = (t.view(1, -1, 1, 1) for t in (layer.running_mean, layer.running_var))
    return (x - mean) / (var + 1e-5).sqrt() * layer.weight.view(1, -1, 1, 1) + layer.bias.view(1, -1, 1, 1)


def equation_4(mixer: ContextMixer, x: Tensor, upsample: bool) -> Tensor:
    merge, merge_norm = mixer.hdc.merge
    hdc = x
    if len(mixer.hdc.branches):
        dilated = [
            F.relu(norm(F.conv2d(x, branch[0].weight, padding=rate, dilation=rate), branch[1]))
            for rate, branch in zip((1, 2, 3, 4), mixer.hdc.branches, strict=True)
        ]
        hdc = torch.cat(dilated, 1)
    hdc = (
        F.conv_transpose2d(hdc, merge.weight, stride=2, padding=1)
        if upsample
        else F.conv2d(hdc, merge.weight, padding=1)
    )
    out = norm(hdc, merge_norm)
    if mixer.se is not None:
        squeezed = F.conv2d(F.adaptive_avg_pool2d(x, 1), mixer.se.reduce[0].weight)
        excited = F.conv2d(F.relu(norm(squeezed, mixer.se.reduce[1])), mixer.se.expand[0].weight)
        out = out * torch.sigmoid(norm(excited, mixer.se.expand[1]))
    if mixer.residual is not None:
        identity = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False) if upsample else x
        out = out + norm(F.conv2d(identity, mixer.residual.project[0].weight), mixer.residual.project[1])
    return F.relu(out)


@pytest.mark.parametrize("upsample", [True, False])
@pytest.mark.parametrize(("se", "hdc", "residual"), SWITCHES)
def test_a_mixer_is_equation_4(se: bool, hdc: bool, residual: bool, upsample: bool) -> None:
    mixer = with_random_statistics(ContextMixer(12, 8, upsample=upsample, se=se, hdc=hdc, residual=residual)).eval()
    x = torch.randn(2, 12, 7, 5)
    with torch.inference_mode():
        found = mixer(x)
        assert found.shape == ((2, 8, 14, 10) if upsample else (2, 8, 7, 5))
        assert 0.1 < found.std() < 10
        torch.testing.assert_close(found, equation_4(mixer, x, upsample), rtol=0, atol=1e-5)


@pytest.mark.parametrize("upsample", [True, False])
@pytest.mark.parametrize(("se", "hdc", "residual"), SWITCHES)
def test_a_mixer_has_the_weights_of_its_branches(se: bool, hdc: bool, residual: bool, upsample: bool) -> None:
    before, after = 40, 16
    mixer = ContextMixer(before, after, upsample=upsample, se=se, hdc=hdc, residual=residual)
    kernel = 4 * 4 if upsample else 3 * 3
    expected = kernel * (after if hdc else before) * after + 2 * after  # the (de)convolution, and its norm
    if hdc:
        expected += 4 * (3 * 3 * before * after // 4 + 2 * after // 4)
    if se:
        expected += before * after // 4 + 2 * after // 4 + after // 4 * after + 2 * after
    if residual:
        expected += before * after + 2 * after
    assert sum(p.numel() for p in mixer.parameters()) == expected


def test_the_dilated_branches_look_one_to_four_cells_away() -> None:
    mixer = ContextMixer(4, 4, upsample=True, se=False, hdc=True, residual=False).eval()
    x = torch.zeros(1, 4, 11, 11, requires_grad=True)
    for rate, branch in enumerate(mixer.hdc.branches, start=1):
        (gradient,) = torch.autograd.grad(branch[0](x)[0, :, 5, 5].sum(), x)
        rows = gradient.abs().sum((0, 1, 3)).nonzero().flatten().tolist()
        assert rows == [5 - rate, 5, 5 + rate]


def test_the_channel_attention_is_between_none_and_all() -> None:
    se = with_random_statistics(ContextMixer(8, 8, upsample=True, se=True, hdc=True, residual=True)).se
    alpha = se.eval()(torch.randn(3, 8, 6, 4) * 5)
    assert alpha.shape == (3, 8, 1, 1)
    assert bool(((alpha > 0) & (alpha < 1)).all())
    assert alpha.std() > 0.05


def test_a_decoder_starts_from_the_papers_gaussian_weights() -> None:
    decoder = Decoder(64, (32, 32), (True, True), 17, se=True, hdc=True, residual=True)
    kernels = [m for m in decoder.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    values = torch.cat([m.weight.flatten() for m in kernels])
    assert values.mean().abs() < 1e-5
    torch.testing.assert_close(values.std(), torch.tensor(0.001), rtol=0.02, atol=0)
    assert [name for name, _ in decoder.named_parameters() if name.endswith("bias") and "head" in name] == ["head.bias"]
    # No bias before a norm: the only convolution with one is the prediction layer.
    assert [m for m in kernels if m.bias is not None] == [decoder.head]
    assert torch.equal(decoder.head.bias, torch.zeros(17))
