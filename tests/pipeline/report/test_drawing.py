import base64

import cv2
import numpy as np

from pipeline.records.keypoints import load_keypoint_set
from pipeline.report.drawing import LEFT, OUTSIDE, RED, REGION, YELLOW, Scene, Skeleton, around, data_uri, picture

COCO = load_keypoint_set("coco")


def decoded(uri: str) -> np.ndarray:
    raw = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def test_a_picture_shows_the_region_scaled_with_the_pose_in_place(tmp_path):
    path = tmp_path / "grey.png"
    cv2.imwrite(str(path), np.full((100, 200, 3), 128, np.uint8))
    points, shown = np.full((17, 2), np.nan), np.zeros(17, bool)
    points[COCO.index("left_wrist")], shown[COCO.index("left_wrist")] = (60, 50), True
    region = np.array([40.0, 0, 40, 50])
    made = picture(Scene(path, region, skeletons=[Skeleton(points, shown)]), COCO, "caption", height=200)
    assert (made.width, made.height) == (160, 200)
    image = decoded(made.source)
    assert image.shape == (200, 160, 3)
    assert np.abs(image[198, 80].astype(int) - LEFT).max() < 60  # (60 - 40) * 4, just above the lower edge at 50 * 4
    assert np.abs(image[20, 20].astype(int) - 128).max() < 6


def test_boxes_and_dots_are_drawn_in_their_colours_where_they_are(tmp_path):
    path = tmp_path / "grey.png"
    cv2.imwrite(str(path), np.full((100, 100, 3), 128, np.uint8))
    box, dots = np.array([10.0, 20, 40, 60]), np.array([[80.0, 50]])
    image = decoded(picture(Scene(path, boxes=[(box, RED)], dots=[(dots, YELLOW)]), COCO, "", height=200).source)
    assert np.abs(image[100, 20].astype(int) - RED).max() < 60  # the left side, twice as large
    assert np.abs(image[100, 160].astype(int) - YELLOW).max() < 60
    assert np.abs(image[100, 60].astype(int) - 128).max() < 12


def test_what_lies_outside_the_image_is_grey(tmp_path):
    path = tmp_path / "white.png"
    cv2.imwrite(str(path), np.full((50, 50, 3), 255, np.uint8))
    image = decoded(picture(Scene(path, np.array([-50.0, 0, 100, 50])), COCO, "", height=50).source)
    assert np.abs(image[25, 20].astype(int) - OUTSIDE).max() < 6
    assert image[25, 80].min() > 250


def test_pictures_and_boxes_of_any_shape_take_little_room(tmp_path):
    """A thin picture at full height would take 13 GB, a region as far away as float32 reaches more."""
    path = tmp_path / "thin.png"
    cv2.imwrite(str(path), np.full((1, 50_000, 3), 255, np.uint8))
    far = np.array([-1e30, 5, 3e38, 3e38])
    image = picture(Scene(path, boxes=[(far, RED)], dots=[(np.array([[1e30, -1e30]]), RED)]), COCO, "", height=300)
    assert (image.width, image.height) == (2400, 1)
    image = picture(Scene(path, far), COCO, "", height=300)
    assert image.width <= 2400


def test_a_region_holds_its_boxes_in_one_shape():
    region = around([np.array([10.0, 10, 100, 20]), np.array([50.0, 40, 10, 10])])
    assert region[2] / region[3] == REGION
    assert (region[:2] < 10).all()
    assert (region[:2] + region[2:] > (110, 50)).all()


def test_a_data_uri_holds_the_image():
    image = np.full((8, 8, 3), 200, np.uint8)
    assert np.abs(decoded(data_uri(image)).astype(int) - 200).max() < 4
