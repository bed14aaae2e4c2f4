"""What training minimises: MSE over the heatmaps that a row supervises (paper 3.3, Eq 8 and 9)."""

from __future__ import annotations

from torch import Tensor


def masked_mse(prediction: Tensor, target: Tensor, supervised: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error in which unsupervised heatmaps count as zero (Eq 8).

    The mean runs over all B K H W cells, supervised or not, as in Eq 8 and in Xiao 2018 and Sun 2019: a keypoint
    weighs the same whatever else its row labels, and a row that labels little pulls little.

    Args:
        prediction, target: [B, K, H, W].
        supervised: [B, K] bool, the `supervised` column of the `instances` table.
        weight: [B], the weight of each row; None weighs all by one. The divisor does not change with it.

    Returns:
        A float32 scalar, also under autocast.

    Raises:
        ValueError: shapes that do not belong together.
    """
    if prediction.shape != target.shape or supervised.shape != prediction.shape[:2]:
        raise ValueError(
            f"prediction {tuple(prediction.shape)}, target {tuple(target.shape)}, supervised "
            f"{tuple(supervised.shape)}; allowed: [B, K, H, W] twice and [B, K]"
        )
    if weight is not None and weight.shape != prediction.shape[:1]:
        raise ValueError(f"weight {tuple(weight.shape)}; allowed: [B], here [{prediction.shape[0]}]")
    # `where` before squaring, not a product after: what nobody supervises must not leak a NaN, nor its gradient.
    difference = (prediction.float() - target.float()).where(supervised[:, :, None, None], 0.0)
    per_map = difference.square().mean(dim=(2, 3))
    if weight is not None:
        per_map = per_map * weight.float().unsqueeze(1)
    return per_map.mean()


def total_loss(
    outputs: tuple[Tensor, Tensor | None],
    target: Tensor,
    supervised: Tensor,
    auxiliary_weight: float,
    weight: Tensor | None = None,
) -> Tensor:
    """L_main + lambda * L_aux (Eq 9), for what a network returns in training mode.

    Args:
        outputs: (heatmaps, auxiliary heatmaps or None), each [B, K, H, W]; None leaves L_main alone.
        auxiliary_weight: lambda; the paper does not state it.
        target, supervised, weight: as for `masked_mse`.
    """
    heatmaps, auxiliary = outputs
    loss = masked_mse(heatmaps, target, supervised, weight)
    if auxiliary is None:
        return loss
    return loss + auxiliary_weight * masked_mse(auxiliary, target, supervised, weight)
