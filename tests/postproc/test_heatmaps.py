import cv2
import numpy as np
import pytest
import torch

from postproc import heatmaps as tensors
from postproc.codec import encode
from postproc.coordinates import exact_flip_shift


@pytest.fixture
def maps(random: torch.Generator) -> torch.Tensor:
    return torch.randn(2, 17, 16, 12, generator=random)


def test_shift_of_one_is_the_one_pixel_shift(maps: torch.Tensor, pairs: list[tuple[int, int]]) -> None:
    expected = maps[:, tensors.partners(pairs, 17)].numpy()[..., ::-1].copy()
    expected[..., 1:] = expected[..., :-1].copy()
    np.testing.assert_array_equal(tensors.align_flipped(maps, pairs, 1.0), expected)


@pytest.mark.parametrize("ratio", [1.25, 2.0, 2.5])
def test_shift_is_equation_25(maps: torch.Tensor, pairs: list[tuple[int, int]], ratio: float) -> None:
    mirrored = tensors.align_flipped(maps, pairs)
    shifted = tensors.align_flipped(maps, pairs, 1 / ratio)
    for i, j in ((0, 1), (5, 7), (15, 11)):
        expected = (1 - 1 / ratio) * mirrored[:, :, i, j] + 1 / ratio * mirrored[:, :, i, j - 1]
        torch.testing.assert_close(shifted[:, :, i, j], expected)
    torch.testing.assert_close(shifted[..., 0], mirrored[..., 0])


def test_flip_of_a_flip_is_the_identity(maps: torch.Tensor, pairs: list[tuple[int, int]]) -> None:
    assert torch.equal(tensors.align_flipped(tensors.align_flipped(maps, pairs), pairs), maps)


@pytest.mark.parametrize("stride", [2, 4])
def test_exact_shift_aligns_the_flipped_heatmap(stride: int) -> None:
    crop = 48 * stride
    pixels = torch.tensor([[[21.3 * stride, 30.0 * stride]]])
    mirrored = pixels.clone()
    mirrored[..., 0] = crop - 1 - pixels[..., 0]
    shown = torch.ones(1, 1)
    plain = encode(pixels / stride, shown, (64, 48), 2.0)
    flipped = encode(mirrored / stride, shown, (64, 48), 2.0)

    def centre(heatmap: torch.Tensor) -> float:
        weights = heatmap.double().sum((0, 1, 2))
        return float((weights * torch.arange(48)).sum() / weights.sum())

    aligned = tensors.align_flipped(flipped, [], exact_flip_shift(stride))
    assert centre(aligned) == pytest.approx(centre(plain), abs=1e-4)
    assert centre(plain) - centre(tensors.align_flipped(flipped, [])) == pytest.approx(1 - 1 / stride, abs=1e-4)


@pytest.mark.parametrize(("width", "sigma"), [(1, 1.0), (3, 0.8), (5, 1.0), (9, 2.0)])
def test_gaussian_filter_is_opencvs(maps: torch.Tensor, width: int, sigma: float) -> None:
    smooth = tensors.gaussian_filter(maps, width, sigma)
    for b, k in ((0, 0), (1, 16)):
        expected = cv2.GaussianBlur(maps[b, k].numpy(), (width, width), sigma)
        np.testing.assert_allclose(smooth[b, k], expected, atol=1e-6)


def test_gaussian_weights_sum_to_one() -> None:
    weights = tensors.gaussian_weights(5, 1.0)
    assert weights[0] + 2 * sum(weights[1:]) == pytest.approx(1)
    assert weights[1] / weights[0] == pytest.approx(np.exp(-0.5))


def test_partners_rejects_impossible_pairs() -> None:
    assert tensors.partners([(1, 2)], 4) == [0, 2, 1, 3]
    with pytest.raises(ValueError, match=r"\(1, 4\): there are only 4"):
        tensors.partners([(1, 4)], 4)
    with pytest.raises(ValueError, match="keypoint 2 is paired twice"):
        tensors.partners([(1, 2), (2, 3)], 4)
    with pytest.raises(ValueError, match="paired twice"):
        tensors.partners([(3, 3)], 4)


@pytest.mark.parametrize("refine", tensors.REFINEMENTS)
def test_nothing_is_read_back_to_the_host(pairs: list[tuple[int, int]], refine: str) -> None:
    # A meta tensor has no values, so whatever asks for one fails.
    maps = torch.empty(2, 17, 64, 48, device="meta")
    coordinates, scores = tensors.decode_torch(maps, maps, flip_pairs=pairs, shift=0.8, refine=refine)
    assert coordinates.shape == (2, 17, 2)
    assert scores.shape == (2, 17)


@pytest.mark.parametrize("refine", tensors.REFINEMENTS)
def test_one_graph_gives_the_same(maps: torch.Tensor, pairs: list[tuple[int, int]], refine: str) -> None:
    class Decode(torch.nn.Module):
        def forward(self, plain: torch.Tensor, flipped: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return tensors.decode_torch(plain, flipped, flip_pairs=pairs, shift=0.8, refine=refine)

    flipped = maps.roll(1, 0)
    program = torch.export.export(Decode(), (maps, flipped)).module()
    for got, expected in zip(program(maps, flipped), Decode()(maps, flipped), strict=True):
        torch.testing.assert_close(got, expected)


def test_compiles_without_a_break(maps: torch.Tensor, pairs: list[tuple[int, int]]) -> None:
    compiled = torch.compile(tensors.decode_torch, fullgraph=True, backend="aot_eager")
    flipped = maps.roll(1, 0)
    got = compiled(maps, flipped, flip_pairs=pairs, shift=0.8)
    expected = tensors.decode_torch(maps, flipped, flip_pairs=pairs, shift=0.8)
    torch.testing.assert_close(got[0], expected[0])
    torch.testing.assert_close(got[1], expected[1])
