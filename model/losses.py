"""What training minimises: MSE over the heatmaps that a row supervises (paper 3.3, Eq 8 and 9)."""

from __future__ import annotations

from torch import Tensor

_LITTLE = 1e-3  # of a keypoint: rows of U without any weight pull nothing


def masked_mse(
    prediction: Tensor,
    target: Tensor,
    supervised: Tensor,
    weight: Tensor | None = None,
    added: int = 0,
    added_weight: float = 1.0,
) -> Tensor:
    """Mean squared error in which unsupervised heatmaps count as zero (Eq 8).

    The mean runs over all B K H W cells, supervised or not, as in Eq 8 and in Xiao 2018 and Sun 2019: a keypoint
    weighs the same whatever else its row labels, and a row that labels little pulls little.

    Args:
        prediction, target: [B, K, H, W].
        supervised: [B, K] bool, the `supervised` column of the `instances` table.
        weight: [B, K], the weight of each keypoint, the column of that name; None weighs all by one. The divisor of
            the batch's labelled rows does not change with it.
        added: how many of the rows, the last ones, are pseudo-labelled and come on top of a labelled batch (Xie et al.,
            ICCV 2021). They are a mean of their own, divided by their own weight, beside the mean of the others: their
            number makes the labels pull no less, and keypoints that nobody is sure of make U pull no less.
        added_weight: of that second mean.

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
    if weight is not None and weight.shape != supervised.shape:
        raise ValueError(f"weight {tuple(weight.shape)}; allowed: [B, K], here {list(supervised.shape)}")
    # `where` before squaring, not a product after: what nobody supervises must not leak a NaN, nor its gradient.
    difference = (prediction.float() - target.float()).where(supervised[:, :, None, None], 0.0)
    per_map = difference.square().mean(dim=(2, 3))
    if weight is not None:
        per_map = per_map * weight.float()
    if not added:
        return per_map.mean()
    pull = supervised[-added:].float() if weight is None else weight[-added:].float() * supervised[-added:]
    unlabelled = added_weight * per_map[-added:].sum() / pull.sum().clamp(min=_LITTLE)
    return per_map[:-added].mean() + unlabelled if len(per_map) > added else unlabelled


def total_loss(
    outputs: tuple[Tensor, Tensor | None],
    target: Tensor,
    supervised: Tensor,
    auxiliary_weight: float,
    weight: Tensor | None = None,
    added: int = 0,
    added_weight: float = 1.0,
) -> Tensor:
    """L_main + lambda * L_aux (Eq 9), for what a network returns in training mode.

    Args:
        outputs: (heatmaps, auxiliary heatmaps or None), each [B, K, H, W]; None leaves L_main alone.
        auxiliary_weight: lambda; the paper does not state it.
        target, supervised, weight, added, added_weight: as for `masked_mse`.
    """
    heatmaps, auxiliary = outputs
    loss = masked_mse(heatmaps, target, supervised, weight, added, added_weight)
    if auxiliary is None:
        return loss
    return loss + auxiliary_weight * masked_mse(auxiliary, target, supervised, weight, added, added_weight)
