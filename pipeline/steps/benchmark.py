"""Parameters and MACs of the paper's networks (Table 10), milliseconds a person by part for ours (Table 9)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from model.network import PoseNetwork, build
from model.spec import ModelSpec
from pipeline import layout
from pipeline.benchmarks.inference import machine, time_network
from pipeline.benchmarks.networks import PAPER_SIZES, size_of
from pipeline.evaluation.sets import load_model, network_text
from pipeline.learning.devices import pick_device
from pipeline.progress import Progress
from pipeline.records.artefacts import write_json
from pipeline.settings import Params

MIXERS_FOR_BASELINE = (256, 256, 256)  # Xiao 2018


def run(params: Params, progress: Progress, item: str | None = None) -> dict[str, Any]:
    """Count our networks, beside the paper's; time ours beside a Simple Baseline on the same backbone."""
    device = pick_device(params.compute.device)
    models: dict[str, dict[str, int]] = dict(PAPER_SIZES)
    ours = {strategy: load_model(params, strategy) for strategy in params.strategies}
    keypoints = next(iter(ours.values())).keypoints
    for strategy, model in ours.items():
        models[strategy] = size_of(model.network.spec, len(keypoints))
    ccm = next(iter(ours.values())).network
    times: dict[str, dict[str, Any]] = {}
    for name, network in (("Baseline", baseline_of(ccm, len(keypoints))), ("CCM", ccm)):
        with progress.task(f"time {name}"):
            rows = time_network(
                network,
                keypoints,
                params.evaluate.postprocessing,
                people=params.benchmark.people,
                repeats=params.benchmark.repeats,
                compute=params.compute,
                device=device,
            )
            times[name] = {"network": network_text(network.spec), "rows": rows}
    write_json(layout.figures("benchmark"), {"models": models})
    # Beside the output: no two runs take the same time, and what DVC hashes is the same each time it is made.
    write_json(layout.figures(layout.TIMES), {"machine": machine(device), "times": times})
    progress.table("times", [{"model": m, "row": r, **f} for m, t in times.items() for r, f in t["rows"].items()])
    first = next(iter(ours))
    return {
        "parameters": models[first]["parameters"],
        "macs": models[first]["macs"],
        **{f"ms a person: {part}": ms for part, ms in next(iter(times["CCM"]["rows"].values())).items()},
    }


def baseline_of(network: PoseNetwork, keypoints: int) -> PoseNetwork:
    """A Simple Baseline (Xiao 2018) with untrained weights on the same backbone and input: only its speed counts."""
    spec = replace(
        network.spec,
        architecture="simple_baseline",
        mixers=MIXERS_FOR_BASELINE,
        dilated=False,
        auxiliary=False,
        weights="none",
    )
    with torch.random.fork_rng():
        return build(ModelSpec.parse(spec), keypoints)
