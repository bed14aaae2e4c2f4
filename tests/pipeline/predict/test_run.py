"""`ccm predict`'s work: what is looked at, what is written, and what is said of what cannot be read."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.predict import Predictor
from pipeline.predict.boxes import read_boxes
from pipeline.predict.drawing import draw
from pipeline.predict.people import People
from pipeline.predict.run import Wanted, image_id, image_ids, run, stop_between_frames, tiled
from pipeline.predict.sources import files_of
from pipeline.predict.video import VideoReader, VideoWriter
from pipeline.records.tables import read_table, table_info, to_numpy

ROOT = Path(__file__).parents[3]


def write_video(path: Path, frames: int, size: tuple[int, int] = (64, 48), rate: float = 25.0) -> list[np.ndarray]:
    """A bright square that moves to the right over a grey ground."""
    pictures = []
    with VideoWriter(path, rate) as writer:
        for number in range(frames):
            picture = np.full((size[1], size[0], 3), 90, np.uint8)
            picture[10:30, number % 40 : number % 40 + 12] = (250, 200, 40)
            writer.write(picture)
            pictures.append(picture)
    return pictures


@pytest.fixture
def folder(tmp_path: Path, photograph: np.ndarray) -> Path:
    """Two pictures, one of them in a folder in the folder, and files that are no pictures."""
    pictures = tmp_path / "my pictures"
    (pictures / "inner ä").mkdir(parents=True)
    Image.fromarray(photograph).save(pictures / "b.jpg")
    Image.fromarray(photograph).save(pictures / "inner ä" / "a.png")
    (pictures / "notes.txt").write_text("nothing")
    return pictures


def test_sources_of_every_kind(folder: Path, tmp_path: Path) -> None:
    everything = [folder / "b.jpg", folder / "inner ä/a.png"]
    assert [path for path, _ in files_of([str(folder)])] == everything
    assert [name for _, name in files_of([str(folder)])] == [Path("b.jpg"), Path("inner ä/a.png")]
    assert [path for path, _ in files_of([f"{folder}/**/*.png"])] == everything[1:]
    (tmp_path / "list.txt").write_text(f"my pictures/b.jpg\n\n{everything[1]}\n")
    assert [path for path, _ in files_of([str(tmp_path / "list.txt")])] == everything
    assert [path for path, _ in files_of([str(folder / "b.jpg"), str(folder)])] == everything
    (folder / "round").symlink_to(folder)
    assert [path for path, _ in files_of([str(folder)])] == everything


@pytest.mark.parametrize("source", ["nowhere.jpg", "no*.png"])
def test_a_source_that_is_not_there(source: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file, folder or pattern"):
        files_of([str(tmp_path / source)])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no pictures or videos"):
        files_of([str(tmp_path / "empty")])


def test_everything_that_can_be_written(
    predictor: Predictor, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = io.StringIO()
    wanted = Wanted(
        tmp_path / "drawn", tmp_path / "sheet.jpg", tmp_path / "r.json", tmp_path / "p.parquet", lines=True, category=3
    )
    assert run(predictor, [str(folder)], wanted, out) == 0
    assert "WARN" not in capfd.readouterr().err
    assert sorted(p.relative_to(tmp_path / "drawn").as_posix() for p in (tmp_path / "drawn").rglob("*.*")) == [
        "b.jpg", "inner ä/a.png"
    ]  # fmt: skip
    results = json.loads((tmp_path / "r.json").read_text())
    assert [(entry["image_id"], entry["category_id"]) for entry in results] == [("b.jpg", 3), ("inner ä/a.png", 3)]
    table = read_table(tmp_path / "p.parquet", "poses")
    assert Path(table_info(table).image_roots["predict"], table["file_name"][-1].as_py()) == folder / "inner ä/a.png"
    np.testing.assert_allclose(to_numpy(table, "keypoints")[0], results[0]["keypoints"], rtol=1e-5)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["picture"] for line in lines] == ["b.jpg", "inner ä/a.png"]
    assert len(lines[0]["people"][0]["keypoints"]) == 17
    assert cv2.imread(str(tmp_path / "sheet.jpg")).shape == (180, 960, 3)


def test_what_cannot_be_read_is_named_and_the_rest_done(
    predictor: Predictor, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a-empty.jpg").write_bytes(b"")
    (folder / "half.png").write_bytes((folder / "inner ä/a.png").read_bytes()[:60])
    (folder / "film.mp4").write_bytes(b"no film")
    assert run(predictor, [str(folder)], Wanted(coco=tmp_path / "r.json")) == 1
    said = capsys.readouterr().err
    for name in ("a-empty.jpg", "half.png", "film.mp4"):
        assert f"{folder / name}: not a" in said
    assert "Traceback" not in said
    assert len(json.loads((tmp_path / "r.json").read_text())) == 2


def test_boxes_from_a_file(predictor: Predictor, folder: Path, tmp_path: Path) -> None:
    content = {
        "images": [{"id": 5, "file_name": "b.jpg"}],
        "annotations": [{"image_id": 5, "bbox": [1, 2, 30, 40]}, {"image_id": 5, "bbox": [50, 20, 30, 40]}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    boxes = read_boxes(tmp_path / "boxes.json")
    assert boxes.of(folder / "b.jpg").tolist() == [[1, 2, 30, 40], [50, 20, 30, 40]]
    out = io.StringIO()
    assert run(predictor, [str(folder)], Wanted(lines=True, boxes=boxes), out) == 0
    assert [len(json.loads(line)["people"]) for line in out.getvalue().splitlines()] == [2, 0]


def test_boxes_of_pictures_of_one_name(tmp_path: Path) -> None:
    entries = [{"file_name": f"{folder}/1.jpg", "bbox": [x, 0, 9, 9]} for folder, x in (("a", 1), ("b", 2))]
    (tmp_path / "boxes.json").write_text(json.dumps([*entries, {"file_name": "c/2.jpg", "bbox": [3, 0, 9, 9]}]))
    boxes = read_boxes(tmp_path / "boxes.json")
    assert [boxes.of(tmp_path / name)[0, 0] for name in ("a/1.jpg", "b/1.jpg", "2.jpg")] == [1, 2, 3]
    with pytest.raises(ValueError, match=r"boxes\.json: several pictures are called 1\.jpg"):
        boxes.of(tmp_path / "1.jpg")


@pytest.mark.parametrize("text", ["[1]", "{}", '[{"bbox": [1, 2, 3]}]', "no json", '[{"bbox": [1,2,3,4]}]'])
def test_files_without_boxes(text: str, tmp_path: Path) -> None:
    (tmp_path / "boxes.json").write_text(text)
    with pytest.raises(ValueError, match=r"boxes\.json: "):
        read_boxes(tmp_path / "boxes.json")


def test_pictures_are_called_as_coco_calls_them() -> None:
    assert image_id("000000000139.jpg") == 139
    assert image_id("inner/000000000139.jpg") == 139
    assert image_id("holiday.jpg") == "holiday.jpg"


def test_a_sheet_keeps_the_shape_of_its_pictures() -> None:
    tall, wide = np.full((200, 50, 3), 255, np.uint8), np.full((50, 400, 3), 128, np.uint8)
    sheet = tiled([tall, wide])
    assert sheet.shape == (180, 960, 3)
    assert (sheet[:, :240] == 255).all(2).sum() == 180 * 45
    assert (sheet[:, 240:480] == 128).all(2).sum() == 240 * 30


@pytest.mark.parametrize("frames", [1, 2, 30])
def test_a_video_is_read_drawn_and_written(predictor: Predictor, tmp_path: Path, frames: int) -> None:
    write_video(tmp_path / "in.mp4", frames)
    out = io.StringIO()
    wanted = Wanted(drawn=tmp_path / "drawn", lines=True, smooth=True)
    assert run(predictor, [str(tmp_path / "in.mp4")], wanted, out) == 0
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["picture"] for line in lines] == [f"in.mp4#{n}" for n in range(frames)]
    drawn = list(VideoReader(tmp_path / "drawn/in.mp4"))
    assert len(drawn) == frames
    assert drawn[0].shape == (48, 64, 3)


def test_a_truncated_video(predictor: Predictor, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the index at its end nothing can be read: it is named, and no traceback."""
    write_video(tmp_path / "in.mp4", 30)
    whole = (tmp_path / "in.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(whole[: len(whole) // 2])
    assert run(predictor, [str(tmp_path / "half.mp4")], Wanted(lines=True), io.StringIO()) == 1
    assert f"{tmp_path / 'half.mp4'}: not a video that can be read" in capsys.readouterr().err


def test_a_video_that_breaks_off(predictor: Predictor, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What can be read of it is done, and it is named."""
    writer = cv2.VideoWriter(str(tmp_path / "in.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    random = np.random.default_rng(0)
    for _ in range(20):
        writer.write(random.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    writer.release()
    whole = (tmp_path / "in.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) // 2])
    out = io.StringIO()
    assert run(predictor, [str(tmp_path / "in.avi")], Wanted(lines=True), io.StringIO()) == 0
    assert run(predictor, [str(tmp_path / "cut.avi")], Wanted(drawn=tmp_path / "drawn", lines=True), out) == 1
    read = len(out.getvalue().splitlines())
    assert 0 < read < 18
    assert len(list(VideoReader(tmp_path / "drawn/cut.avi.mp4"))) == read
    assert f"{tmp_path / 'cut.avi'}: the file says 20 frames and {read} can be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("times", "uneven"), [([0, 40, 80, 120], False), ([0, 33, 67, 100], False), ([0, 20, 220], True)]
)
def test_frames_at_uneven_times(times: list[float], uneven: bool, tmp_path: Path) -> None:
    write_video(tmp_path / "in.mp4", len(times))
    reader = VideoReader(tmp_path / "in.mp4")
    assert not reader.uneven
    said, whole = iter(times[1:]), reader._capture

    class Capture:
        """The file's frames, at other times."""

        read, release = staticmethod(whole.read), staticmethod(whole.release)

        def get(self, what: int) -> float:
            return next(said)

    reader._capture, reader._last = Capture(), times[0]  # type: ignore[assignment]
    assert len(list(reader)) == len(times)
    assert reader.uneven is uneven


def test_drawn_pictures_keep_apart(predictor: Predictor, photograph: np.ndarray, tmp_path: Path) -> None:
    """One picture in several formats; what cannot be drawn in its own gets a second ending."""
    for ending in ("bmp", "png", "tif", "JPG"):
        Image.fromarray(photograph).save(tmp_path / f"a.{ending}")
    assert run(predictor, [str(tmp_path)], Wanted(drawn=tmp_path / "drawn")) == 0
    assert sorted(p.name for p in (tmp_path / "drawn").iterdir()) == ["a.JPG", "a.bmp.png", "a.png", "a.tif.png"]


def test_files_of_one_name_in_several_places(predictor: Predictor, tmp_path: Path, photograph: np.ndarray) -> None:
    for place in ("a/x", "b"):
        (tmp_path / place).mkdir(parents=True)
        Image.fromarray(photograph).save(tmp_path / place / "7.jpg")
    asked = [str(tmp_path / "a/x/7.jpg"), str(tmp_path / "b/7.jpg")]
    assert run(predictor, asked, Wanted(drawn=tmp_path / "drawn", coco=tmp_path / "r.json")) == 0
    assert sorted(p.relative_to(tmp_path / "drawn") for p in tmp_path.rglob("drawn/**/*.jpg")) == [
        Path("a/x/7.jpg"), Path("b/7.jpg")
    ]  # fmt: skip
    assert {entry["image_id"] for entry in json.loads((tmp_path / "r.json").read_text())} == {"a/x/7.jpg", "b/7.jpg"}
    assert image_ids(["a/7.jpg", "b/7.jpg", "8.jpg"]) == ["a/7.jpg", "b/7.jpg", 8]


@pytest.mark.parametrize("wanted", [{"drawn": "."}, {"sheet": "a.jpg"}, {"coco": "link.jpg"}, {"table": "a.jpg"}])
def test_what_is_looked_at_is_not_written_over(
    wanted: dict[str, str], predictor: Predictor, tmp_path: Path, photograph: np.ndarray
) -> None:
    Image.fromarray(photograph).save(tmp_path / "a.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    before = (tmp_path / "a.jpg").read_bytes()
    with pytest.raises(ValueError, match="would be written over"):
        run(predictor, [str(tmp_path / "a.jpg")], Wanted(**{key: tmp_path / name for key, name in wanted.items()}))
    assert (tmp_path / "a.jpg").read_bytes() == before


def test_people_are_drawn_where_they_are_in_large_pictures(predictor: Predictor) -> None:
    points, far = np.tile([6000.0, 20], (1, 17, 1)), np.array([[-3e38, -3e38, 1e38, 1e38]], np.float32)
    people = People(far, np.ones(1), points, np.ones((1, 17)), np.ones(1), predictor.names, (40, 6100))
    drawn = draw(np.zeros((40, 6100, 3), np.uint8), people, predictor.keypoints).any(2)
    assert np.argwhere(drawn).min(0).tolist() == pytest.approx([20, 6000], abs=6)
    assert np.argwhere(drawn).max(0).tolist() == pytest.approx([20, 6000], abs=6)


def test_a_picture_too_thin_for_the_detector(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (3000, 2)).save(tmp_path / "a.png")
    Image.new("RGB", (60, 40)).save(tmp_path / "b.png")
    out = io.StringIO()
    assert run(Predictor(models / "pose", models / "person"), [str(tmp_path)], Wanted(lines=True), out) == 1
    assert [json.loads(line)["picture"] for line in out.getvalue().splitlines()] == ["b.png"]
    assert f"{tmp_path / 'a.png'}: 3000 pixels long and 2 wide: too thin" in capsys.readouterr().err


def test_an_interrupt_in_a_callback_is_not_lost() -> None:
    """Python drops an exception of a finaliser: the one that Ctrl-C raises as well."""

    class Final:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    def interrupted() -> None:
        with stop_between_frames() as stopped:
            assert not stopped()
            del [Final()][0]
            assert stopped()
            with pytest.raises(KeyboardInterrupt):  # a second one does not wait
                signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert signal.getsignal(signal.SIGINT) is before


def test_interrupted_it_leaves_a_video_that_plays(models: Path, tmp_path: Path) -> None:
    """Ctrl-C in the middle: the file has its index, and every frame that was written."""
    write_video(tmp_path / "in.mp4", 3000)
    code = f"""
import torch
from pipeline.predict import Predictor
from pipeline.predict.run import Wanted, run
from pathlib import Path
torch.set_num_threads(1)
run(Predictor({str(models / "pose")!r}), [{str(tmp_path / "in.mp4")!r}], Wanted(drawn=Path({str(tmp_path / "out")!r})))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    said = b""
    while not re.search(rb"\b[1-9]\d*/3000", said):  # the progress bar: frames are written
        more = process.stderr.read1(4096)  # type: ignore[attr-defined]
        assert more, said
        said += more
    written = tmp_path / "out/in.mp4"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT or process.returncode == 1 or process.returncode == 130
    frames = list(VideoReader(written))
    assert 0 < len(frames) < 3000
