"""Compiled heatmap kernels for one CPU core: targets from keypoints, and keypoints from heatmaps in one pass.

The decoder reads each heatmap once, averages it with its mirrored twin in a buffer that stays in cache and notes the
maximum of every few rows.  A weighted mean is never above the largest value it is taken over, so no filtered value can
exceed the one at the unfiltered maximum unless a cell at least that high is within the filter's reach.  The Gaussian
filter therefore runs on the rectangle about such cells only: a few cells in a map with a peak, all of them in a flat
one.  The result is that of filtering everything.

Loops are written for LLVM's vectoriser: unsigned indices (signed ones may wrap around in Python), flat arrays, and
maxima taken over the floats' bit patterns, because a maximum of floats may not be reordered.
"""

import numpy as np
from numba import njit

BAND = 4
"""Rows whose maximum is noted together."""
QUARTER, PARABOLA, PARABOLOID, DARK, LOG_PARABOLA = range(1, 6)  # places in postproc.heatmaps.REFINEMENTS
LOWEST, SIGN_FREE = np.int32(-0x80000000), np.int32(0x7FFFFFFF)
INFINITE = np.int32(0x7F800000)
CONTRACT = {"contract", "nsz"}


@njit(cache=True, nogil=True, error_model="numpy")
def gaussians(points, visible, height, width, sigma, floor, out):  # type: ignore[no-untyped-def]
    """Fill `out` `[M, H, W]` with Gaussians about `points` `[M, 2]` (cells); see `postproc.codec.encode`."""
    across = np.empty(width, np.float32)
    for m in range(len(points)):
        out[m] = 0
        x, y = points[m, 0], points[m, 1]
        reach = 3 * sigma
        inside = x >= -reach and x <= width - 1 + reach and y >= -reach and y <= height - 1 + reach
        if not (visible[m] and inside):
            continue
        # Beyond this distance a factor is below `floor`.
        far = sigma * np.sqrt(-2 * np.log(floor))
        left, right = max(0, int(np.ceil(x - far))), min(width - 1, int(np.floor(x + far)))
        top, bottom = max(0, int(np.ceil(y - far))), min(height - 1, int(np.floor(y + far)))
        for j in range(left, right + 1):
            across[j] = np.exp(-((j - x) ** 2) / (2 * sigma * sigma))
        for i in range(top, bottom + 1):
            down = np.float32(np.exp(-((i - y) ** 2) / (2 * sigma * sigma)))
            for j in range(left, right + 1):
                out[m, i, j] = down * across[j]


@njit(cache=True, nogil=True, error_model="numpy")
def decode_maps(  # type: ignore[no-untyped-def]
    maps, flipped, partner, height, width, shift, weights, refine, coordinates, scores
):
    """Decode flat float32 `maps` of M = B * K heatmaps; see `postproc.codec.decode`.

    Args:
        maps: `[M * H * W]`.
        flipped: likewise, or empty for no flip test.
        partner: `[K]` place of each keypoint's twin in the mirror.
        weights: the Gaussian filter's weights from the middle outwards, at least 3, or empty for no filter.
        refine: place in `REFINEMENTS`.
        coordinates: `[M, 2]`, filled with x, y in cells.
        scores: `[M]`, filled.
    """
    keypoints, cells = len(partner), height * width
    mean, smooth = np.empty(cells, np.float32), np.empty(cells, np.float32)
    line = np.zeros(width + 2 * len(weights), np.float32)
    peak_bits = np.empty((height + BAND - 1) // BAND, np.int32)
    peaks = peak_bits.view(np.float32)
    window = np.empty((5, 5), np.float64)
    for m in range(len(scores)):
        source, start = maps, m * cells
        if len(flipped) > 0:
            twin = (m // keypoints * keypoints + partner[m % keypoints]) * cells
            _average_mirrored(maps, flipped, np.uint64(start), np.uint64(twin), height, width, shift, mean)
            source, start = mean, 0
        if not _band_peaks(source.view(np.int32), start, height, width, peak_bits):
            coordinates[m, 0] = coordinates[m, 1] = scores[m] = np.nan
            continue
        best = _first_maximum(source, start, height, width, peaks)
        scores[m] = source[start + best]
        if len(weights) > 0:
            best = _filtered_maximum(source, start, height, width, weights, peaks, best, line, smooth)
            source, start = smooth, 0
        x, y = best % width, best // width
        for r in range(5):
            for c in range(5):
                i, j = min(max(y + r - 2, 0), height - 1), min(max(x + c - 2, 0), width - 1)
                window[r, c] = source[start + i * width + j]
        dx, dy = _offset(window, x, y, height, width, refine)
        coordinates[m, 0], coordinates[m, 1] = x + dx, y + dy


@njit(cache=True, nogil=True, error_model="numpy", fastmath=CONTRACT)
def _average_mirrored(maps, flipped, start, twin, height, width, shift, mean):  # type: ignore[no-untyped-def]
    """Mean of a map and of its twin, mirrored back and moved `shift` cells to the right (Equation 25)."""
    half, stay, move = np.float32(0.5), np.float32((1 - shift) / 2), np.float32(shift / 2)
    one, columns = np.uint64(1), np.uint64(width)
    for i in range(np.uint64(height)):
        row, end, to = start + i * columns, twin + (i + one) * columns, i * columns
        mean[to] = half * maps[row] + half * flipped[end - one]
        for j in range(one, columns):
            mean[to + j] = half * maps[row + j] + stay * flipped[end - one - j] + move * flipped[end - j]


@njit(cache=True, nogil=True)
def _band_peaks(bits, start, height, width, peak_bits):  # type: ignore[no-untyped-def]
    """Note each band's maximum; False where a value is not finite."""
    for band in range(len(peak_bits)):
        low, high = start + band * BAND * width, start + min(height, (band + 1) * BAND) * width
        peak_bits[band] = _highest(bits, low, high)
        size = np.int32(0)
        for at in range(np.uint64(low), np.uint64(high)):
            size = max(size, np.int32(bits[at] & SIGN_FREE))
        if size >= INFINITE:
            return False
    return True


@njit(cache=True, nogil=True)
def _highest(bits, low, high):  # type: ignore[no-untyped-def]
    """Bits of the largest float in a range, all of them finite.

    A float's bits, read as an integer, order as the floats do, except that among negative ones the order is turned.
    """
    top = LOWEST
    for at in range(np.uint64(low), np.uint64(high)):
        top = max(top, bits[at])
    if top < 0:
        for at in range(np.uint64(low), np.uint64(high)):
            top = min(top, bits[at])
    return top


@njit(cache=True, nogil=True)
def _first_maximum(source, start, height, width, peaks):  # type: ignore[no-untyped-def]
    """Place of the first cell, row by row, that holds the maximum."""
    band = np.argmax(peaks)
    at = band * BAND * width
    while source[start + at] != peaks[band]:
        at += 1
    return at


@njit(cache=True, nogil=True, error_model="numpy")
def _filtered_maximum(source, start, height, width, weights, peaks, guess, line, smooth):  # type: ignore[no-untyped-def]
    """Place of the filtered map's first maximum; `smooth` then holds the filtered cells within 2 of it."""
    y, x = guess // width, guess % width
    _filter(source, start, height, width, weights, y, y + 1, x, x + 1, line, smooth)
    reach = len(weights) - 1 + 2  # the window that is refined takes 2 more
    # Sums of rounded products may lie that much above what they should.
    bound = smooth[guess] - 1e-5 * max(abs(smooth[guess]), abs(source[start + guess]))
    top, bottom, left, right = y, y, x, x
    for band in range(len(peaks)):
        if peaks[band] < bound:
            continue
        for i in range(band * BAND, min(height, (band + 1) * BAND)):
            row, first, last = np.uint64(start + i * width), np.uint64(0), np.uint64(width - 1)
            while first <= last and source[row + first] < bound:
                first += np.uint64(1)
            if first > last:
                continue
            while last > np.uint64(right) and source[row + last] < bound:
                last -= np.uint64(1)
            top, bottom, left, right = min(top, i), max(bottom, i), min(left, np.int64(first)), np.int64(last)
    top, bottom = max(0, top - reach), min(height, bottom + 1 + reach)
    left, right = max(0, left - reach), min(width, right + 1 + reach)
    _filter(source, start, height, width, weights, top, bottom, left, right, line, smooth)
    bits, peak_bits = smooth.view(np.int32), np.empty(1, np.int32)
    peak = peak_bits.view(np.float32)
    best, value = guess, np.float32(-np.inf)
    for i in range(top, bottom):
        peak_bits[0] = _highest(bits, i * width + left, i * width + right)
        if peak[0] > value:
            best, value = i * width + left, peak[0]
            while smooth[best] != value:
                best += 1
    return best


@njit(cache=True, nogil=True, error_model="numpy", fastmath=CONTRACT)
def _filter(  # type: ignore[no-untyped-def]
    source, start, height, width, weights, top, bottom, left, right, line, smooth
):
    """Filter a rectangle, down then across; the map is mirrored at its border without repeating the border.

    The middle and two taps on each side go in one pass, any further tap in one of its own.
    """
    radius = len(weights) - 1
    w0, w1, w2 = weights[0], weights[1], weights[2]
    one, two, middle = np.uint64(1), np.uint64(2), np.uint64(radius)
    low, high = np.uint64(max(0, left - radius)), np.uint64(min(width, right + radius))
    for i in range(top, bottom):
        row = np.uint64(start + i * width)
        up1, down1 = _mirrored_rows(start, i, 1, height, width)
        up2, down2 = _mirrored_rows(start, i, 2, height, width)
        for j in range(low, high):
            inner, outer = source[up1 + j] + source[down1 + j], source[up2 + j] + source[down2 + j]
            line[middle + j] = w0 * source[row + j] + w1 * inner + w2 * outer
        for tap in range(3, radius + 1):
            weight = weights[tap]
            up, down = _mirrored_rows(start, i, tap, height, width)
            for j in range(low, high):
                line[middle + j] += weight * (source[up + j] + source[down + j])
        for tap in range(1, radius + 1):
            line[radius - tap] = line[radius + tap]
            line[radius + width - 1 + tap] = line[radius + width - 1 - tap]
        to = np.uint64(i * width)
        for j in range(np.uint64(left), np.uint64(right)):
            at = middle + j
            inner, outer = line[at - one] + line[at + one], line[at - two] + line[at + two]
            smooth[to + j] = w0 * line[at] + w1 * inner + w2 * outer
        for tap in range(np.uint64(3), np.uint64(radius + 1)):
            weight = weights[tap]
            for j in range(np.uint64(left), np.uint64(right)):
                smooth[to + j] += weight * (line[middle + j - tap] + line[middle + j + tap])


@njit(cache=True, nogil=True)
def _mirrored_rows(start, row, tap, height, width):  # type: ignore[no-untyped-def]
    """Places of the rows `tap` above and below, mirrored at the border (clamped where that has no weight either)."""
    up, last = min(abs(row - tap), height - 1), height - 1
    down = max(last - abs(last - row - tap), 0)
    return np.uint64(start + up * width), np.uint64(start + down * width)


@njit(cache=True, nogil=True, error_model="numpy")
def _offset(z, x, y, height, width, refine):  # type: ignore[no-untyped-def]
    """Sub-cell step from the middle of the 5 x 5 window `z`; the twin of `postproc.heatmaps._offset`."""
    if refine == 0:
        return 0.0, 0.0
    across, down = 0 < x < width - 1, 0 < y < height - 1
    if refine == QUARTER:
        dx = 0.25 * np.sign(z[2, 3] - z[2, 1]) if across else 0.0
        dy = 0.25 * np.sign(z[3, 2] - z[1, 2]) if down else 0.0
        return dx, dy
    if refine in (DARK, LOG_PARABOLA):
        for r in range(5):
            for c in range(5):
                if refine == DARK or r == 2 or c == 2:
                    z[r, c] = np.log(max(z[r, c], 1e-10))
    if refine == PARABOLOID and across and down:
        a = (2 * (z[2, 3] + z[2, 1] - 2 * z[2, 2]) + (z[1, 3] + z[1, 1] - 2 * z[1, 2])) / 8
        a += (z[3, 3] + z[3, 1] - 2 * z[3, 2]) / 8
        b = (2 * (z[1, 2] + z[3, 2] - 2 * z[2, 2]) + (z[1, 1] + z[3, 1] - 2 * z[2, 1])) / 8
        b += (z[1, 3] + z[3, 3] - 2 * z[2, 3]) / 8
        c = (z[1, 1] + z[3, 3] - z[1, 3] - z[3, 1]) / 4
        d = ((z[1, 3] - z[1, 1]) + (z[3, 3] - z[3, 1]) + 2 * (z[2, 3] - z[2, 1])) / 8
        e = ((z[3, 1] - z[1, 1]) + (z[3, 3] - z[1, 3]) + 2 * (z[3, 2] - z[1, 2])) / 8
        usable, dx, dy = _summit(a, b, c, d, e)
        if usable:
            return dx, dy
    if refine == DARK and 1 < x < width - 2 and 1 < y < height - 2:
        a = (z[2, 4] + z[2, 0] - 2 * z[2, 2]) / 8
        b = (z[4, 2] + z[0, 2] - 2 * z[2, 2]) / 8
        c = (z[1, 1] + z[3, 3] - z[1, 3] - z[3, 1]) / 4
        usable, dx, dy = _summit(a, b, c, (z[2, 3] - z[2, 1]) / 2, (z[3, 2] - z[1, 2]) / 2)
        if usable:
            return dx, dy
    dx = _parabola(z[2, 1], z[2, 2], z[2, 3]) if across else 0.0
    dy = _parabola(z[1, 2], z[2, 2], z[3, 2]) if down else 0.0
    return dx, dy


@njit(cache=True, nogil=True, error_model="numpy")
def _parabola(before, middle, after):  # type: ignore[no-untyped-def]
    """Step from the middle of three samples to their parabola's maximum, Equation 13; 0 where they are level."""
    bend = before + after - 2 * middle
    return (before - after) / (2 * bend) if bend < 0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _summit(a, b, c, d, e):  # type: ignore[no-untyped-def]
    """Whether the surface of Equation 14 has a maximum, and where (Equation 16), at most a cell away each way."""
    determinant = 4 * a * b - c * c
    if not (determinant > 0 and a < 0):
        return False, 0.0, 0.0
    dx, dy = (c * e - 2 * b * d) / determinant, (c * d - 2 * a * e) / determinant
    return True, min(max(dx, -1.0), 1.0), min(max(dy, -1.0), 1.0)
