"""What `ccm predict` does: looks at pictures and videos, and writes what was asked for."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

import cv2
import numpy as np
import orjson
from tqdm import tqdm

from pipeline.predict.boxes import GivenBoxes
from pipeline.predict.drawing import draw
from pipeline.predict.people import People
from pipeline.predict.pictures import read_picture
from pipeline.predict.predictor import Predictor
from pipeline.predict.sources import files_of, is_video
from pipeline.predict.tracking import OneEuro, Tracker
from pipeline.predict.video import VideoReader, VideoWriter
from pipeline.records.artefacts import written
from pipeline.records.tables import TableInfo, table_from, write_table

SOURCE = "predict"
ON_A_SHEET = 12
WHOLE = 0.9  # share of the frames that a video says it has: where it says none, their number is an estimate
LEAST_IN_VIDEO = 0.3  # boxes scored lower flicker from frame to frame, and cost as much as the others


@dataclass(frozen=True)
class Wanted:
    """What is written.

    `drawn` is a folder for pictures and videos, `sheet` a file for the first pictures as one; `category` goes into
    COCO's results.
    """

    drawn: Path | None = None
    sheet: Path | None = None
    coco: Path | None = None
    table: Path | None = None
    lines: bool = False
    category: int = 1
    smooth: bool = False
    least_box: float | None = (
        None  # boxes scored lower are passed over; None: all in pictures, `LEAST_IN_VIDEO` in videos
    )
    boxes: GivenBoxes | None = None  # None: the predictor's


@dataclass
class _Collected:
    """What goes into the files that are written at the end."""

    names: list[str] = field(default_factory=list)
    people: list[People] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    sheet: list[np.ndarray] = field(default_factory=list)


def run(predictor: Predictor, sources: Sequence[str], wanted: Wanted, out: TextIO = sys.stdout) -> int:
    """Look at every picture and video; 1 when something could not be read, which is named on stderr, else 0."""
    files = files_of(sources)
    _keep_originals(files, wanted)
    pictures = [(path, name) for path, name in files if not is_video(path)]
    collected = _Collected()

    def fault(message: str) -> None:
        collected.faults.append(message)
        tqdm.write(f"ccm: {message}", file=sys.stderr)

    def keep(name: str, people: People) -> None:
        if wanted.lines:
            print(json.dumps(people.line(name)), file=out, flush=True)
        if wanted.coco or wanted.table:
            collected.names.append(name)
            collected.people.append(people)

    try:
        _pictures(predictor, pictures, wanted, keep, fault, collected.sheet)
        for path, name in files:
            if is_video(path):
                try:
                    _video(predictor, path, name, wanted, keep)
                except ValueError as error:
                    fault(str(error))
    finally:  # also when interrupted: what was found so far
        _write(predictor, collected, wanted, _root(files))
    return int(bool(collected.faults))


def _root(files: Sequence[tuple[Path, Path]]) -> str:
    """The folder that all names are below; several sources have none in common."""
    roots = {Path(*path.parts[: len(path.parts) - len(name.parts)]) for path, name in files}
    return str(roots.pop()) if len(roots) == 1 else "."


def _pictures(
    predictor: Predictor,
    pictures: Sequence[tuple[Path, Path]],
    wanted: Wanted,
    keep: Callable[[str, People], None],
    fault: Callable[[str], None],
    sheet: list[np.ndarray],
) -> None:
    asked = ((path, _given(path, wanted)) for path, _ in pictures)
    found = predictor.stream(asked, least=wanted.least_box or 0.0)
    for (path, name), people in zip(
        pictures,
        tqdm(found, total=len(pictures), desc="predict", unit="picture", disable=len(pictures) < 2),
        strict=True,
    ):
        if isinstance(people, ValueError):
            text = str(people)
            fault(text if str(path) in text else f"{path}: {text}")
            continue
        keep(name.as_posix(), people)
        first = wanted.sheet is not None and len(sheet) < ON_A_SHEET
        if wanted.drawn is None and not first:
            continue
        drawn = draw(read_picture(path, predictor.stored).pixels, people, predictor.keypoints)
        if first:
            sheet.append(drawn)
        if wanted.drawn is not None:
            save_picture(wanted.drawn / name, drawn)


def _given(path: Path, wanted: Wanted) -> np.ndarray | None:
    if wanted.boxes is None:
        return None
    return wanted.boxes.of(path)


def _keep_originals(files: Sequence[tuple[Path, Path]], wanted: Wanted) -> None:
    """ValueError where an output would replace what is looked at."""
    outputs = [wanted.sheet, wanted.coco, wanted.table]
    if wanted.drawn is not None:
        outputs += [drawn_name(wanted.drawn / name, is_video(path)) for path, name in files]
    looked_at = {os.path.realpath(path): path for path, _ in files}
    for output in outputs:
        if output is not None and (path := looked_at.get(os.path.realpath(output))) is not None:
            raise ValueError(f"{output}: what is looked at would be written over; choose another place than {path}")


def drawn_name(path: Path, video: bool) -> Path:
    """The name that a file gets drawn: where its kind is not written, another ending stands behind its own."""
    kinds, ending = ((".mp4",), ".mp4") if video else ((".jpg", ".jpeg", ".png", ".webp"), ".png")
    return path if path.suffix.lower() in kinds else path.with_name(f"{path.name}{ending}")


def save_picture(path: Path, pixels: np.ndarray) -> None:
    """Write a drawn picture [H, W, 3] RGB, as PNG, WebP or JPEG as its name says, whole or not at all.

    Any other name gets `.png` behind it, so that a.bmp and a.png stay apart.
    """
    path = drawn_name(path, video=False)
    suffix = path.suffix.lower()
    quality = {".png": [], ".webp": [cv2.IMWRITE_WEBP_QUALITY, 90]}.get(suffix, [cv2.IMWRITE_JPEG_QUALITY, 88])
    ok, data = cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), quality)
    assert ok
    with written(path) as temporary:
        temporary.write_bytes(data.tobytes())


def tiled(pictures: Sequence[np.ndarray], columns: int = 4, height: int = 180) -> np.ndarray:
    """Pictures [H, W, 3] beside and below each other, each fitted into a cell of 4 to 3."""
    width = height * 4 // 3
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * height, columns * width, 3), 32, np.uint8)
    for number, picture in enumerate(pictures):
        scale = min(height / picture.shape[0], width / picture.shape[1])
        size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        top = number // columns * height + (height - size[1]) // 2
        left = number % columns * width + (width - size[0]) // 2
        sheet[top : top + size[1], left : left + size[0]] = small
    return sheet


def _video(predictor: Predictor, path: Path, name: Path, wanted: Wanted, keep: Callable[[str, People], None]) -> None:
    """A video's frames: two in flight, people followed from one to the next."""
    reader = VideoReader(path)
    tracker, smooth = Tracker(predictor.keypoints), OneEuro(reader.rate)
    shown: list[np.ndarray] = []  # frames that are being looked at

    def frames() -> Iterator[tuple[np.ndarray, None]]:
        for frame in reader:
            shown.append(frame)
            yield frame, None

    with stop_between_frames() as stopped, ExitStack() as stack:
        writer = None
        if wanted.drawn is not None:
            writer = stack.enter_context(VideoWriter(drawn_name(wanted.drawn / name, video=True), reader.rate))
        least = LEAST_IN_VIDEO if wanted.least_box is None else wanted.least_box
        found, read = predictor.stream(frames(), least=least), 0
        for number, people in enumerate(tqdm(found, total=reader.count, desc=name.name, unit="frame")):
            frame = shown.pop(0)
            if isinstance(people, ValueError):
                raise people
            people = tracker(people)
            people = smooth(people) if wanted.smooth else people
            keep(f"{name.as_posix()}#{number}", people)
            if writer is not None:
                writer.write(draw(frame, people, predictor.keypoints))
            read = number + 1
            if stopped():
                return
    if reader.uneven and wanted.drawn is not None:
        note = f"ccm: {path}: its frames come at uneven times; drawn they come evenly, {reader.rate:.3g} a second"
        tqdm.write(note, file=sys.stderr)
    if reader.count is not None and read < WHOLE * reader.count:
        raise ValueError(f"{path}: the file says {reader.count} frames and {read} can be read; these are done")


@contextmanager
def stop_between_frames() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed; raised at the end, once files are closed. A second one is raised where it comes.

    A KeyboardInterrupt that comes up inside a callback or a finaliser is dropped by Python, and the video went on.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone sees signals
        yield lambda: False
        return
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt


def _write(predictor: Predictor, collected: _Collected, wanted: Wanted, root: str) -> None:
    if wanted.sheet is not None and collected.sheet:
        save_picture(wanted.sheet, tiled(collected.sheet))
    if wanted.coco is not None:
        entries = [
            entry
            for identity, people in zip(image_ids(collected.names), collected.people, strict=True)
            for entry in people.coco(identity, wanted.category)
        ]
        with written(wanted.coco) as temporary:
            temporary.write_bytes(orjson.dumps(entries))
    if wanted.table is not None:
        write_table(wanted.table, _table(predictor, collected, root))


def image_id(name: str) -> int | str:
    """COCO's id of a picture: the number that its file is called by (000000000139.jpg is 139), else the name."""
    stem = Path(name).stem
    return int(stem) if stem.isdecimal() and stem.isascii() else name


def image_ids(names: Sequence[str]) -> list[int | str]:
    """COCO's ids of pictures; those that would share a number, in different folders, keep their names."""
    numbers = [image_id(name) for name in names]
    counts = Counter(numbers)
    return [number if counts[number] == 1 else name for name, number in zip(names, numbers, strict=True)]


def _table(predictor: Predictor, collected: _Collected, root: str) -> Any:
    """A `poses` table, image by image, of pictures below `root`."""
    counts = [len(people) for people in collected.people]
    names = [name for name, count in zip(collected.names, counts, strict=True) for _ in range(count)]
    keypoints = len(predictor.names)
    triples = [
        np.concatenate([people.keypoints, people.keypoint_scores[:, :, None]], 2).reshape(len(people), 3 * keypoints)
        for people in collected.people
    ]
    rows = sum(counts)
    columns = {
        "image_id": [f"{SOURCE}:{name}" for name in names],
        "source": [SOURCE] * rows,
        "file_name": names,
        "bbox": np.concatenate([np.zeros((0, 4)), *(p.boxes for p in collected.people)]).astype(np.float32),
        "box_score": np.concatenate([np.zeros(0), *(p.box_scores for p in collected.people)]).astype(np.float32),
        "keypoints": np.concatenate([np.zeros((0, 3 * keypoints)), *triples]).astype(np.float32),
        "score": np.concatenate([np.zeros(0), *(p.scores for p in collected.people)]).astype(np.float32),
        "model": ["model"] * rows,
    }
    return table_from("poses", columns, TableInfo(predictor.keypoints, {SOURCE: root}))
