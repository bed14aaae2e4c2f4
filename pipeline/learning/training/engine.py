"""One training run of one keypoint network: batches in, weights and curves out; stoppable at any moment."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from model.losses import masked_mse, total_loss
from model.network import PoseNetwork
from model.weights import check_finite
from pipeline.learning.data import Batch, CropStore, pace, training_batches
from pipeline.learning.data.easy_views import EasyViews, seen_in_the_hard_view
from pipeline.learning.devices import autocast, normalise, to_train
from pipeline.learning.training.distributed import (
    in_parallel,
    mean_over_processes,
    rank,
    take_buffers,
    wait_for_all,
    world_size,
)
from pipeline.learning.training.optimisation import learning_rate, make_optimizer, update_average
from pipeline.learning.training.state import RunState
from pipeline.learning.training.validation import RANKED_BY
from pipeline.progress import Progress
from pipeline.records.artefacts import write_json
from pipeline.records.tables import keypoint_set
from pipeline.settings import Compute, Training
from postproc.codec import encode

CHECKPOINT_SECONDS = 30.0
DIVERGED = 10.0  # heatmaps lie in 0..1: a loss above is off by more than three times their peak, everywhere
_LOOK_BACK = 16  # batches between two looks at the losses, and whose rows are named when one is not as it should be
_TERMS = ("loss", "main_loss")

Validate = Callable[[nn.Module], dict[str, float]]


@dataclass
class Position:
    """Where a run stands: what `state.pt` holds beside the tensors."""

    epoch: int = 0
    batch: int = 0  # of the epoch, the next one to train
    step: int = 0  # optimiser steps done
    curves: list[dict[str, float]] = field(default_factory=list)
    best: float = -1.0
    since_best: int = 0


class Trainer:
    """Trains `network` on an `instances` table as the settings say.

    Every sample depends on (seed, epoch, position) alone, so a run that was killed and goes on ends with the weights of
    one that was not. With several processes each takes its share of every batch; `batch_size` is per process.
    """

    def __init__(
        self,
        network: PoseNetwork,
        table: pa.Table,
        settings: Training,
        compute: Compute,
        device: torch.device,
        state: RunState,
        progress: Progress,
        validate: Validate,
        sampling: np.ndarray | None = None,
        store: CropStore | None = None,
    ) -> None:
        self.network = to_train(network, compute, device)
        self.table, self.settings, self.compute, self.device = table, settings, compute, device
        self.state, self.progress, self.validate, self.sampling = state, progress, validate, sampling
        self.store = store
        if settings.sync_batch_norm and world_size() > 1 and device.type == "cuda":
            self.network = nn.SyncBatchNorm.convert_sync_batchnorm(self.network)
        self.optimizer = make_optimizer(self.network, settings.optimizer)
        self.scaler = torch.amp.GradScaler(device.type, enabled=compute.precision == "float16")
        self.average = (
            AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(settings.ema), use_buffers=True)
            if settings.ema
            else None
        )
        self.parallel = in_parallel(self.network, device)
        self.apart = getattr(self.parallel, "no_sync", nullcontext)
        if compute.compile:  # all batches are full, so once is enough
            self.parallel = torch.compile(self.parallel)  # type: ignore[assignment]
        height, width = self.network.heatmap_size
        rows, columns = self.network.spec.input_size
        self.cells = torch.tensor([width / columns, height / rows], device=device)  # of a crop pixel
        self.mirror = torch.tensor(keypoint_set(table).mirror, device=device)  # [K] each keypoint's counterpart
        self.position = Position()
        self.sums = torch.zeros(len(_TERMS), dtype=torch.float64, device=device)
        self.best_weights: dict[str, Tensor] | None = None
        self._recent: list[tuple[np.ndarray, Tensor]] = []

    def run(self) -> list[dict[str, float]]:
        """Train to the end (or until validation stops improving) and return the curves, a row an epoch.

        The network then holds the final weights: the average's with EMA, the best validated ones with `patience`.
        ValueError when the loss is no number any more or diverges; the batches' rows are written beside the state.
        """
        torch.manual_seed(self.settings.seed)
        self._restore()
        while self.position.epoch < self.settings.epochs and not self._stopped():
            with self.progress.task(f"epoch {self.position.epoch + 1}"):
                self._epoch()
        if self.best_weights is not None:
            self.network.load_state_dict(self.best_weights)
        elif self.average is not None:
            self.network.load_state_dict(self.average.module.state_dict())
        return self.position.curves

    def _stopped(self) -> bool:
        return bool(self.settings.patience) and self.position.since_best >= self.settings.patience

    def _batches(self, start: int) -> Any:
        return training_batches(
            self.table,
            input_size=self.network.spec.input_size,
            padding=self.settings.padding,
            augmentation=self.settings.augmentation,
            batch_size=self.settings.batch_size,
            unlabelled_batch_size=self.settings.unlabelled_batch_size,
            seed=self.settings.seed,
            epoch=self.position.epoch,
            start_batch=start,
            samples_per_epoch=self.settings.samples_per_epoch,
            sampling=self.sampling,
            workers=self.compute.workers,
            rank=rank(),
            world_size=world_size(),
            store=self.store,
            online=self.settings.online_weight > 0,
        )

    def _epoch(self) -> None:
        position, settings = self.position, self.settings
        batches = self._batches(position.batch)
        in_epoch = position.batch + len(batches)
        total = settings.epochs * math.ceil(in_epoch / settings.accumulate)
        self._train_mode()
        saved, started = time.monotonic(), time.monotonic()
        waited, samples, first = 0.0, 0, position.batch
        description = f"epoch {position.epoch + 1}/{settings.epochs}"
        for batch in self.progress.track(batches, total=len(batches), description=description, unit="batch"):
            last = position.batch + 1 == in_epoch
            update = last or (position.batch + 1) % settings.accumulate == 0
            self._step(batch, total, update)
            waited += batch.data_seconds
            samples += len(batch.images)
            position.batch += 1
            if position.batch % _LOOK_BACK == 0:
                self._check_numbers()
            if update and not last and self._due(saved):
                self._check_numbers()
                self._save()
                saved = time.monotonic()
        self._check_numbers()
        wait_for_all(f"the end of {description}")
        self.sums = mean_over_processes(self.sums)
        seconds = time.monotonic() - started
        self._finish_epoch(in_epoch, pace(samples * world_size(), in_epoch - first, seconds, waited))

    def _due(self, saved: float) -> bool:
        """Whether to save, after an optimiser's step: between two, each process has gradients of its own.

        So it has sums of the losses. Several processes therefore save at set batches alone, where they share them.
        """
        if world_size() > 1:
            before = self.position.batch - self.settings.accumulate
            if self.position.batch // _LOOK_BACK == before // _LOOK_BACK:
                return False
            self.sums = mean_over_processes(self.sums)
        return time.monotonic() - saved > CHECKPOINT_SECONDS

    def _train_mode(self) -> None:
        self.network.train()
        if self.settings.freeze_batch_norm:
            for module in self.network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def _step(self, batch: Batch, total: int, update: bool) -> None:
        settings, position = self.settings, self.position
        rate = learning_rate(settings.optimizer, position.step, total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        images = normalise(batch.images, self.device, self.network)
        target, supervised = self._targets(batch), self._moved(batch.supervised)
        weight, added = self._moved(batch.weight), (batch.added, 1.0)
        if batch.easy is not None:
            target[-batch.added :] = self._taught(batch.easy)
            supervised[-batch.added :], weight[-batch.added :] = True, 1.0
            added = batch.added, self._online_weight(total)
        with self._gradients_shared(update):
            with autocast(self.compute, self.device):
                outputs = self._forward(images)
            loss = total_loss(outputs, target, supervised, settings.auxiliary_weight, weight, *added)
            self.scaler.scale(loss / settings.accumulate).backward()
        with torch.no_grad():
            main = masked_mse(outputs[0], target, supervised, weight, *added)
            self.sums += torch.stack([loss, main]).double()
        self._recent = [*self._recent[1 - _LOOK_BACK :], (batch.rows.numpy(), loss.detach())]
        if not update:
            return
        if settings.optimizer.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), settings.optimizer.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            update_average(self.average, self.network)
        position.step += 1

    def _gradients_shared(self, update: bool) -> AbstractContextManager[Any]:
        """Backward inside adds to the processes' mean of the gradients only where the optimiser is going to step."""
        return nullcontext() if update else self.apart()

    def _moved(self, values: Tensor) -> Tensor:
        return values.to(self.device, non_blocking=True)

    def _forward(self, images: Tensor) -> Any:
        try:
            return self.parallel(images)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise ValueError(
                f"batch_size = {self.settings.batch_size}: batch normalisation has nothing to take a mean of; allowed: "
                "2 or more, or freeze_batch_norm: true"
            ) from error

    def _targets(self, batch: Batch) -> Tensor:
        keypoints = self._moved(batch.keypoints) * self.cells
        return encode(keypoints, self._moved(batch.present), self.network.heatmap_size, self.settings.sigma)

    @torch.no_grad()
    def _taught(self, easy: EasyViews) -> Tensor:
        """The average's heatmaps [B, K, h, w] of the easy views, where they lie in the hard ones."""
        assert self.average is not None  # the settings' checks
        teacher = self.average.module.eval()
        with autocast(self.compute, self.device):
            heatmaps = teacher(normalise(easy.images, self.device, self.network))
        return seen_in_the_hard_view(heatmaps.float(), easy, self.mirror, self.network.stride)

    def _online_weight(self, total: int) -> float:
        """Rises from 0: the average of the first steps knows nothing."""
        ramp = self.settings.online_ramp * total
        return self.settings.online_weight * min(1.0, self.position.step / ramp if ramp else 1.0)

    def _check_numbers(self) -> None:
        """ValueError when a recent loss is no number or has left all bounds; its batches' rows go into a file."""
        if not self._recent:
            return
        losses = torch.stack([loss for _, loss in self._recent]).tolist()
        bad = [not loss <= DIVERGED for loss in losses]
        if not any(bad):
            return
        ids = self.table["instance_id"]
        named = [
            [ids[int(row)].as_py() for row in rows]
            for (rows, _), is_bad in zip(self._recent, bad, strict=True)
            if is_bad
        ]
        path = self.state.folder / "diverged.json"
        write_json(path, {"epoch": self.position.epoch, "step": self.position.step, "batches": named})
        first = losses[bad.index(True)]
        what = f"has grown to {first:.4g}" if math.isfinite(first) else "is no number"
        raise ValueError(
            f"the loss {what} at step {self.position.step} (epoch {self.position.epoch + 1}); the instances of "
            f"the batches are in {path}. Lower optimizer.learning_rate, set optimizer.clip_norm, or use float32"
        )

    def _finish_epoch(self, batches: int, speed: str) -> None:
        position, settings = self.position, self.settings
        position.epoch += 1
        position.batch = 0
        row: dict[str, float] = {"epoch": position.epoch, "step": position.step}
        row["learning_rate"] = self.optimizer.param_groups[0]["lr"]
        row |= {name: total / max(1, batches) for name, total in zip(_TERMS, self.sums.tolist(), strict=True)}
        self.sums.zero_()
        if position.epoch % settings.validate_every == 0 or position.epoch == settings.epochs:
            row |= self._validated()
        position.curves.append(row)
        if rank() == 0:
            figures = ", ".join(f"{k} {v:.4g}" for k, v in row.items() if k not in ("epoch", "step"))
            self.progress.say(f"epoch {position.epoch}: {figures} ({speed})")
        self._save()

    def _validated(self) -> dict[str, float]:
        """Validate the weights that would be kept, and remember them when they are the best so far."""
        network = self.average.module if self.average is not None else self.network
        take_buffers(network)
        figures = self.validate(network)
        self._train_mode()
        if figures and self.settings.patience:
            score = next(figures[name] for name in RANKED_BY if name in figures)
            self.position.since_best += 1
            if score > self.position.best:
                self.position.best, self.position.since_best = score, 0
                self.best_weights = {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}
        return figures

    def _save(self) -> None:
        if rank() == 0:
            self.state.save(self._content())

    def _content(self) -> dict[str, Any]:
        """All that the rest of the run depends on."""
        generators = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            generators["cuda"] = torch.cuda.get_rng_state(self.device)
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "best_weights": self.best_weights,
            "sums": self.sums,
            "position": vars(self.position),
            "generators": generators,
        }

    def _restore(self) -> None:
        if self.state.resume(self._content, self._take, self.progress) and rank() == 0:
            self.progress.say(f"going on at epoch {self.position.epoch + 1}, batch {self.position.batch + 1}")

    def _take(self, saved: Mapping[str, Any]) -> None:
        """Go on from such a `_content`."""
        self.network.load_state_dict(saved["network"])
        check_finite(saved["network"], "network")
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scaler.load_state_dict(saved["scaler"])
        if self.average is not None:
            self.average.load_state_dict(saved["average"])
        self.best_weights = saved["best_weights"]
        self.optimizer.zero_grad(set_to_none=True)
        self.sums.copy_(saved["sums"])
        self.position = Position(**saved["position"])
        if not 0 <= self.position.epoch == len(self.position.curves) <= self.settings.epochs:
            raise ValueError(f"it stands at epoch {self.position.epoch} of {self.settings.epochs}")
        torch.set_rng_state(saved["generators"]["cpu"])
        if self.device.type == "cuda" and "cuda" in saved["generators"]:
            torch.cuda.set_rng_state(saved["generators"]["cuda"], self.device)
