"""A stage that says a line and writes a file that depends on params and item only."""

import sys
from pathlib import Path

from pipeline.artefacts import written


def run(params, progress, item=None):
    with progress.task("load"):
        progress.say(f"quick {item}")
    with progress.task("write"), written(Path("out") / f"quick-{item}.txt") as temporary:
        temporary.write_text(f"{item}: {params.train_joint.training.epochs} epochs\n")
    return {"rows": 12, "share": 0.25, "imported": [name for name in ("prefect", "torch") if name in sys.modules]}
