"""What the camera does to a finished scene: blur, darkness, noise, a colour cast."""

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def photograph(scene: Image, rng: np.random.Generator) -> Image:
    """The scene (H, W, 3) as taken: at times out of focus, shaken or in low light, always with some noise."""
    image = scene
    if rng.random() < 1 / 6:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.6, 1.5)), np.uint8)
    if rng.random() < 1 / 8:
        image = np.asarray(cv2.filter2D(image, -1, _streak(rng)), np.uint8)
    dark = rng.random() < 1 / 7
    gain = rng.uniform(0.35, 0.58) if dark else rng.uniform(0.85, 1.12)
    cast = rng.uniform(0.94, 1.06, 3) * gain
    sigma = rng.uniform(3.0, 6.0) if dark else rng.uniform(1.0, 4.0)
    noise = rng.standard_normal((*image.shape[:2], 1), dtype=np.float32) * np.float32(sigma)
    exposed = image * cast.astype(np.float32) + noise
    return np.clip(np.rint(exposed), 0, 255).astype(np.uint8)


def _streak(rng: np.random.Generator) -> NDArray[np.float32]:
    """Kernel of a straight camera shake, 3 to 6 pixels long."""
    length, angle = rng.uniform(3.0, 6.0), rng.uniform(0, np.pi)
    kernel = np.zeros((9, 9), np.float32)
    for t in np.linspace(-0.5, 0.5, 25):
        kernel[round(4 + t * length * np.sin(angle)), round(4 + t * length * np.cos(angle))] += 1
    return kernel / kernel.sum()
