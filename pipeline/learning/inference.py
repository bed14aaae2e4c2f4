"""One forward pass a crop and orientation; everything after it (decoding, fusing) works on what comes out here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from model.network import PoseNetwork
from pipeline.learning.data import inference_batches
from pipeline.learning.devices import autocast, normalise
from pipeline.progress import Progress
from pipeline.records.keypoints import KeypointSet
from pipeline.settings import Compute, Decoding
from postproc.codec import decode
from postproc.coordinates import exact_flip_shift, heatmap_to_image
from postproc.heatmaps import GAUSSIAN


@dataclass(frozen=True)
class Prediction:
    """Heatmaps of a batch of people. `flipped` are the network's maps of the mirrored crops, still mirrored."""

    rows: np.ndarray  # [B], of the table
    transforms: np.ndarray  # [B, 2, 3], image pixels -> crop pixels
    crop: tuple[int, int]  # (H, W)
    heatmaps: Tensor  # [B, K, h, w]
    flipped: Tensor | None


def ready(network: PoseNetwork, device: torch.device) -> PoseNetwork:
    """The network itself, as `predict` takes it: on the device, channels last, in evaluation mode.

    For whoever loads it, once: it exchanges the weights' memory, and a thread that is computing with them then reads
    what is no longer theirs.
    """
    return network.to(device).to(memory_format=torch.channels_last).eval()


def predict(
    network: PoseNetwork,
    table: pa.Table,
    *,
    padding: float,
    batch_size: int,
    flip: bool,
    compute: Compute,
    device: torch.device,
    progress: Progress | None = None,
    description: str = "predict",
) -> Iterator[Prediction]:
    """Run the network, made `ready`, on every row's box of an `instances`, `detections` or `poses` table, by image."""
    batches = inference_batches(
        table, input_size=network.spec.input_size, padding=padding, batch_size=batch_size, workers=compute.workers
    )
    tracked = (
        progress.track(batches, total=len(batches), description=description, unit="batch") if progress else batches
    )
    for batch in tracked:
        images = normalise(batch.images, device, network)
        with torch.inference_mode(), autocast(compute, device):
            heatmaps = network(images)
            flipped = network(images.flip(3)) if flip else None
        _check_finite(heatmaps, flipped, table, batch.rows.numpy(), compute)
        yield Prediction(
            batch.rows.numpy(),
            batch.transforms.numpy(),
            network.spec.input_size,
            heatmaps.float(),
            None if flipped is None else flipped.float(),
        )


def _check_finite(
    heatmaps: Tensor, flipped: Tensor | None, table: pa.Table, rows: np.ndarray, compute: Compute
) -> None:
    """ValueError names the first person whose heatmaps hold something else than numbers."""
    finite = heatmaps.isfinite().all(1).all(1).all(1)
    if flipped is not None:
        finite = finite & flipped.isfinite().all(1).all(1).all(1)
    if bool(finite.all()):
        return
    row = int(rows[int((~finite).nonzero()[0])])
    where = ", ".join(str(table[name][row].as_py()) for name in ("file_name", "bbox"))
    lower = "" if compute.precision == "float32" else f"; compute.precision = {compute.precision!r} may be too coarse"
    raise ValueError(f"the network's heatmaps of row {row} ({where}) hold NaN or infinities: broken weights{lower}")


def flip_shift(settings: Decoding, network: PoseNetwork) -> float:
    """SSP's effective shift 1/r in heatmap cells (Eq 25); `auto` is the exact misalignment at the network's stride."""
    return exact_flip_shift(network.stride) if settings.shift == "auto" else float(settings.shift)


def keypoints_of(
    prediction: Prediction, settings: Decoding, network: PoseNetwork, keypoints: KeypointSet
) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints in image pixels [B, K, 2] and their scores [B, K], decoded as the settings say (section 5)."""
    coordinates, scores = decode(
        prediction.heatmaps,
        prediction.flipped if settings.flip else None,
        flip_pairs=keypoints.flip_indices,
        shift=flip_shift(settings, network),
        gaussian=GAUSSIAN if settings.gaussian else None,
        refine=settings.refinement,
    )
    points = heatmap_to_image(
        coordinates.double().cpu().numpy(), prediction.transforms, prediction.crop, network.heatmap_size
    )
    return points, scores.float().cpu().numpy()
