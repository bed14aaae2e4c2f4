"""What every place is made of: colours, gradients, blotches, and things strewn over the ground."""

from collections.abc import Callable

import cv2
import numpy as np

from pipeline.synthesis.canvas import Canvas, Colour
from pipeline.synthesis.look import colour_from_hsv

Span = tuple[float, float]


def paint(rng: np.random.Generator, hue: Span, saturation: Span, value: Span) -> Colour:
    """A random colour from ranges of hue (turns, may pass 1), saturation and value (0..1)."""
    return colour_from_hsv(rng.uniform(*hue), rng.uniform(*saturation), rng.uniform(*value))


def gradient(canvas: Canvas, top: float, bottom: float, first: Colour, last: Colour) -> None:
    """Fill the rows from `top` to `bottom` with colours that run from `first` to `last`."""
    y0, y1 = int(max(0, top)), int(min(canvas.height, bottom))
    if y1 > y0:
        t = np.linspace(0, 1, y1 - y0)[:, None, None]
        rows = np.rint(np.clip(np.array(first) * (1 - t) + np.array(last) * t, 0, 255)).astype(np.uint8)
        canvas.pixels[y0:y1] = cv2.resize(rows, (canvas.width, y1 - y0), interpolation=cv2.INTER_NEAREST)


def texture(canvas: Canvas, rng: np.random.Generator) -> None:
    """Brighten and darken the whole canvas in blotches of three sizes, so that no surface is flat."""
    blotches = np.zeros((2, 2), np.float32)
    for cells, strength in ((6, 26), (24, 18), (90, 16)):
        rows = max(2, cells * canvas.height // canvas.width)
        finer = rng.uniform(-strength, strength, size=(rows, cells)).astype(np.float32)
        blotches = cv2.resize(blotches, (cells, rows), interpolation=cv2.INTER_LINEAR) + finer
    coarse = np.rint(blotches + 128).astype(np.uint8)
    bright = np.asarray(cv2.resize(coarse, (canvas.width, canvas.height), interpolation=cv2.INTER_LINEAR), np.uint8)
    # Adding (blotch - 128) in two saturated steps on bytes is four times as fast as one on 16 bits.
    light, dark = np.maximum(bright, 128) - 128, 128 - np.minimum(bright, 128)
    brighter = cv2.add(canvas.pixels, cv2.merge([light] * 3))
    canvas.pixels = np.asarray(cv2.subtract(brighter, cv2.merge([dark] * 3)), np.uint8)


def scatter(
    canvas: Canvas,
    rng: np.random.Generator,
    count: tuple[int, int],
    rows: Span,
    draw: Callable[[Canvas, np.random.Generator, float, float, float], None],
) -> None:
    """Call draw(canvas, rng, x, y, nearness) for `count` (from, below) places between two rows, far ones first.

    Nearness is about 0.5 at the upper row and 1.5 at the lower, times a random factor.
    """
    low, high = rows
    for y in np.sort(rng.uniform(low, high, int(rng.integers(*count)))).tolist():
        nearness = (0.5 + (y - low) / max(1.0, high - low)) * float(rng.uniform(0.6, 1.4))
        draw(canvas, rng, float(rng.uniform(0, canvas.width)), y, nearness)
