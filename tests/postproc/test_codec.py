import math

import numpy as np
import pytest
import torch

from postproc import codec
from postproc.coordinates import exact_flip_shift
from postproc.heatmaps import REFINEMENTS

SIZE = (64, 48)
# What a refinement is off by at worst on a Gaussian of sigma 2 away from borders.
WORST = {
    "none": 0.5,
    "quarter": 0.25,
    "parabola": 0.015,
    "paraboloid": 0.035,
    "dark": 0.002,
    "log_parabola": 0.002,
}
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture
def points(random: torch.Generator) -> torch.Tensor:
    """Keypoints at least ten cells from the border."""
    return 10 + torch.rand(64, 17, 2, generator=random) * torch.tensor([27.0, 43.0])


def maps_of(points: torch.Tensor, sigma: float = 2.0) -> torch.Tensor:
    return codec.encode(points, torch.ones(points.shape[:2]), SIZE, sigma)


def mirrored(points: torch.Tensor, pairs: list[tuple[int, int]], shift: float) -> torch.Tensor:
    """Keypoints of the mirrored crop, on heatmaps that lie `shift` cells off when mirrored back."""
    swapped = points[:, codec.partners(pairs, 17)].clone()
    swapped[..., 0] = SIZE[1] - 1 - (swapped[..., 0] - shift)
    return swapped


def test_target_is_the_formula_at_every_cell() -> None:
    x, y, sigma = 11.3, 20.8, 1.7
    target = codec.encode(torch.tensor([[[x, y]]]), torch.ones(1, 1), SIZE, sigma)[0, 0]
    for i, j in ((20, 11), (21, 11), (21, 12), (25, 6), (0, 0)):
        expected = math.exp(-((j - x) ** 2 + (i - y) ** 2) / (2 * sigma**2))
        assert target[i, j].item() == pytest.approx(expected, abs=1e-6)
    assert codec.encode(torch.tensor([[[11.0, 20.0]]]), torch.ones(1, 1), SIZE, sigma)[0, 0, 20, 11] == 1


def test_compiled_targets_are_the_same(random: torch.Generator) -> None:
    points = torch.rand(8, 17, 2, generator=random) * 80 - 15
    visible = torch.rand(8, 17, generator=random) > 0.3
    for sigma in (0.7, 2.0, 3.0):
        got = codec.encode_numpy(points.numpy(), visible.numpy(), SIZE, sigma)
        np.testing.assert_allclose(got, codec.encode(points, visible, SIZE, sigma), atol=1e-6)
        one = codec.encode_numpy(points[3].numpy(), visible[3].numpy(), SIZE, sigma)
        np.testing.assert_array_equal(one, got[3])


@pytest.mark.parametrize("library", ["torch", "numpy"])
def test_what_has_no_target(library: str) -> None:
    sigma = 2.0
    points = np.array([[-6.1, 5], [-5.9, 5], [47 + 6.1, 5], [5, 63 + 5.9], [5, 63 + 6.1], [np.nan, 5], [5, 5]])
    visible = np.array([1, 1, 1, 1, 1, 1, 0])
    if library == "torch":
        maps = codec.encode(torch.tensor(points), torch.tensor(visible), SIZE, sigma).numpy()
    else:
        maps = codec.encode_numpy(points, visible, SIZE, sigma)
    assert maps.dtype == np.float32
    assert maps.any((1, 2)).tolist() == [False, True, False, True, False, False, False]


@pytest.mark.parametrize("refine", REFINEMENTS)
@pytest.mark.parametrize("shift", [None, 0.0, 1.0])
def test_round_trip(points: torch.Tensor, pairs: list[tuple[int, int]], refine: str, shift: float | None) -> None:
    flipped = None if shift is None else maps_of(mirrored(points, pairs, shift))
    decoded, scores = codec.decode(
        maps_of(points), flipped, flip_pairs=pairs, shift=shift, gaussian=None, refine=refine
    )
    assert (decoded - points).abs().max() <= WORST[refine]
    assert (scores - maps_of(points).amax((-1, -2))).abs().max() < 1e-5


@pytest.mark.parametrize("refine", ["dark", "log_parabola"])
def test_round_trip_through_everything(points: torch.Tensor, pairs: list[tuple[int, int]], refine: str) -> None:
    # Filtered Gaussians, and their mean with one moved by linear interpolation, are Gaussians but for a little.
    shift = exact_flip_shift(4)
    flipped = maps_of(mirrored(points, pairs, shift))
    decoded, _ = codec.decode(maps_of(points), flipped, flip_pairs=pairs, shift=shift, refine=refine)
    assert (decoded - points).abs().max() <= 0.01


@pytest.mark.parametrize("refine", REFINEMENTS)
def test_peaks_near_the_border_stay_within_half_a_cell(random: torch.Generator, refine: str) -> None:
    points = torch.rand(16, 17, 2, generator=random) * torch.tensor([47.0, 63.0])
    edge = torch.arange(17) % 4
    points[..., 0] = torch.where(edge == 0, points[..., 0] / 47, points[..., 0])
    points[..., 1] = torch.where(edge == 1, 63 - points[..., 1] / 63, points[..., 1])
    decoded, _ = codec.decode(maps_of(points), gaussian=None, refine=refine)
    assert (decoded - points).abs().max() <= 0.5 + 1e-4
    assert (decoded >= -0.5).all()
    assert (decoded <= torch.tensor([47.5, 63.5])).all()


def test_error_on_noisy_gaussians_orders_as_the_papers_ap(points: torch.Tensor, random: torch.Generator) -> None:
    noisy = maps_of(points) + 0.01 * torch.randn(64, 17, *SIZE, generator=random)
    error = {
        refine: (codec.decode(noisy, gaussian=None, refine=refine)[0] - points).norm(dim=-1).mean().item()
        for refine in REFINEMENTS
    }
    assert error["none"] > 1.5 * error["quarter"]
    assert error["quarter"] > 2 * error["parabola"]
    assert error["parabola"] == pytest.approx(error["paraboloid"], abs=0.02)


@pytest.mark.parametrize("decode", [codec.decode, codec.decode_torch])
def test_paraboloid_finds_the_maximum_of_a_rotated_quadratic(decode: object, random: torch.Generator) -> None:
    assert callable(decode)
    rng = np.random.default_rng(5)
    for _ in range(50):
        angle, centre = rng.uniform(0, np.pi), rng.uniform(5, 10, 2)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        form = turn @ np.diag([0.4, 1.2]) @ turn.T
        y, x = np.mgrid[:16, :16]
        step = np.stack([x, y], -1) - centre
        z = 1 - np.einsum("ijk,kl,ijl->ij", step, form, step)
        decoded, _ = decode(torch.tensor(z, dtype=torch.float32)[None, None], gaussian=None, refine="paraboloid")
        np.testing.assert_allclose(decoded[0, 0], centre, atol=1e-5)


@pytest.mark.parametrize("refine", REFINEMENTS)
@pytest.mark.parametrize("decode", [codec.decode, codec.decode_torch])
@pytest.mark.parametrize("gaussian", [None, (5, 1.0)])
class TestMapsWithoutAPeak:
    def test_flat(self, decode, refine, gaussian) -> None:  # type: ignore[no-untyped-def]
        maps = torch.tensor([0.0, 0.7, -0.3])[None, :, None, None].expand(1, 3, *SIZE)
        points, scores = decode(maps, gaussian=gaussian, refine=refine)
        assert scores.tolist() == [pytest.approx([0.0, 0.7, -0.3])]
        assert (points == 0).all()

    def test_not_finite(self, decode, refine, gaussian) -> None:  # type: ignore[no-untyped-def]
        maps = torch.rand(2, 4, *SIZE)
        for k, value in enumerate((torch.nan, torch.inf, -torch.inf)):
            maps[0, k, 30 + k, 20] = value
        points, scores = decode(maps, gaussian=gaussian, refine=refine)
        assert scores.isnan().tolist() == [[True, True, True, False], [False] * 4]
        assert points.isnan().all(-1).tolist() == scores.isnan().tolist()
        # The flipped twin counts as well, under the pair's other name.
        points, _ = decode(maps.flip(0), maps, flip_pairs=[(0, 3)], shift=0.8, gaussian=gaussian, refine=refine)
        assert points.isnan().all(-1).tolist() == [[False, True, True, True], [True, True, True, False]]

    def test_one_cell(self, decode, refine, gaussian) -> None:  # type: ignore[no-untyped-def]
        for x, y in ((0, 0), (47, 63), (20, 0), (1, 62), (20, 30)):
            maps = torch.zeros(1, 1, *SIZE)
            maps[0, 0, y, x] = 0.6
            points, scores = decode(maps, gaussian=gaussian, refine=refine)
            assert scores.item() == pytest.approx(0.6)
            # Mirrored at the border, what is next to it weighs more once filtered.
            slack = 1.0 if gaussian and (x, y) == (1, 62) else 1e-5
            assert (points - torch.tensor([x, y])).abs().max() <= slack


def test_first_of_equal_maxima_wins() -> None:
    maps = torch.zeros(1, 1, *SIZE)
    maps[0, 0, 40, 3] = maps[0, 0, 10, 30] = maps[0, 0, 10, 40] = 1
    for decode in (codec.decode, codec.decode_torch):
        for gaussian in (None, (5, 1.0)):
            assert decode(maps, gaussian=gaussian)[0].tolist() == [[[30, 10]]]


def test_score_is_the_maximum_before_filtering(points: torch.Tensor, pairs: list[tuple[int, int]]) -> None:
    maps = maps_of(points)
    assert torch.equal(codec.decode(maps)[1], maps.amax((-1, -2)))
    # A peak one cell wide is filtered away, and its score is not.
    spike = torch.zeros(1, 1, 9, 9)
    spike[0, 0, 4, 4] = 1
    assert codec.decode(spike)[1].item() == 1


@pytest.mark.parametrize("refine", REFINEMENTS)
def test_batched_is_one_by_one(
    points: torch.Tensor, pairs: list[tuple[int, int]], random: torch.Generator, refine: str
) -> None:
    maps = maps_of(points[:6]) + 0.05 * torch.randn(6, 17, *SIZE, generator=random)
    flipped = maps.roll(1, 0).flip(-1)
    options = {"flip_pairs": pairs, "shift": 0.8, "refine": refine}
    batch = codec.decode(maps, flipped, **options)
    for b in range(6):
        one = codec.decode(maps[b : b + 1], flipped[b : b + 1], **options)
        assert torch.equal(one[0][0], batch[0][b])
        assert torch.equal(one[1][0], batch[1][b])


def test_other_layouts_and_types(points: torch.Tensor) -> None:
    maps = maps_of(points[:4])
    expected, _ = codec.decode(maps)
    laid_out = maps.to(memory_format=torch.channels_last)
    assert torch.equal(codec.decode(laid_out)[0], expected)
    assert torch.equal(codec.decode(maps.clone().requires_grad_())[0], expected)
    assert torch.equal(codec.decode(maps.double())[0], expected)
    # Eight bits of mantissa blur a peak of 1 by 0.004, and a parabola's curvature there is 0.24.
    for kind, tolerance in ((torch.float16, 0.01), (torch.bfloat16, 0.1)):
        got, scores = codec.decode(maps.to(kind))
        assert (got - expected).abs().max() <= tolerance
        assert got.dtype == scores.dtype == torch.float32


@cuda
@pytest.mark.parametrize("refine", REFINEMENTS)
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_cuda_agrees_and_never_waits_for_the_device(
    points: torch.Tensor, pairs: list[tuple[int, int]], random: torch.Generator, refine: str, kind: torch.dtype
) -> None:
    maps = (maps_of(points) + 0.01 * torch.randn(64, 17, *SIZE, generator=random)).to(kind)
    flipped = maps_of(mirrored(points, pairs, 0.8)).to(kind)
    options = {"flip_pairs": pairs, "shift": 0.8, "refine": refine}
    there, flipped_there = maps.cuda(), flipped.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        got = codec.decode(there, flipped_there, **options)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = codec.decode(maps, flipped, **options)
    assert (got[0].cpu() - expected[0]).abs().max() <= 1e-3
    assert (got[1].cpu() - expected[1]).abs().max() <= 1e-6


@cuda
def test_cuda_graph_replays(points: torch.Tensor, pairs: list[tuple[int, int]]) -> None:
    maps = maps_of(points).cuda()
    flipped = maps.flip(-1)
    codec.decode(maps, flipped, flip_pairs=pairs, shift=0.8)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured, _ = codec.decode(maps, flipped, flip_pairs=pairs, shift=0.8)
    maps.copy_(maps.roll(1, 0))
    flipped.copy_(maps.flip(-1))
    graph.replay()
    torch.testing.assert_close(captured, codec.decode(maps, flipped, flip_pairs=pairs, shift=0.8)[0])


def test_empty_batch() -> None:
    points, scores = codec.decode(torch.empty(0, 17, *SIZE))
    assert points.shape == (0, 17, 2)
    assert scores.shape == (0, 17)


class TestAverage:
    def test_first_cells_coincide(self) -> None:
        ramp = torch.arange(48.0).expand(1, 1, 64, 48)
        double = codec.average_heatmaps([ramp], (128, 96))
        # Cell 2 j of the larger map is cell j of the smaller one; next to the border the ramp has a kink.
        torch.testing.assert_close(double[0, 0, 5, 2:92], torch.arange(2.0, 92) / 2)
        torch.testing.assert_close(codec.average_heatmaps([double], (64, 48)), ramp)

    def test_interpolation_is_exact_on_a_quadratic(self) -> None:
        x = torch.arange(24.0)
        curve = (0.3 * x * x - 5 * x + 1).expand(1, 1, 24, 24)
        at = torch.arange(32) * 0.75
        resized = codec.average_heatmaps([curve], (24, 32))[0, 0, 0]
        inner = (at >= 1) & (at <= 22)
        torch.testing.assert_close(resized[inner], (0.3 * at * at - 5 * at + 1)[inner], atol=1e-4, rtol=1e-5)

    def test_models_of_different_strides_agree(self, points: torch.Tensor) -> None:
        small = maps_of(points)
        large = codec.encode(points * 2, torch.ones(points.shape[:2]), (128, 96), 3.0)
        middle = codec.encode(points * 1.5, torch.ones(points.shape[:2]), (96, 72), 3.0)
        mean = codec.average_heatmaps([small, large, middle])
        assert mean.shape[-2:] == (128, 96)
        decoded, _ = codec.decode(mean, gaussian=None, refine="log_parabola")
        assert (decoded / 2 - points).abs().max() <= 0.05

    def test_mean_of_same_sizes(self, random: torch.Generator) -> None:
        one, two = torch.randn(2, 1, 3, 8, 8, generator=random)
        torch.testing.assert_close(codec.average_heatmaps([one, two.bfloat16()]), (one + two.bfloat16()) / 2)

    def test_bad_input(self) -> None:
        with pytest.raises(ValueError, match=r"\[\]"):
            codec.average_heatmaps([])
        with pytest.raises(ValueError, match=r"\(2, 17, 8, 8\)"):
            codec.average_heatmaps([torch.zeros(1, 17, 8, 8), torch.zeros(2, 17, 8, 8)])


@pytest.mark.parametrize("decode", [codec.decode, codec.decode_torch])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"refine": "cubic"}, "'cubic': must be one of none, quarter"),
        ({"gaussian": (4, 1.0)}, "odd width"),
        ({"gaussian": (17, 1.0)}, "less than twice"),
        ({"gaussian": (5, 0.0)}, "sigma above 0"),
        ({"flipped": torch.zeros(2, 3, 8, 8)}, r"\(2, 3, 8, 8\)"),
        ({"flip_pairs": None}, "need flip_pairs"),
        ({"shift": None}, "exact_flip_shift"),
        ({"shift": 1.5}, "1.5"),
        ({"flip_pairs": [(1, 3)]}, "only 3 keypoints"),
        ({"heatmaps": torch.zeros(3, 8, 8)}, r"\[B, K, H, W\]"),
        ({"heatmaps": torch.zeros(1, 3, 8, 8, dtype=torch.int64)}, "int64"),
    ],
)
def test_bad_input_to_decode(decode, change: dict, message: str) -> None:  # type: ignore[no-untyped-def]
    arguments = {"heatmaps": torch.zeros(1, 3, 8, 8), "flipped": torch.zeros(1, 3, 8, 8)}
    arguments |= {"flip_pairs": [(1, 2)], "shift": 0.8} | change
    with pytest.raises(ValueError, match=message):
        decode(arguments.pop("heatmaps"), arguments.pop("flipped"), **arguments)


@pytest.mark.parametrize("encode", [codec.encode, codec.encode_numpy])
def test_bad_input_to_encode(encode) -> None:  # type: ignore[no-untyped-def]
    points, visible = torch.zeros(1, 17, 2), torch.ones(1, 17)
    with pytest.raises(ValueError, match="sigma"):
        encode(points, visible, SIZE, 0)
    with pytest.raises(ValueError, match=r"\(1, 16\)"):
        encode(points, visible[:, 1:], SIZE, 2.0)
