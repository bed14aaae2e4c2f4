import cv2
import numpy as np
import pytest
import torch

from postproc import coordinates

SIZE = (256, 192)
BOXES = np.array([[10.0, 20, 61, 200], [300, 5, 240, 100], [3.25, 4.5, 33.3, 47.7]])


def test_box_centre_falls_on_crop_centre_and_aspect_is_kept() -> None:
    transforms = coordinates.crop_transforms(BOXES, SIZE)
    centres = BOXES[:, None, :2] + (BOXES[:, None, 2:] - 1) / 2
    np.testing.assert_allclose(coordinates.apply(transforms, centres)[:, 0], [[95.5, 127.5]] * 3, atol=1e-9)
    # By hand: a 61 x 200 box in a 3:4 crop grows to 150 x 200 and, padded, to 187.5 x 250 pixels.
    assert transforms[0, 0, 0] == pytest.approx(192 / 187.5)
    # A 240 x 100 box grows to 240 x 320.
    assert transforms[1, 1, 1] == pytest.approx(256 / 400)


def test_mirroring_the_crop_is_cropping_the_mirrored_image() -> None:
    width = 640
    points = np.random.default_rng(1).uniform(0, 600, (3, 17, 2))
    mirrored_boxes, mirrored_points = BOXES.copy(), points.copy()
    mirrored_boxes[:, 0] = width - BOXES[:, 0] - BOXES[:, 2]  # a box covers the pixels x to x + w - 1
    mirrored_points[..., 0] = width - 1 - points[..., 0]
    plain = coordinates.crop_transforms(BOXES, SIZE)
    of_mirrored = coordinates.apply(coordinates.crop_transforms(mirrored_boxes, SIZE), mirrored_points)
    expected = coordinates.apply(plain, points)
    expected[..., 0] = SIZE[1] - 1 - expected[..., 0]
    np.testing.assert_allclose(of_mirrored, expected, atol=1e-9)
    np.testing.assert_allclose(coordinates.apply(coordinates.mirror(plain, SIZE[1]), points), expected, atol=1e-9)


def test_mirrored_pixels_agree() -> None:
    image = np.random.default_rng(2).uniform(0, 1, (300, 640)).astype(np.float32)
    image = cv2.GaussianBlur(image, (0, 0), 3)
    boxes = np.array([[100.0, 60, 90, 170]])
    mirrored = np.array([[640.0 - 100 - 90, 60, 90, 170]])

    def crop(source: np.ndarray, box: np.ndarray) -> np.ndarray:
        return cv2.warpAffine(source, coordinates.crop_transforms(box, SIZE)[0], SIZE[::-1])

    # OpenCV reads between pixels in steps of 1/32 of a pixel.
    np.testing.assert_allclose(crop(image, boxes)[:, ::-1], crop(image[:, ::-1].copy(), mirrored), atol=1e-3)


def test_rotation_turns_clockwise_and_scale_zooms_out() -> None:
    box = np.array([[100.0, 100, 75, 100]])
    right_of_centre = np.array([[[137.0 + 30, 149.5]]])
    turned = coordinates.apply(coordinates.crop_transforms(box, SIZE, rotation=[90]), right_of_centre)[0, 0]
    zoom = 192 / (75 * 1.25)
    np.testing.assert_allclose(turned, [95.5, 127.5 + 30 * zoom], atol=1e-9)  # below the centre
    wide = coordinates.apply(coordinates.crop_transforms(box, SIZE, scale=[1.5]), right_of_centre)[0, 0]
    np.testing.assert_allclose(wide, [95.5 + 30 * zoom / 1.5, 127.5], atol=1e-9)


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_heatmap_to_image_undoes_image_to_heatmap(library: str) -> None:
    rng = np.random.default_rng(3)
    transforms = coordinates.crop_transforms(BOXES, SIZE, rotation=[10, -40, 0], scale=[0.8, 1, 1.2])
    points = rng.uniform(-50, 2000, (3, 17, 2))
    if library == "torch":
        transforms, points = torch.from_numpy(transforms), torch.from_numpy(points)
    cells = coordinates.image_to_heatmap(points, transforms, SIZE, (64, 48))
    np.testing.assert_allclose(cells, np.asarray(coordinates.apply(transforms, points)) / 4, atol=1e-9)
    back = coordinates.heatmap_to_image(cells, transforms, SIZE, (64, 48))
    assert type(back) is type(points)
    np.testing.assert_allclose(back, points, atol=1e-9)


def test_first_cell_is_first_crop_pixel() -> None:
    box = np.array([[0.0, 0, 192, 256]])
    transforms = coordinates.crop_transforms(box, SIZE, padding=1)
    np.testing.assert_allclose(transforms[0], [[1, 0, 0], [0, 1, 0]], atol=1e-12)
    cells = np.array([[[0.0, 0], [47, 63]]])
    image = coordinates.heatmap_to_image(cells, transforms, SIZE, (64, 48))
    np.testing.assert_allclose(image, [[[0, 0], [188, 252]]], atol=1e-9)


@pytest.mark.parametrize(("stride", "shift"), [(4, 0.75), (2, 0.5), (1, 0)])
def test_exact_flip_shift_is_how_far_off_the_mirrored_back_cell_lies(stride: int, shift: float) -> None:
    crop, cells = 192, 192 // stride
    pixel = 37.0
    plain = pixel / stride
    mirrored_back = cells - 1 - (crop - 1 - pixel) / stride
    assert plain - mirrored_back == pytest.approx(shift)
    assert coordinates.exact_flip_shift(stride) == pytest.approx(shift)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"boxes\[1\] = \[1.0, 2.0, 0.0, 4.0\]"):
        coordinates.crop_transforms([[1, 2, 3, 4], [1, 2, 0, 4]], SIZE)
    with pytest.raises(ValueError, match=r"boxes\[0\]"):
        coordinates.crop_transforms([[1, 2, np.nan, 4]], SIZE)
    with pytest.raises(ValueError, match="must be \\[N, 4\\]"):
        coordinates.crop_transforms([1, 2, 3, 4], SIZE)
    with pytest.raises(ValueError, match="above 0"):
        coordinates.crop_transforms([[1, 2, 3, 4]], SIZE, scale=[0])
    with pytest.raises(ValueError, match="stride"):
        coordinates.exact_flip_shift(0.5)


def test_no_boxes_give_no_transforms() -> None:
    assert coordinates.crop_transforms(np.empty((0, 4)), SIZE).shape == (0, 2, 3)
