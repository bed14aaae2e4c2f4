"""Makes `golden.json`; run it only when a change is meant to change training."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pandas as pd
import pytest
import torch

from pipeline.learning.training.job import run_job
from pipeline.progress import Progress
from tests.pipeline.learning.training import conftest

if __name__ == "__main__":
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        conftest.workspace.__wrapped__(Path(tempfile.mkdtemp()), patch)  # type: ignore[attr-defined]
        run_job(conftest.job(), Progress())
        table = pd.read_csv("metrics/curves/train_joint/C-C.csv")
    kept = {name: table[name].tolist() for name in ("loss", "main_loss", "learning_rate")}
    (Path(__file__).parent / "golden.json").write_text(json.dumps(kept, indent=2) + "\n")
