"""Which GPU a Dask worker uses."""

from __future__ import annotations

import os
from typing import Any

from distributed import WorkerPlugin


class PinGpu(WorkerPlugin):
    """Worker i of a machine sees GPU i (modulo their number) only, unless its environment already says which.

    Workers of a cluster that is started here are named 0, 1, ...; name yours so (`dask worker --name 0`).
    """

    name = "pin-gpu"

    def setup(self, worker: Any) -> None:
        name = str(worker.name)
        if "CUDA_VISIBLE_DEVICES" in os.environ or not name.isdigit():
            return
        import torch

        if devices := torch.cuda.device_count():  # asks the driver without making this process a user of the GPU
            os.environ["CUDA_VISIBLE_DEVICES"] = str(int(name) % devices)
