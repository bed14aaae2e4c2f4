"""Milliseconds a person of inference by part, as the paper's Table 9 divides it, for networks on this machine."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from model.network import PoseNetwork
from pipeline.evaluation.ablation import Techniques, row_settings
from pipeline.evaluation.average_precision import ten_stats
from pipeline.evaluation.people import Poses, Truth
from pipeline.learning.devices import autocast
from pipeline.learning.inference import Prediction, keypoints_of, ready
from pipeline.records.keypoints import KeypointSet
from pipeline.settings import Compute, Postprocessing
from postproc.codec import encode
from postproc.coordinates import crop_transforms
from postproc.poses import oks_nms, rescore, soft_nms

_SIGMA = 0.079
ROWS = (  # of Table 9, the baseline's; CCM's are among them
    Techniques("parabola", True, 0.4, True),
    Techniques("parabola", True, 1.0, True),
    Techniques("parabola", True, 1.0, False),
    Techniques("quarter", True, 1.0, False),
    Techniques("quarter", False, 1.0, False),
)
COLUMNS = ("Network Forward", "Map -> Coord", "Evaluation")
PEOPLE_PER_IMAGE = 4


def time_network(
    network: PoseNetwork,
    keypoints: KeypointSet,
    base: Postprocessing,
    *,
    people: int,
    repeats: int,
    compute: Compute,
    device: torch.device,
) -> dict[str, dict[str, float]]:
    """For each row of Table 9, milliseconds a person of its three parts, the median of `repeats`.

    Forward is one orientation, as in the paper; `Map -> Coord` decodes `people` poses of clean heatmaps and suppresses
    duplicates among every four; evaluation is COCO's protocol.
    """
    if keypoints.sigmas is None:  # what they are changes no time
        keypoints = replace(keypoints, sigmas=(_SIGMA,) * len(keypoints))
    network = ready(network, device)
    images = torch.zeros(people, 3, *network.spec.input_size, device=device).to(memory_format=torch.channels_last)

    def forward() -> None:
        with torch.inference_mode(), autocast(compute, device):
            network(images)

    passed = _milliseconds(forward, repeats, people, device)
    prediction, truth = _people(network, keypoints, people, device)
    figures = {}
    for row in ROWS:
        settings = row_settings(row, base)
        coordinates = _milliseconds(partial(_poses, prediction, settings, network, keypoints), repeats, people, device)
        poses = _poses(prediction, settings, network, keypoints)
        scored = _milliseconds(partial(ten_stats, truth, poses), repeats, people, device)
        figures[row.name] = dict(zip(COLUMNS, (passed, coordinates, scored), strict=True))
    return figures


def machine(device: torch.device) -> str:
    """What the figures were taken on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{os.cpu_count()} cores, {platform.machine()}, load average {os.getloadavg()[0]:.1f}"


def _people(
    network: PoseNetwork, keypoints: KeypointSet, people: int, device: torch.device
) -> tuple[Prediction, Truth]:
    """Heatmaps of people with every keypoint somewhere in the crop, and the truth that they decode to."""
    random = np.random.default_rng(0)
    height, width = network.heatmap_size
    cells = random.uniform(2, [width - 3, height - 3], (people, len(keypoints), 2))
    points = torch.from_numpy(cells).float()
    maps = encode(points, torch.ones(people, len(keypoints)), (height, width), 2.0)
    boxes = np.tile([0.0, 0.0, 96.0, 128.0], (people, 1)) + np.arange(people)[:, None] * np.array([40.0, 0, 0, 0])
    transforms = crop_transforms(boxes, network.spec.input_size)
    flipped = maps.flip(3)[:, torch.as_tensor(keypoints.mirror)]
    rows = np.arange(people)
    prediction = Prediction(rows, transforms, network.spec.input_size, maps.to(device), flipped.contiguous().to(device))
    image = rows // PEOPLE_PER_IMAGE
    exact = Postprocessing(
        flip=False, shift=0.0, gaussian=False, refinement="parabola", nms="none", nms_threshold=0.9,
        keypoint_score_threshold=0.2,
    )  # fmt: skip
    found, _ = keypoints_of(prediction, exact, network, keypoints)
    nobody = np.zeros(people, bool)
    truth = Truth(
        images=tuple(map(str, range(int(image.max()) + 1))),
        image=image,
        keypoints=np.concatenate([found, np.full((people, len(keypoints), 1), 2.0)], 2),
        boxes=boxes,
        area=boxes[:, 2] * boxes[:, 3],
        crowd=nobody,
        ignored=nobody,
        row=rows,
        names=keypoints.names,
        sigmas=np.asarray(keypoints.sigmas),
    )
    return prediction, truth


def _poses(prediction: Prediction, settings: Postprocessing, network: PoseNetwork, keypoints: KeypointSet) -> Poses:
    points, confidence = keypoints_of(prediction, settings, network, keypoints)
    scores = rescore(np.ones(len(points)), confidence, settings.keypoint_score_threshold)
    image = prediction.rows // PEOPLE_PER_IMAGE
    bounds = np.r_[np.arange(0, len(points), PEOPLE_PER_IMAGE), len(points)]
    areas = np.full(len(points), 96.0 * 128.0 * 1.25**2)
    assert keypoints.sigmas is not None
    arguments = (points, scores, areas, keypoints.sigmas, bounds, settings.nms_threshold)
    if settings.nms == "soft":
        kept, fused = soft_nms(*arguments)
        return Poses(image[kept], fused, scores[kept])
    kept = oks_nms(*arguments)
    return Poses(image[kept], points[kept], scores[kept])


def _milliseconds(call: Callable[[], Any], repeats: int, people: int, device: torch.device) -> float:
    """Median over `repeats` calls, in milliseconds a person: processor time on a CPU, wall time on a GPU."""
    call()
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    times = []
    for _ in range(repeats):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        started = clock()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(clock() - started)
    return 1000 * statistics.median(times) / people
