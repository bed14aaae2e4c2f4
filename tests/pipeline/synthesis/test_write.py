import json
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from pipeline.synthesis import write_data_set

REAL = Path(__file__).parents[4] / "shared/real"
COCO_NAMES = [
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
]  # fmt: skip


@dataclass(frozen=True)
class Settings:
    seed: int = 7
    train_images: int = 12
    val_images: int = 4
    external_images: int = 8
    unlabeled_images: int = 3
    image_size: tuple[int, int] = (240, 320)


def no_progress(iterable, *, total, description, unit):
    return iterable


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("synthesis") / "data"
    write_data_set(root, Settings(), no_progress, workers=1)
    return root


def test_the_layout_is_that_of_the_real_sets(root):
    files = list(contents(root))
    assert sum(name.startswith("coco/train2017/") for name in files) == 12
    assert sum(name.startswith("coco/val2017/") for name in files) == 4
    assert sum(name.startswith("aic/images/") for name in files) == 8
    assert sum(name.startswith("unlabeled/") for name in files) == 3
    others = [name for name in files if not name.endswith(".jpg")]
    assert others == [
        "aic/keypoint_train_annotations.json",
        "coco/annotations/person_keypoints_train2017.json",
        "coco/annotations/person_keypoints_val2017.json",
    ]
    assert not list(root.parent.glob("*.partial"))


def test_a_second_run_gives_the_same_bytes(root, tmp_path):
    write_data_set(tmp_path / "again", Settings(), no_progress, workers=1)
    assert contents(tmp_path / "again") == contents(root)


def test_several_processes_give_the_same_bytes(tmp_path):
    settings = Settings(train_images=92, val_images=2, external_images=2, unlabeled_images=2, image_size=(96, 128))
    write_data_set(tmp_path / "one", settings, no_progress, workers=1)
    write_data_set(tmp_path / "two", settings, no_progress, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_an_image_depends_on_its_index_and_the_seed_only(root, tmp_path):
    write_data_set(tmp_path / "fewer", Settings(train_images=2), no_progress, workers=1)
    write_data_set(tmp_path / "other", Settings(seed=8, train_images=2), no_progress, workers=1)
    name = "coco/train2017/000000000002.jpg"
    assert contents(tmp_path / "fewer")[name] == contents(root)[name] != contents(tmp_path / "other")[name]


@pytest.mark.parametrize("split", ["train", "val"])
def test_pycocotools_agrees_with_areas_boxes_and_keypoints(root, split):
    coco = COCO(root / f"coco/annotations/person_keypoints_{split}2017.json")
    assert coco.loadCats(1)[0]["keypoints"] == COCO_NAMES
    assert coco.anns
    for annotation in coco.anns.values():
        mask = coco.annToMask(annotation)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        x, y, width, height = annotation["bbox"]
        assert annotation["area"] == mask.sum()
        assert (x, y, x + width - 1, y + height - 1) == (columns[0], rows[0], columns[-1], rows[-1])
        keypoints = np.array(annotation["keypoints"]).reshape(17, 3)
        assert annotation["num_keypoints"] == np.sum(keypoints[:, 2] > 0)
        assert set(keypoints[:, 2]) <= {0, 1, 2}
        assert np.all(keypoints[keypoints[:, 2] == 0] == 0)
        for px, py, v in keypoints[keypoints[:, 2] > 0]:
            assert v == 1 or mask[round(py), round(px)]
        assert isinstance(annotation["segmentation"], dict) == bool(annotation["iscrowd"])


@pytest.mark.parametrize("split", ["train", "val"])
def test_image_entries_match_the_files(root, split):
    coco = COCO(root / f"coco/annotations/person_keypoints_{split}2017.json")
    for image in coco.imgs.values():
        pixels = cv2.imread(str(root / f"coco/{split}2017" / image["file_name"]))
        assert pixels.shape == (image["height"], image["width"], 3)
        assert image["file_name"] == f"{image['id']:012d}.jpg"


def test_ids_of_train_and_val_do_not_collide(root):
    train, val = (COCO(root / f"coco/annotations/person_keypoints_{split}2017.json") for split in ("train", "val"))
    assert not train.imgs.keys() & val.imgs.keys()
    assert not train.anns.keys() & val.anns.keys()


def test_aic_entries_have_its_codes_boxes_and_names_without_suffix(root):
    entries = json.loads((root / "aic/keypoint_train_annotations.json").read_bytes())
    assert len(entries) == 8
    codes = set()
    for entry in entries:
        height, width, _ = cv2.imread(str(root / f"aic/images/{entry['image_id']}.jpg")).shape
        assert entry["human_annotations"].keys() == entry["keypoint_annotations"].keys()
        for human, (x1, y1, x2, y2) in entry["human_annotations"].items():
            assert 0 <= x1 < x2 <= width
            assert 0 <= y1 < y2 <= height
            keypoints = entry["keypoint_annotations"][human]
            assert len(keypoints) == 14 * 3
            assert all(isinstance(value, int) for value in keypoints)
            for x, y, v in zip(keypoints[::3], keypoints[1::3], keypoints[2::3], strict=True):
                codes.add(v)
                assert (x, y) == (0, 0) if v == 3 else (0 <= x < width and 0 <= y < height)
                assert v != 1 or (x1 <= x < x2 and y1 <= y < y2)
    assert codes == {1, 2, 3}


def test_aic_order_puts_right_before_left_and_ends_with_head_and_neck(root):
    """In an upright body the head's top is above the neck, the neck above the hips, hips above the ankles."""
    entries = json.loads((root / "aic/keypoint_train_annotations.json").read_bytes())
    upright = []
    for entry in entries:
        for keypoints in entry["keypoint_annotations"].values():
            _, y, v = np.array(keypoints).reshape(14, 3).T
            if np.all(v != 3):
                upright.append(y[12] < y[13] < (y[6] + y[9]) / 2 < (y[8] + y[11]) / 2)
    assert np.mean(upright) > 0.5


@pytest.mark.skipif(not REAL.exists(), reason="no real samples beside this checkout")
def test_the_files_have_the_real_files_keys(root):
    def real(path: str):
        return json.loads((REAL / path).read_bytes())

    ours = json.loads((root / "coco/annotations/person_keypoints_train2017.json").read_bytes())
    theirs = real("coco/annotations/person_keypoints_train2017.json")
    assert ours.keys() == theirs.keys()
    assert ours["categories"] == theirs["categories"]
    for key in ("images", "annotations"):
        assert ours[key][0].keys() == theirs[key][0].keys()
    ours = json.loads((root / "aic/keypoint_train_annotations.json").read_bytes())
    assert ours[0].keys() == real("aic/keypoint_train_annotations_20170902.json")[0].keys()


def test_a_failed_run_leaves_what_was_there(root, tmp_path):
    target = tmp_path / "data"
    write_data_set(target, Settings(train_images=1), no_progress, workers=1)
    before = contents(target)

    def breaks(iterable, *, total, description, unit):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_data_set(target, Settings(), breaks, workers=1)
    assert contents(target) == before
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (replace(Settings(), val_images=0), "val_images is 0"),
        (replace(Settings(), image_size=(31, 320)), r"image_size is \(31, 320\).*32"),
    ],
)
def test_bad_settings_are_named(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        write_data_set(tmp_path / "data", settings, no_progress)
