"""Seconds of COCO's ten stats on a set of val2017's size, beside pycocotools, and hotcoco where it is installed.

    python -m pipeline.benchmarks.evaluation [--json]

5,000 images, 11,004 annotated people of all sizes (42 % without keypoints, 1 % crowds) and 25,000 poses: noisy copies,
several of some people, and false ones. Loading is not timed. The ten stats must be equal to the last digit. Also the
CPU seconds of the partial views (21, each with an interval from 1,000 resamples), with detected boxes, the slower kind.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pipeline.benchmarks.parsing import bench_parser
from pipeline.evaluation.average_precision import ten_stats
from pipeline.evaluation.measures import partial_views
from pipeline.evaluation.people import Poses, Truth
from pipeline.records.keypoints import load_keypoint_set

IMAGES, PEOPLE, POSES = 5000, 11_004, 25_000
REPEATS = 7
RESAMPLES = 1000


def main(argv: Sequence[str] | None = None) -> int:
    parser = bench_parser("ccm bench evaluation", __doc__, "ccm bench evaluation --json")
    arguments = parser.parse_args(argv)
    figures = run()
    if arguments.json:
        print(json.dumps(figures, indent=1))
    else:
        print("\n".join(f"{name}: {value}" for name, value in figures.items()))
    return 0 if figures["ten stats equal"] else 1


def run() -> dict[str, Any]:
    """Seconds of this evaluator and of pycocotools, and whether their stats are the same numbers.

    CPU seconds are the process's own, so that other work on the machine adds less to them.
    """
    truth = _truth(np.random.default_rng(0))
    poses = _poses(np.random.default_rng(1), truth)
    reference, found = _as_coco(truth, poses)
    partial_views(truth, poses, None, 1)  # compiles
    seconds, cpu, own = _timed(lambda: list(ten_stats(truth, poses).values()), REPEATS)
    seconds_there, cpu_there, theirs = _timed(lambda: _pycocotools(reference, found), 1)
    _, cpu_views, _ = _timed(lambda: partial_views(truth, poses, None, RESAMPLES), 1)
    return {
        "images": IMAGES,
        "people": PEOPLE,
        "poses": POSES,
        "AP": own[0],
        "ten stats equal": own == theirs,
        "elapsed seconds, median": round(statistics.median(seconds), 4),
        "elapsed seconds, least": round(min(seconds), 4),
        "CPU seconds, median": round(statistics.median(cpu), 4),
        "elapsed seconds, pycocotools": round(seconds_there[0], 4),
        "CPU seconds, pycocotools": round(cpu_there[0], 4),
        **_hotcoco_figures(reference, found, theirs),
        "CPU seconds, partial views": round(cpu_views[0], 2),
        "load average": round(os.getloadavg()[0], 2),
        "cores": os.cpu_count(),
    }


def _hotcoco_figures(reference: COCO, found: COCO, stats: list[float]) -> dict[str, Any]:
    """The same of hotcoco, and how far its stats are from pycocotools'; empty where it is not installed."""
    try:
        import hotcoco
    except ImportError:
        return {}
    there = hotcoco.COCO(reference.dataset)
    results = there.load_res([{**pose, "category_id": 1} for pose in found.dataset["annotations"]])

    def work() -> list[float]:
        evaluation = hotcoco.COCOeval(there, results, "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summary_lines()  # computes the stats; `summarize` prints them
        return [float(value) for value in evaluation.stats]

    work()
    seconds, cpu, theirs = _timed(work, REPEATS)
    return {
        "elapsed seconds, hotcoco, median": round(statistics.median(seconds), 4),
        "CPU seconds, hotcoco, median": round(statistics.median(cpu), 4),
        "largest difference of a stat, hotcoco": max(abs(a - b) for a, b in zip(theirs, stats, strict=True)),
    }


def _timed(work: Callable[[], Any], repeats: int) -> tuple[list[float], list[float], Any]:
    """Elapsed and CPU seconds of each run, and what the last one gave."""
    elapsed: list[float] = []
    cpu: list[float] = []
    result = None
    for _ in range(repeats):
        started, started_cpu = time.perf_counter(), time.process_time()
        result = work()
        elapsed.append(time.perf_counter() - started)
        cpu.append(time.process_time() - started_cpu)
    return elapsed, cpu, result


def _truth(random: np.random.Generator) -> Truth:
    keypoints = load_keypoint_set("coco")
    side = np.exp(random.uniform(np.log(12), np.log(400), (PEOPLE, 2)))
    boxes = np.concatenate([random.uniform(0, 240, (PEOPLE, 2)), side], 1)
    points = np.round(boxes[:, None, :2] + random.random((PEOPLE, len(keypoints), 2)) * boxes[:, None, 2:])
    visibility = random.choice([0, 1, 2], (PEOPLE, len(keypoints), 1), p=[0.3, 0.2, 0.5])
    crowd = random.random(PEOPLE) < 0.01
    visibility[crowd | (random.random(PEOPLE) < 0.42)] = 0
    triples = np.concatenate([points, visibility], 2) * (visibility > 0)
    return Truth(
        images=tuple(f"val:{number}" for number in range(IMAGES)),
        image=np.sort(random.integers(IMAGES, size=PEOPLE)),
        keypoints=triples,
        boxes=boxes,
        area=side.prod(1) * random.uniform(0.3, 0.9, PEOPLE),
        crowd=crowd,
        ignored=(visibility == 0).all((1, 2)),
        row=np.arange(PEOPLE),
        names=keypoints.names,
        sigmas=np.asarray(keypoints.sigmas),
    )


def _poses(random: np.random.Generator, truth: Truth) -> Poses:
    person = random.integers(PEOPLE, size=POSES)
    box = truth.boxes[person]
    anywhere = box[:, None, :2] + random.random((POSES, len(truth.names), 2)) * box[:, None, 2:]
    points = np.where(truth.keypoints[person, :, 2:] > 0, truth.keypoints[person, :, :2], anywhere)
    noise = np.sqrt(truth.area[person]) * random.exponential(0.03, POSES)
    points += random.normal(size=points.shape) * noise[:, None, None]
    false = random.random(POSES) < 0.3
    return Poses(
        np.where(false, random.integers(IMAGES, size=POSES), truth.image[person]), points, random.random(POSES)
    )


def _as_coco(truth: Truth, poses: Poses) -> tuple[COCO, COCO]:
    triples = np.concatenate([poses.points, np.ones_like(poses.points[:, :, :1])], 2).reshape(POSES, -1)
    reference = COCO()
    reference.dataset = {
        "images": [{"id": number, "width": 640, "height": 480} for number in range(IMAGES)],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {
                "id": g + 1,
                "image_id": int(truth.image[g]),
                "category_id": 1,
                "bbox": truth.boxes[g].tolist(),
                "area": float(truth.area[g]),
                "iscrowd": int(truth.crowd[g]),
                "keypoints": truth.keypoints[g].reshape(-1).tolist(),
                "num_keypoints": int(truth.labelled[g]),
            }
            for g in range(PEOPLE)
        ],
    }
    results = [
        {"image_id": int(image), "category_id": 1, "keypoints": row, "score": float(score)}
        for image, row, score in zip(poses.image, triples.tolist(), poses.scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        reference.createIndex()
        return reference, reference.loadRes(results)


def _pycocotools(reference: COCO, found: COCO) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(reference, found, "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


if __name__ == "__main__":
    raise SystemExit(main())
