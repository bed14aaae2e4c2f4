"""Equations 8 and 9 against a loop over rows and keypoints."""

import pytest
import torch
from torch import Tensor

from model.losses import masked_mse, total_loss


@pytest.fixture
def maps() -> tuple[Tensor, Tensor, Tensor]:
    prediction, target = torch.randn(3, 4, 6, 5, requires_grad=True), torch.rand(3, 4, 6, 5)
    return prediction, target, torch.tensor([[1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 1, 1]]).bool()


def loop(prediction: Tensor, target: Tensor, supervised: Tensor, weight: Tensor) -> float:
    total = 0.0
    for row in range(3):
        for keypoint in range(4):
            if supervised[row, keypoint]:
                total += weight[row, keypoint].item() * ((prediction - target)[row, keypoint] ** 2).sum().item()
    return total / (3 * 4 * 6 * 5)


@pytest.mark.parametrize("weight", [None, torch.rand(3, 4)])
def test_unsupervised_maps_count_as_zero(maps: tuple[Tensor, Tensor, Tensor], weight: Tensor | None) -> None:
    found = masked_mse(*maps, weight)
    assert found.item() == pytest.approx(loop(*maps, torch.ones(3, 4) if weight is None else weight), rel=1e-5)


def test_weights_of_one_change_no_bit(maps: tuple[Tensor, Tensor, Tensor]) -> None:
    """A table without weights trains as it did: weight = supervised."""
    assert torch.equal(masked_mse(*maps, maps[2].float()), masked_mse(*maps))


@pytest.mark.parametrize("weighed", [True, False])
def test_added_rows_are_divided_by_their_own_weight(maps: tuple[Tensor, Tensor, Tensor], weighed: bool) -> None:
    prediction, target, supervised = maps
    weight = torch.rand(3, 4) if weighed else torch.ones(3, 4)
    squares = ((prediction - target) ** 2).mean((2, 3)).detach()
    sums = [0.0, 0.0, 0.0]  # of the first row's maps, of the added rows' weighted maps, of their weights
    for keypoint in range(4):
        sums[0] += float(squares[0, keypoint] * weight[0, keypoint] * supervised[0, keypoint])
        for row in (1, 2):
            sums[1] += float(squares[row, keypoint] * weight[row, keypoint] * supervised[row, keypoint])
            sums[2] += float(weight[row, keypoint] * supervised[row, keypoint])
    found = masked_mse(prediction, target, supervised, weight if weighed else None, added=2)
    assert found.item() == pytest.approx(sums[0] / 4 + sums[1] / sums[2], rel=1e-5)


def test_added_rows_that_weigh_nothing_pull_nothing(maps: tuple[Tensor, Tensor, Tensor]) -> None:
    prediction, target, supervised = maps
    weight = torch.ones(3, 4)
    weight[2] = 0
    found = masked_mse(prediction, target, supervised, weight, added=1)
    torch.testing.assert_close(found, masked_mse(prediction[:2], target[:2], supervised[:2]))


def test_nothing_leaks_from_what_nobody_supervises(maps: tuple[Tensor, Tensor, Tensor]) -> None:
    prediction, target, supervised = maps
    target = target.masked_fill(~supervised[:, :, None, None], torch.nan)
    loss = masked_mse(prediction, target, supervised)
    loss.backward()
    assert loss.isfinite()
    assert prediction.grad is not None
    assert torch.equal(prediction.grad.abs().sum((2, 3)) > 0, supervised)


def test_lambda_weighs_the_auxiliary_maps(maps: tuple[Tensor, Tensor, Tensor]) -> None:
    prediction, target, supervised = maps
    other = torch.randn_like(target)
    main, auxiliary = masked_mse(prediction, target, supervised), masked_mse(other, target, supervised)
    found = total_loss((prediction, other), target, supervised, 0.3)
    torch.testing.assert_close(found, main + 0.3 * auxiliary)
    assert total_loss((prediction, None), target, supervised, 0.3) == main


def test_half_precision_maps_lose_nothing_in_the_sum(maps: tuple[Tensor, Tensor, Tensor]) -> None:
    prediction, target, supervised = maps
    half = prediction.detach().bfloat16()
    loss = masked_mse(half, target, supervised)
    assert loss.dtype is torch.float32
    assert loss.item() == pytest.approx(loop(half.float(), target, supervised, torch.ones(3, 4)), rel=1e-5)


def test_shapes_that_do_not_belong_together(maps: tuple[Tensor, Tensor, Tensor]) -> None:
    prediction, target, supervised = maps
    with pytest.raises(ValueError, match=r"supervised \(4, 3\); allowed: \[B, K, H, W\] twice and \[B, K\]"):
        masked_mse(prediction, target, supervised.T)
    with pytest.raises(ValueError, match="allowed"):
        masked_mse(prediction, target[..., :4], supervised)
    with pytest.raises(ValueError, match=r"weight \(2,\); allowed: \[B, K\], here \[3, 4\]"):
        masked_mse(prediction, target, supervised, torch.ones(2))
