"""A stage that says a line, writes a file that depends on params and item only, and keeps state as training does."""

import sys
from pathlib import Path

from pipeline import layout
from pipeline.records.artefacts import written


def run(params, progress, item=None):
    with progress.task("load"):
        progress.say(f"quick {item}")
    with progress.task("write"), written(Path("out") / f"quick-{item}.txt") as temporary:
        temporary.write_text(f"{item}: {params.train_joint.training.epochs} epochs\n")
    with written(layout.training_state() / f"fake_quick/{params.train_joint.training.epochs}") as temporary:
        temporary.write_text("done")
    return {"rows": 12, "share": 0.25, "imported": [name for name in ("prefect", "torch") if name in sys.modules]}
