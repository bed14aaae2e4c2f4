"""How long finding people's keypoints in pictures takes here, by part, and how much of it the networks alone would.

    ccm bench predict [--model FOLDER --detector FOLDER] [--pictures FOLDER] [--video [--minutes 5]] [--json]

Processor time of one thread, the median over rounds. `together` is everything from the file to the drawn picture, as
`ccm predict` does it; `networks alone` is the detector on decoded pictures and the keypoint network, flip test
included, on crops that are cut already, the same ones, timed in turn with it. With `--video` also wall time: frames a
second of a rendered video of 640x480 with two people, read, looked at, drawn and encoded, and the memory that the
process holds after a tenth, half and all of it; `--minutes` is the video's length at 25 frames a second.
"""

from __future__ import annotations

import io
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import torch

from pipeline.benchmarks.parsing import bench_parser
from pipeline.learning.data.batches import cut
from pipeline.learning.devices import normalise, one_thread
from pipeline.learning.inference import Prediction, keypoints_of
from pipeline.predict.drawing import draw
from pipeline.predict.pictures import Picture, read_picture
from pipeline.predict.predictor import Predictor
from pipeline.predict.project import project_predictor
from pipeline.predict.run import LEAST_IN_VIDEO, Wanted, run
from pipeline.predict.sources import files_of
from pipeline.predict.video import VideoWriter
from pipeline.settings import load_params
from postproc.coordinates import crop_transforms
from postproc.poses import rescore

RATE = 25.0  # the video's frames a second
PARTS = ("decode", "detect", "crop", "network", "decoding", "draw")


def main(argv: Sequence[str] | None = None) -> int:
    """Print conditions and figures."""
    parser = bench_parser("ccm bench predict", __doc__, "ccm bench predict --pictures data/built-in/coco/val2017")
    parser.add_argument("--model", metavar="FOLDER", help="a keypoint model; default: the best evaluated one")
    parser.add_argument("--detector", metavar="FOLDER", help="a person detector; default: the project's")
    parser.add_argument("--pictures", metavar="FOLDER", help="default: the first evaluation set's images")
    parser.add_argument("--rounds", type=int, default=3, help="times that each is measured; default: 3")
    parser.add_argument("--most", type=int, default=40, help="pictures; default: 40")
    parser.add_argument("--video", action="store_true", help="a video too: frames a second, drawn and encoded")
    parser.add_argument("--minutes", type=float, default=4 / 60, help="the video's length; default: four seconds")
    arguments = parser.parse_args(argv)
    if not 1 / 60 <= arguments.minutes <= 600:
        parser.error(f"--minutes {arguments.minutes:g}; allowed: a second (0.017) to ten hours (600)")
    params = load_params()
    predictor = project_predictor(params, arguments.model, arguments.detector)
    folder = arguments.pictures or params.data.sources[params.evaluate.sets[0]].images
    paths = [path for path, _ in files_of([folder])][: arguments.most]
    figures = measure(predictor, paths, arguments.rounds)
    if arguments.video:
        figures |= video_figures(predictor, paths, round(60 * RATE * arguments.minutes))
    about = {
        "cores": os.cpu_count(),
        "load average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pictures": len(paths),
        "input": "x".join(map(str, predictor.network.spec.input_size)),
        "flip test": predictor.settings.flip,
    }
    if arguments.json:
        print(json.dumps({"conditions": about, "figures": figures}, indent=1))
    else:
        for name, value in {**about, **figures}.items():
            print(f"{name:44} {f'{value:.3f}' if isinstance(value, float) else value}")
    return 0


def measure(predictor: Predictor, paths: Sequence[Path], rounds: int) -> dict[str, Any]:
    """Milliseconds a picture by part, of all together, and of the networks alone, with the ratio of the two."""
    with one_thread():
        people = sum(len(predictor.people_of(path)) for path in paths)  # also warms up
        ready = [_prepared(predictor, path) for path in paths]
        together, alone = [], []
        for _ in range(rounds):
            together.append(_seconds(lambda: [_whole(predictor, path) for path in paths]))
            alone.append(_seconds(lambda: _networks(predictor, ready)))
        parts = _parts(predictor, paths)
    count = len(paths)
    return {
        "people": people,
        "boxes a picture": sum(len(crops) for _, crops in ready) / count,
        **{f"{name}, ms a picture": 1e3 * parts[name] / count for name in PARTS},
        "together, ms a picture": 1e3 * statistics.median(together) / count,
        "networks alone, ms a picture": 1e3 * statistics.median(alone) / count,
        "together / networks alone": statistics.median(a / b for a, b in zip(together, alone, strict=True)),
    }


def _seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _whole(predictor: Predictor, path: Path) -> np.ndarray:
    people = predictor.people_of(path)
    return draw(read_picture(path, predictor.stored).pixels, people, predictor.keypoints)


def _prepared(predictor: Predictor, path: Path) -> tuple[Picture, np.ndarray]:
    picture = read_picture(path, predictor.stored)
    boxes, _ = predictor.boxes_of(picture)
    transforms = crop_transforms(boxes, predictor.network.spec.input_size, predictor.padding)
    return picture, cut([str(path)] * len(boxes), transforms, predictor.network.spec.input_size)


def _networks(predictor: Predictor, ready: Sequence[tuple[Picture, np.ndarray]]) -> None:
    for picture, crops in ready:
        predictor.boxes_of(picture)
        if not len(crops):
            continue
        images = normalise(torch.from_numpy(crops).permute(0, 3, 1, 2), predictor.device, predictor.network)
        with torch.inference_mode():
            predictor.network(images)
            if predictor.settings.flip:
                predictor.network(images.flip(3))


def _parts(predictor: Predictor, paths: Sequence[Path]) -> dict[str, float]:
    """Seconds of processor time by part, one picture after the other, part by part."""
    spent = dict.fromkeys(PARTS, 0.0)
    network, size = predictor.network, predictor.network.spec.input_size
    for path in paths:
        marks = [time.process_time()]
        picture = read_picture(path, predictor.stored)
        pixels = picture.pixels
        marks.append(time.process_time())
        boxes, box_scores = predictor.boxes_of(picture)
        marks.append(time.process_time())
        if not len(boxes):
            continue
        transforms = crop_transforms(boxes, size, predictor.padding)
        crops = cut([str(path)] * len(boxes), transforms, size)
        marks.append(time.process_time())
        images = normalise(torch.from_numpy(crops).permute(0, 3, 1, 2), predictor.device, network)
        with torch.inference_mode():
            maps = network(images).float()
            flipped = network(images.flip(3)).float() if predictor.settings.flip else None
        marks.append(time.process_time())
        prediction = Prediction(np.arange(len(crops)), transforms, size, maps, flipped)
        _, scores = keypoints_of(prediction, predictor.settings, network, predictor.keypoints)
        rescore(box_scores, scores, predictor.settings.keypoint_score_threshold)
        marks.append(time.process_time())
        people = predictor.people_of(path, boxes)
        drawing = time.process_time()
        draw(pixels, people, predictor.keypoints)
        spent["draw"] += time.process_time() - drawing
        for name, start, stop in zip(PARTS, marks, marks[1:], strict=False):
            spent[name] += stop - start
    return spent


def video_figures(predictor: Predictor, paths: Sequence[Path], frames: int) -> dict[str, Any]:
    """Frames a second of a video with two people, on all cores, and the process's memory on the way."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.mp4"
        _write_video(predictor, source, paths, frames)
        watch = _Memory(frames)
        started = time.monotonic()
        run(predictor, [str(source)], Wanted(drawn=Path(folder) / "drawn", lines=True), watch)
        spent = time.monotonic() - started
    return {"video, frames": frames, "video, frames a second": frames / spent, **watch.figures}


class _Memory(io.StringIO):
    """Takes a line a frame, and notes at some of them what the process holds."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.marks = {frames // 10: "a tenth", frames // 2: "half", frames - 1: "all"}
        self.lines = 0
        self.figures: dict[str, Any] = {}

    def write(self, text: str) -> int:
        if text.startswith("{"):
            if self.lines in self.marks:
                name = f"memory after {self.marks[self.lines]} of the video, MB"
                self.figures[name] = psutil.Process().memory_info().rss / 1e6
            self.lines += 1
        return len(text)


def _write_video(predictor: Predictor, path: Path, pictures: Sequence[Path], frames: int) -> None:
    """A pan over the picture in which the detector finds two people, or nearly."""
    counted = {each: len(predictor.people_of(each, least=LEAST_IN_VIDEO)) for each in pictures}
    chosen = min(counted, key=lambda each: abs(counted[each] - 2))
    still = cv2.resize(read_picture(chosen, predictor.stored).pixels, (660, 480))
    with VideoWriter(path, RATE) as writer:
        for number in range(frames):
            left = round(10 + 9 * np.sin(number / 8))
            writer.write(np.ascontiguousarray(still[:, left : left + 640]))


if __name__ == "__main__":
    sys.exit(main())
