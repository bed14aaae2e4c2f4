"""One training run of the person detector: stoppable at any moment, and the same weights whether or not it was."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.detector import PersonDetector
from model.weights import check_finite
from pipeline.detection.annotated import AnnotatedImages, DetectorBatch, detector_batches
from pipeline.learning.data.feed import Feed, pace
from pipeline.learning.devices import autocast
from pipeline.learning.training.distributed import (
    in_parallel,
    mean_over_processes,
    rank,
    take_buffers,
    wait_for_all,
    world_size,
)
from pipeline.learning.training.optimisation import learning_rate, make_optimizer
from pipeline.learning.training.state import RunState
from pipeline.progress import Progress
from pipeline.records.artefacts import write_json
from pipeline.settings import Compute, DetectorTraining

CHECKPOINT_SECONDS = 30.0
_LOOK_BACK = 16  # batches between two looks at the losses of a GPU
DIVERGED = 1e3  # the five losses together are a few units at the start of training
LOSSES = ("loss_classifier", "loss_box_reg", "loss_mask", "loss_objectness", "loss_rpn_box_reg")  # torchvision's names

Validate = Callable[[PersonDetector], dict[str, float]]


class DetectorTrainer:
    """Trains a detector on annotated images as the settings say.

    A batch and the proposals drawn from it depend on (seed, step) alone, so a run that was killed and goes on ends
    with the weights of one that was not. With several processes each takes its share; `batch_size` is per process.
    """

    def __init__(
        self,
        detector: PersonDetector,
        data: AnnotatedImages,
        settings: DetectorTraining,
        compute: Compute,
        device: torch.device,
        state: RunState,
        progress: Progress,
        validate: Validate,
    ) -> None:
        self.detector = detector.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.data, self.settings, self.compute, self.device = data, settings, compute, device
        self.state, self.progress, self.validate = state, progress, validate
        self.optimizer = make_optimizer(self.detector, settings.optimizer)
        self.scaler = torch.amp.GradScaler(device.type, enabled=compute.precision == "float16")
        self.parallel = in_parallel(self.detector, device)
        self.losses = LOSSES if detector.spec.masks else tuple(name for name in LOSSES if name != "loss_mask")
        self.epoch, self.batch, self.step = 0, 0, 0
        self.sums = torch.zeros(len(self.losses), dtype=torch.float64, device=device)
        self.curves: list[dict[str, float]] = []
        self._recent: list[tuple[int, np.ndarray, Tensor]] = []  # step, images, loss

    def run(self) -> list[dict[str, float]]:
        """Train to the end and return the curves, a row an epoch.

        ValueError when the loss is no longer a number, or diverges; the batch's images are written beside the state.
        """
        self._restore()
        while self.epoch < self.settings.epochs:
            with self.progress.task(f"epoch {self.epoch + 1}"):
                self._epoch()
        return self.curves

    def _batches(self) -> Feed[DetectorBatch]:
        return detector_batches(
            self.data,
            batch_size=self.settings.batch_size,
            flip=self.settings.flip,
            seed=self.settings.seed,
            epoch=self.epoch,
            start_batch=self.batch,
            workers=self.compute.workers,
            rank=rank(),
            world_size=world_size(),
        )

    def _epoch(self) -> None:
        batches = self._batches()
        in_epoch = self.batch + len(batches)
        self.detector.train()
        saved, started, waited, images, first = time.monotonic(), time.monotonic(), 0.0, 0, self.batch
        description = f"epoch {self.epoch + 1}/{self.settings.epochs}"
        for batch in self.progress.track(batches, total=len(batches), description=description, unit="batch"):
            self._step(batch, total=self.settings.epochs * in_epoch)
            self.batch += 1
            waited, images = waited + batch.data_seconds, images + len(batch.images) * world_size()
            if self.device.type == "cpu" or self.batch % _LOOK_BACK == 0 or self.batch == in_epoch:
                self._check_numbers()
            if self._due(saved):
                self._check_numbers()
                mean = self.sums.sum().item() / self.batch
                self.progress.say(f"{description}, batch {self.batch} of {in_epoch}: loss {mean:.4g}")
                self._save()
                saved = time.monotonic()
        wait_for_all(f"the end of {description}")
        self.sums = mean_over_processes(self.sums)
        seconds = time.monotonic() - started
        self._finish_epoch(in_epoch, pace(images, in_epoch - first, seconds, waited))

    def _due(self, saved: float) -> bool:
        """Whether to save. Several processes do at set batches alone, where they share their sums of the losses."""
        if world_size() > 1:
            if self.batch % _LOOK_BACK:
                return False
            self.sums = mean_over_processes(self.sums)
        return time.monotonic() - saved > CHECKPOINT_SECONDS

    def _step(self, batch: DetectorBatch, total: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.settings.optimizer, self.step, total)
        images = [image.to(self.device, non_blocking=True).float() / 255 for image in batch.images]
        targets = [
            {name: value.to(self.device, non_blocking=True) for name, value in target.items()}
            for target in batch.targets
        ]
        # torchvision draws the anchors and proposals that it trains on.
        torch.manual_seed(int(np.random.SeedSequence([self.settings.seed, self.step, rank()]).generate_state(1)[0]))
        with autocast(self.compute, self.device):
            losses: dict[str, Tensor] = self.parallel(images, targets)
            loss = torch.stack([value.float() for value in losses.values()]).sum()
        self.scaler.scale(loss).backward()
        if self.settings.optimizer.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.detector.parameters(), self.settings.optimizer.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            self.sums += torch.stack([losses[name].double() for name in self.losses])
        self._recent.append((self.step, batch.rows, loss.detach()))
        self.step += 1

    def _check_numbers(self) -> None:
        """ValueError at the first loss since the last look that is no number or has left all bounds.

        A look waits for the GPU, so there is none at every step; nothing is saved without one. The batch's images go
        into a file.
        """
        losses = torch.stack([loss for *_, loss in self._recent]).tolist() if self._recent else []
        recent, self._recent = self._recent, []
        for (step, rows, _), loss in zip(recent, losses, strict=True):
            if not loss <= DIVERGED:
                raise self._diverged(step, rows, loss)

    def _diverged(self, step: int, rows: np.ndarray, loss: float) -> ValueError:
        path = self.state.folder / "diverged.json"
        images = [self.data.ids[int(row)] for row in rows]
        write_json(path, {"epoch": self.epoch, "step": step, "images": images})
        what = f"has grown to {loss:.4g}" if math.isfinite(loss) else "is no number"
        return ValueError(
            f"the detector's loss {what} at step {step} (epoch {self.epoch + 1}); the batch's images are in "
            f"{path}. Lower train_detector.optimizer.learning_rate, set its clip_norm, or use float32"
        )

    def _finish_epoch(self, batches: int, speed: str) -> None:
        self.epoch, self.batch = self.epoch + 1, 0
        row: dict[str, float] = {"epoch": self.epoch, "step": self.step}
        row["learning_rate"] = self.optimizer.param_groups[0]["lr"]
        row["loss"] = self.sums.sum().item() / batches
        row |= {name: total / batches for name, total in zip(self.losses, self.sums.tolist(), strict=True)}
        self.sums.zero_()
        if self.epoch % self.settings.validate_every == 0 or self.epoch == self.settings.epochs:
            take_buffers(self.detector)
            row |= {f"val_{name}": value for name, value in self.validate(self.detector).items()}
        self.curves.append(row)
        if rank() == 0:
            figures_text = ", ".join(f"{k} {v:.4g}" for k, v in row.items() if k not in ("epoch", "step"))
            self.progress.say(f"epoch {self.epoch}: {figures_text} ({speed})")
        self._save()

    def _save(self) -> None:
        if rank() == 0:
            self.state.save(self._content())

    def _content(self) -> dict[str, Any]:
        """All that the rest of the run depends on."""
        return {
            "detector": self.detector.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "sums": self.sums,
            "position": [self.epoch, self.batch, self.step],
            "curves": self.curves,
        }

    def _restore(self) -> None:
        if self.state.resume(self._content, self._take, self.progress) and rank() == 0:
            self.progress.say(f"going on at epoch {self.epoch + 1}, batch {self.batch + 1}")

    def _take(self, saved: Mapping[str, Any]) -> None:
        """Go on from such a `_content`."""
        self.detector.load_state_dict(saved["detector"])
        check_finite(saved["detector"], "detector")
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scaler.load_state_dict(saved["scaler"])
        self.sums.copy_(saved["sums"])
        self.epoch, self.batch, self.step = saved["position"]
        self.curves = saved["curves"]
        if not 0 <= self.epoch == len(self.curves) <= self.settings.epochs:
            raise ValueError(f"it stands at epoch {self.epoch} of {self.settings.epochs}")
