from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.records.images import ImageReader


@pytest.fixture
def picture() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 3)


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp"])
@pytest.mark.parametrize("channels", [3, 4])
def test_lossless_formats(tmp_path: Path, picture: np.ndarray, suffix: str, channels: int):
    Image.fromarray(picture).save(tmp_path / f"a.{suffix}", lossless=True)
    image = ImageReader().read(tmp_path / f"a.{suffix}", channels=channels)
    assert image.shape == (61, 83, channels)
    np.testing.assert_array_equal(image[:, :, :3], picture)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("channels", [3, 4])
def test_jpeg_is_what_opencv_gives(tmp_path: Path, picture: np.ndarray, subsampling: str, channels: int):
    """Whoever decodes a picture with OpenCV, as the exported bundle does, has the pixels that networks trained on."""
    Image.fromarray(picture).save(tmp_path / "a.jpg", quality=80, subsampling=subsampling)
    expected = cv2.cvtColor(cv2.imread(str(tmp_path / "a.jpg")), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(ImageReader().read(tmp_path / "a.jpg", channels=channels)[:, :, :3], expected)


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P"])
def test_other_colours_become_rgb(tmp_path: Path, picture: np.ndarray, mode: str):
    suffix = "png" if mode in ("RGBA", "P") else "jpg"
    converted = Image.fromarray(picture).convert(mode)
    converted.save(tmp_path / f"a.{suffix}", quality=100)
    image = ImageReader().read(tmp_path / f"a.{suffix}").astype(int)
    assert np.abs(image - np.asarray(converted.convert("RGB"))).mean() < 4


@pytest.mark.parametrize("reduction", [2, 4, 8])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_reduced_pixels_are_the_means_of_blocks(tmp_path: Path, reduction: int, suffix: str):
    rows, columns = np.mgrid[:100, :150]
    smooth = np.stack([100 + 60 * np.sin(columns / 25), 100 + 60 * np.cos(rows / 25), (rows + columns) / 2], 2)
    Image.fromarray(smooth.astype(np.uint8)).save(tmp_path / f"a.{suffix}", quality=100, subsampling=0)
    image = ImageReader().read(tmp_path / f"a.{suffix}", reduction)
    assert image.shape == (-(-100 // reduction), -(-150 // reduction), 3)
    whole = (100 // reduction) * reduction, (150 // reduction) * reduction
    blocks = smooth[: whole[0], : whole[1]].reshape(
        whole[0] // reduction, reduction, whole[1] // reduction, reduction, 3
    )
    inside = image[: blocks.shape[0], : blocks.shape[2]].astype(float)
    assert np.abs(inside - blocks.mean((1, 3))).max() < 3


def test_exif_orientation_is_ignored(tmp_path: Path, picture: np.ndarray):
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix in ("jpg", "png"):
        Image.fromarray(picture).save(tmp_path / f"a.{suffix}", exif=exif)
        assert ImageReader().read(tmp_path / f"a.{suffix}").shape == (61, 83, 3)


def test_harmless_bytes_do_not_cost_the_image(tmp_path: Path, picture: np.ndarray):
    Image.fromarray(picture).save(tmp_path / "a.jpg", quality=95)
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(data[:-2] + b"\0\0\0" + data[-2:])
    clean, odd = (ImageReader().read(tmp_path / name).copy() for name in ("a.jpg", "b.jpg"))
    np.testing.assert_array_equal(clean, odd)


def test_one_reader_for_images_of_all_sizes(tmp_path: Path, picture: np.ndarray):
    reader = ImageReader()
    for size in ((61, 83), (20, 30), (61, 83)):
        Image.fromarray(picture[: size[0], : size[1]]).save(tmp_path / "a.jpg", quality=100, subsampling=0)
        image = reader.read(tmp_path / "a.jpg")
        assert np.abs(image.astype(int) - picture[: size[0], : size[1]]).mean() < 3


def test_unknown_reduction(tmp_path: Path):
    with pytest.raises(ValueError, match="reduction: 3; allowed"):
        ImageReader().decode(b"", "a", 3)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("colours", [1, 3])
def test_of_16_bits_the_largest_number_is_white(tmp_path: Path, picture: np.ndarray, suffix: str, colours: int):
    own = picture[:, :, :colours]
    cv2.imwrite(str(tmp_path / f"a.{suffix}"), own[:, :, ::-1].astype(np.uint16) * 257)
    assert np.array_equal(ImageReader().read(tmp_path / f"a.{suffix}"), np.broadcast_to(own, picture.shape))


@pytest.mark.parametrize("kind", ["float32", "float64", "int16"])
@pytest.mark.parametrize("colours", [1, 3])
def test_numbers_of_which_nobody_knows_what_is_white(tmp_path: Path, picture: np.ndarray, kind: str, colours: int):
    pixels = (picture[:, :, :colours] / 255).astype(kind)
    pixels[3, 5] = np.nan if kind.startswith("float") else -1
    assert cv2.imwrite(str(tmp_path / "a.tif"), pixels)
    with pytest.raises(
        ValueError, match=rf"a\.tif: its pixels are {kind} numbers; allowed: 8 or 16 bits without a sign"
    ):
        ImageReader().read(tmp_path / "a.tif")
