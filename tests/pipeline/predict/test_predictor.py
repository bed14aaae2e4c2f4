"""People and keypoints in pictures, from Python."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from pipeline import layout
from pipeline.evaluation.people import read_poses, read_truth
from pipeline.predict import People, Predictor
from pipeline.predict.pictures import read_picture
from pipeline.predict.project import best_model
from pipeline.progress import Progress
from pipeline.records.artefacts import read_json, write_json
from pipeline.records.tables import read_table, to_numpy
from pipeline.settings import load_params
from pipeline.steps import evaluate
from tests.pipeline.workspace import STRATEGY, make_workspace


def same(one: People, other: People, tolerance: float = 0.0) -> None:
    np.testing.assert_allclose(one.boxes, other.boxes, rtol=0, atol=tolerance)
    np.testing.assert_allclose(one.keypoints, other.keypoints, rtol=0, atol=tolerance)
    np.testing.assert_allclose(one.keypoint_scores, other.keypoint_scores, rtol=0, atol=tolerance)
    assert (one.names, one.size) == (other.names, other.size)


def test_an_array_a_file_and_a_list_are_the_same(predictor: Predictor, photograph: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(photograph).save(tmp_path / "a.png")
    from_array, from_file = predictor(photograph), predictor(tmp_path / "a.png")
    assert from_array.keypoints.shape == (1, 17, 2)
    assert from_array.size == (90, 120)
    assert from_array.boxes.tolist() == [[0, 0, 120, 90]]
    same(from_array, from_file)
    several = predictor([photograph, str(tmp_path / "a.png"), photograph])
    assert len(several) == 3
    for each in several:
        same(each, from_array)


def test_boxes_that_are_given(predictor: Predictor, photograph: np.ndarray) -> None:
    boxes = np.array([[10, 5, 40, 60], [50, 20, 30, 50]])
    found = predictor(photograph, boxes)
    assert sorted(map(tuple, found.boxes.tolist())) == sorted(map(tuple, boxes.tolist()))
    assert len(predictor(photograph, np.zeros((0, 4)))) == 0
    with pytest.raises(ValueError, match="w and h above 0"):
        predictor(photograph, np.array([[1, 1, 0, 5]]))
    with pytest.raises(ValueError, match="boxes of 1 pictures for 2"):
        predictor([photograph, photograph], [boxes])


def test_every_keypoint_keeps_its_place_and_score(predictor: Predictor, photograph: np.ndarray) -> None:
    """An untrained network is sure of nothing: all of its keypoints are there all the same."""
    found = predictor(photograph)
    assert np.isfinite(found.keypoints).all()
    assert (np.abs(found.keypoints).sum(2) > 0).all()
    assert found.keypoint_scores.min() < 0.2


def test_other_forms(predictor: Predictor, photograph: np.ndarray) -> None:
    found = predictor(photograph)
    (entry,) = found.coco(7, category_id=3)
    assert (entry["image_id"], entry["category_id"], len(entry["keypoints"])) == (7, 3, 51)
    assert entry["keypoints"][3:5] == found.keypoints[0, 1].tolist()
    frame = found.frame()
    assert frame["keypoint"].tolist() == list(found.names)
    assert frame["x"].tolist() == found.keypoints[0, :, 0].tolist()
    try:
        import supervision  # noqa: F401
    except ImportError:
        with pytest.raises(ValueError, match="pip install supervision"):
            found.supervision()


def test_pycocotools_takes_the_sizes_of_poses_from_keypoints(predictor: Predictor, photograph: np.ndarray) -> None:
    """Not from boxes: AP_M and AP_L, which sort poses by size, are those of COCO's server."""
    found = predictor(photograph)
    truth = COCO()
    truth.dataset = {"images": [{"id": 7}], "categories": [{"id": 1}], "annotations": []}
    truth.createIndex()
    (loaded,) = truth.loadRes(found.coco(7)).dataset["annotations"]
    assert loaded["area"] == pytest.approx(np.prod(np.ptp(found.keypoints[0], axis=0)))


def test_threads_share_it(predictor: Predictor, photograph: np.ndarray) -> None:
    pictures = [np.roll(photograph, shift, 1) for shift in range(12)]
    alone = [predictor(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(alone, pool.map(predictor, pictures), strict=True):
            same(one, other)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_picture_turned_by_exif_is_seen_as_it_is_shown(
    predictor: Predictor, photograph: np.ndarray, tmp_path: Path, orientation: int, suffix: str
) -> None:
    """Pillow's own transposition is the yardstick."""
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(photograph).save(path, exif=exif, quality=100, subsampling=0)
    with Image.open(path) as opened:
        shown = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    found = predictor(path)
    assert found.size == shown.shape[:2]
    difference = np.abs(read_picture(path, stored=False).pixels.astype(int) - shown)
    assert difference.mean() < (2 if suffix == "jpg" else 1e-9)  # two JPEG decoders round differently
    if suffix == "png":
        same(found, predictor(shown))
    assert read_picture(path, stored=True).pixels.shape == photograph.shape


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16", "1"])
def test_pictures_of_every_kind(predictor: Predictor, photograph: np.ndarray, tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("ä picture with spaces.jpg" if mode == "CMYK" else "ä picture with spaces.png")
    if mode == "I;16":
        Image.fromarray(photograph[:, :, 0].astype(np.uint16) * 257).save(path)
    else:
        Image.fromarray(photograph).convert(mode).save(path)
    found = predictor(path)
    assert found.size == (90, 120)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "the file is empty"), (b"not a picture at all", "not a readable image"), (None, "No such file")],
)
def test_what_cannot_be_read_is_named(predictor: Predictor, tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "broken.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"broken\.jpg: .*{said}"):
        predictor(path)


def test_a_truncated_picture_is_named(predictor: Predictor, photograph: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(photograph).save(tmp_path / "whole.jpg", quality=95)
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"half\.jpg: not a readable JPEG"):
        predictor(tmp_path / "half.jpg")


@pytest.mark.parametrize("shape", [(5, 5), (5, 5, 4), (0, 5, 3)])
def test_arrays_that_are_no_pictures(predictor: Predictor, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"allowed: uint8 \[H, W, 3\], RGB"):
        predictor(np.zeros(shape, np.uint8))


def test_the_detector_finds_boxes_in_the_picture(models: Path, photograph: np.ndarray) -> None:
    from pipeline.predict import Thresholds

    predictor = Predictor(models / "pose", models / "person", thresholds=Thresholds(score=0.0))
    found = predictor(photograph)
    assert 0 < len(found) <= 5
    assert (found.boxes[:, :2] >= 0).all()
    assert ((found.boxes[:, :2] + found.boxes[:, 2:]) <= [120 + 1e-3, 90 + 1e-3]).all()
    assert (np.diff(found.scores) <= 0).all()


def test_it_finds_what_evaluate_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On annotated boxes, person by person: the poses, scores and order that `evaluate` wrote."""
    monkeypatch.chdir(tmp_path)
    params = make_workspace(tmp_path)
    evaluate.run(params, Progress(), STRATEGY)
    poses = read_table(layout.results(STRATEGY) / "val-ground_truth.parquet", "poses")
    instances = read_table(layout.instances("val"), "instances")
    model = Predictor(layout.final(STRATEGY), postprocessing=params.evaluate.postprocessing)
    truth = read_truth(read_table(layout.images("val"), "images"), instances, model.keypoints)
    expected = read_poses(poses, truth)
    files = instances["file_name"].to_pylist()
    rows = np.flatnonzero(~to_numpy(instances, "iscrowd") & (to_numpy(instances, "keypoints")[:, 2::3] > 0).any(1))
    for number, image in enumerate(truth.images):
        here = [row for row in rows if instances["image_id"][int(row)].as_py() == image]
        if here:
            found = model(f"own/val/{files[here[0]]}", to_numpy(instances, "bbox")[here])
            mine = expected.image == number
            np.testing.assert_allclose(found.keypoints, expected.points[mine], rtol=0, atol=1e-3)
            np.testing.assert_allclose(found.scores, expected.scores[mine], rtol=0, atol=1e-6)


def test_the_best_evaluated_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_workspace(tmp_path)
    params = load_params()
    with pytest.raises(ValueError, match="no model is evaluated yet: run `ccm run`"):
        best_model(params)
    write_json(layout.figures("evaluate", STRATEGY), {"val": {"detected": {"AP": 0.5}}})
    assert best_model(params) == layout.final(STRATEGY)
    other = params.model_copy(update={"strategies": [STRATEGY, "CH-C"]})
    write_json(layout.figures("evaluate", "CH-C"), {"val": {"detected": {"AP": 0.6}}})
    layout.final("CH-C").mkdir()
    assert best_model(other) == layout.final("CH-C")
    assert read_json(layout.figures("evaluate", STRATEGY))["val"]["detected"]["AP"] == 0.5


def test_large_people_are_cut_from_memory_as_from_the_file(predictor: Predictor, tmp_path: Path) -> None:
    """A picture eight times the crop's size: reduced before it is cut, alike from an array and from a PNG."""
    noise = np.random.default_rng(2).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    large = cv2.resize(noise, (800, 600), interpolation=cv2.INTER_CUBIC)
    Image.fromarray(large).save(tmp_path / "large.png")
    same(predictor(large), predictor(tmp_path / "large.png"))
