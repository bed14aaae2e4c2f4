import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from postproc.codec import decode, encode
from postproc.heatmaps import REFINEMENTS, decode_torch, gaussian_filter

SIZES = [(64, 48), (33, 21), (128, 96), (7, 5)]


def noisy(size: tuple[int, int], random: torch.Generator) -> torch.Tensor:
    """Peaks on all sides of the border, maps without a peak among them."""
    points = torch.rand(4, 17, 2, generator=random) * torch.tensor([size[1] + 3.0, size[0] + 3.0]) - 2
    maps = encode(points, torch.rand(4, 17, generator=random) > 0.2, size, 2.0)
    return maps + 0.01 * torch.randn(maps.shape, generator=random)


@pytest.mark.parametrize("refine", REFINEMENTS)
@pytest.mark.parametrize("gaussian", [None, (5, 1.0), (3, 0.7), (1, 1.0), (9, 2.0)])
@pytest.mark.parametrize("shift", [None, 0.0, 0.8, 1.0])
def test_compiled_and_tensor_paths_agree(
    random: torch.Generator,
    pairs: list[tuple[int, int]],
    refine: str,
    gaussian: tuple[int, float] | None,
    shift: float | None,
) -> None:
    for size in SIZES:
        if gaussian and gaussian[0] // 2 >= min(size):
            continue
        maps = noisy(size, random)
        flipped = None if shift is None else noisy(size, random)
        options = {"flip_pairs": pairs, "shift": shift, "gaussian": gaussian, "refine": refine}
        points, scores = decode(maps, flipped, **options)
        other_points, other_scores = decode_torch(maps, flipped, **options)
        torch.testing.assert_close(points, other_points, atol=1e-3, rtol=0)
        torch.testing.assert_close(scores, other_scores, atol=1e-6, rtol=0)


@pytest.mark.parametrize("width", [3, 5, 9])
def test_filtering_a_rectangle_never_misses_the_maximum(random: torch.Generator, width: int) -> None:
    # Maps of noise, plateaus and several equal peaks, where the bound has least to go by.
    maps = torch.randn(4, 17, 37, 23, generator=random)
    maps[1] = (maps[1] > 1.5).float()
    maps[2] = -maps[2].abs() * 1e3
    maps[3] = (maps[3] * 2).round().clamp(0, 3)
    points, _ = decode(maps, gaussian=(width, 1.0), refine="none")
    expected, _ = decode_torch(maps, gaussian=(width, 1.0), refine="none")
    assert torch.equal(points[0], expected[0])
    assert torch.equal(points[2], expected[2])
    # Where filtered values tie but for rounding, the place may differ and the value may not.
    smooth = gaussian_filter(maps, width, 1.0).flatten(2)
    cell = (points[..., 1] * 23 + points[..., 0]).long()[..., None]
    torch.testing.assert_close(smooth.gather(-1, cell)[..., 0], smooth.amax(-1), atol=1e-4, rtol=1e-6)


def test_a_second_process_compiles_nothing() -> None:
    decode(torch.zeros(1, 1, 8, 8))  # the first one does
    program = (
        "import torch; from postproc import codec, kernels; codec.decode(torch.zeros(1, 1, 8, 8));"
        "print(sum(kernels.decode_maps.stats.cache_misses.values()), "
        "sum(kernels.decode_maps.stats.cache_hits.values()))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=dict(os.environ), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["0", "1"]
