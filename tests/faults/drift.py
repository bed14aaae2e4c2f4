"""Why person Mask R-CNN on two processes leaves the curve of one process with twice the batch, and by how much.

    python -m tests.faults.drift

One process plays both parts, on the miniature source of the detector's tests: two images a step together, or each by
itself and the mean of their gradients, which is what two processes do. The causes are taken away one after another,
then all but one; the last line compares one process with itself where it draws other proposals and anchors.
Each line: the difference of the first step's loss, and of each epoch's, in percent.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.detector import DetectorSpec, PersonDetector, build_detector
from pipeline.detection.annotated import DetectorBatch, annotated, detector_batches, read_annotated
from pipeline.learning.training.optimisation import learning_rate, make_optimizer
from tests.pipeline.detection.conftest import TRAINING, write_source

EPOCHS = 3
ALL = 1 << 20  # more than there are: nothing is drawn
PADDED = 96  # the longest side of the source's images: all are padded to the same square
CAUSES = ("batch norm", "draw of proposals", "draw of anchors", "padding", "means")
Losses = dict[str, Tensor]


def main() -> None:
    torch.set_num_threads(1)
    print(f"{'taken away':70} {'first step':>10} " + " ".join(f"{f'epoch {i + 1}':>8}" for i in range(EPOCHS)))
    rows = {", ".join(CAUSES[:count]) or "nothing": CAUSES[:count] for count in range(len(CAUSES) + 1)}
    for cause in CAUSES[:-1]:
        rows[f"all but {cause}"] = tuple(other for other in CAUSES if other != cause)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        write_source("train")
        for name, away in rows.items():
            show(name, curve(away, together=True), curve(away, together=False))
        show("nothing; one process, other draws", curve((), together=True), curve((), together=True, seed=1))
    print(f"load average {os.getloadavg()[0]:.1f}, torch {torch.__version__}")


def show(name: str, one: np.ndarray, other: np.ndarray) -> None:
    difference = 100 * (other / one - 1)
    cells = [f"{difference[0]:+9.4f}%", *(f"{value:+7.3f}%" for value in difference[1:])]
    print(f"{name:70} {' '.join(cells)}", flush=True)


def curve(away: tuple[str, ...], together: bool, seed: int = 0) -> np.ndarray:
    """The loss of the first step, then the mean of each epoch's steps; `seed` is that of the draws."""
    detector = make_detector(away)
    data = annotated([read_annotated("train", masks=True)])
    optimizer = make_optimizer(detector, TRAINING.optimizer)
    counts = counted(detector)
    losses: list[list[float]] = []
    for epoch in range(EPOCHS):
        losses.append([])
        batches = detector_batches(data, batch_size=2, flip=0.5, seed=0, epoch=epoch, start_batch=0, workers=0)
        for batch in batches:
            step = sum(map(len, losses))
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(TRAINING.optimizer, step, EPOCHS * len(batches))
            parts = [slice(None)] if together else [slice(0, 1), slice(1, 2)]
            found = [
                (part_losses(detector, batch, part, (seed, step, rank)), counts()) for rank, part in enumerate(parts)
            ]
            loss = weighted(found, evenly="means" not in away)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(detector.parameters(), float(TRAINING.optimizer.clip_norm or 0))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses[-1].append(loss.item())
    return np.array([losses[0][0], *(float(np.mean(epoch)) for epoch in losses)])


def make_detector(away: tuple[str, ...]) -> PersonDetector:
    """The tests' detector, without what is taken away; its weights do not depend on that, but for the backbone's."""
    model = TRAINING.model.model_dump(exclude={"architecture"})
    if "batch norm" in away:
        model["backbone"] = "convnext_atto"
    if "draw of proposals" in away:
        model["sampled_proposals"] = ALL
    torch.manual_seed(0)
    detector = build_detector(DetectorSpec(**model)).train()
    if "draw of anchors" in away:
        detector.rpn.fg_bg_sampler.batch_size_per_image = ALL
    if "padding" in away:
        detector.transform.size_divisible = PADDED
    return detector


def part_losses(detector: PersonDetector, batch: DetectorBatch, part: slice, draw: tuple[int, int, int]) -> Losses:
    """The five losses of a process's images; draws depend on seed, step and process, as in training."""
    torch.manual_seed(int(np.random.SeedSequence(draw).generate_state(1)[0]))
    losses: Losses = detector([image.float() / 255 for image in batch.images[part]], batch.targets[part])
    return losses


def counted(detector: PersonDetector) -> Callable[[], dict[str, int]]:
    """What each loss of the last call is a mean over: proposals, those of people for the masks, and anchors."""
    seen: dict[str, int] = {}
    select, sample = detector.roi_heads.select_training_samples, detector.rpn.fg_bg_sampler

    def selecting(*arguments: Any) -> Any:
        result = select(*arguments)
        labels = torch.cat(result[2])
        seen["loss_classifier"] = seen["loss_box_reg"] = labels.numel()
        seen["loss_mask"] = int((labels > 0).sum())
        return result

    def sampling(matched: Any) -> Any:
        positive, negative = sample(matched)
        anchors = int(torch.cat(positive).sum() + torch.cat(negative).sum())
        seen["loss_objectness"] = seen["loss_rpn_box_reg"] = anchors
        return positive, negative

    detector.roi_heads.select_training_samples = selecting
    detector.rpn.fg_bg_sampler = sampling
    return lambda: dict(seen)


def weighted(found: list[tuple[Losses, dict[str, int]]], evenly: bool) -> Tensor:
    """One loss of several processes' means: each process alike, or each by what its means are over."""
    total = torch.zeros(())
    for name in found[0][0]:
        sizes = [1 if evenly else counts[name] for _, counts in found]
        terms = [losses[name] * size / max(1, sum(sizes)) for (losses, _), size in zip(found, sizes, strict=True)]
        total = total + torch.stack(terms).sum()
    return total


if __name__ == "__main__":
    main()
