"""Draws the head: an ellipsoid of hair with a face on its front, turned as the skeleton says."""

import numpy as np

from pipeline.synthesis.canvas import Canvas, Colour, Points, capsule, convex, ellipse, shade
from pipeline.synthesis.figure import Figure
from pipeline.synthesis.skeleton import FORWARD, UP

# The face's rim on the unit sphere as (degrees from straight ahead to the left, degrees up), once round.
_RIM = np.array(
    [[72, 20], [45, 38], [0, 44], [-45, 38], [-72, 20], [-80, -25], [-60, -75], [0, -89], [60, -75], [80, -25]]
)


def _sphere(left_degrees: Points, up_degrees: Points) -> Points:
    azimuth, elevation = np.deg2rad(left_degrees), np.deg2rad(up_degrees)
    return np.stack(
        [np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)], axis=-1
    )


def draw_head(canvas: Canvas, figure: Figure, code: int) -> None:
    look, skeleton = figure.look, figure.skeleton
    centre, frame = figure.project("head"), skeleton.head_frame
    radii = np.maximum(skeleton.head_radii * figure.stature, 3.0)
    axes = frame * radii  # columns: the three half axes in the camera frame, canvas pixels
    along = axes[:2, UP]
    # Silhouette of an ellipsoid under parallel projection: the ellipse of the 2x2 matrix M = sum of outer products.
    values, vectors = np.linalg.eigh(axes[:2] @ axes[:2].T)
    wide, tall = vectors[:, 0] * np.sqrt(values[0]), vectors[:, 1] * np.sqrt(values[1])
    shell = look.skin if look.hair_style == "bald" else look.hair
    if look.hair_style == "long":
        _long_hair(canvas, figure, centre, along, code)
    if look.hair_style == "bun":
        knot = centre + along * 0.85 - axes[:2, FORWARD] * 0.45
        canvas.solid(ellipse(knot, wide * 0.42, tall * 0.42), look.hair, code)
    canvas.solid(ellipse(centre, wide * 1.04, tall * 1.04), shell, code)
    _ears(canvas, figure, code)
    _face(canvas, axes, centre, look.skin)
    if look.hair_style in ("cap", "band"):
        _head_gear(canvas, figure, axes, centre)
    if look.face:
        _features(canvas, figure)


def _long_hair(canvas: Canvas, figure: Figure, centre: Points, along: Points, code: int) -> None:
    across = np.array([-along[1], along[0]]) * 0.85
    back = -figure.skeleton.head_frame[:2, FORWARD] * np.linalg.norm(along) * 0.4
    low = centre + back - along * 1.25
    outline = np.array([centre + across, centre - across, low - across * 0.9, low + across * 0.9])
    canvas.solid(outline, figure.look.hair, code)


def _ears(canvas: Canvas, figure: Figure, code: int) -> None:
    size = max(1.3, figure.skeleton.head_radii[UP] * figure.stature * 0.2)
    along = figure.skeleton.head_frame[:2, UP] * size * 1.3
    forward = np.array([-along[1], along[0]]) * 0.55
    for name in ("left_ear", "right_ear"):
        if figure.skeleton.face_normal(name)[2] < 0.3:
            point = figure.project(name)
            canvas.fill(ellipse(point, forward * 1.25, along * 1.2), shade(figure.look.skin, 0.62), code)
            canvas.fill(ellipse(point, forward * 0.8, along * 0.8), shade(figure.look.skin, 0.9))


def _face(canvas: Canvas, axes: Points, centre: Points, skin: Colour) -> None:
    """The front of the ellipsoid; rim points on the far side slide to the silhouette, so that the face turns away."""
    points = (axes @ _sphere(_RIM[:, 0], _RIM[:, 1]).T).T  # camera frame
    if axes[2, FORWARD] > 0.12 * np.linalg.norm(axes[:, FORWARD]):  # only a sliver could show
        return
    hidden = points[:, 2] > 0
    if hidden.any():
        flat = points[hidden].copy()
        flat[:, 2] = 0.0
        on_sphere = np.linalg.solve(axes, flat.T).T
        flat /= np.maximum(1e-6, np.linalg.norm(on_sphere, axis=1, keepdims=True))
        points[hidden] = flat
    outline = np.array(centre + points[:, :2] * 0.97)
    outline = convex(outline)
    canvas.fill(outline, shade(skin, 0.92))
    middle = outline.mean(axis=0)
    canvas.fill(middle + (outline - middle) * 0.82, shade(skin, 1.06))


def _head_gear(canvas: Canvas, figure: Figure, axes: Points, centre: Points) -> None:
    """A cap with a peak, or a sweat band, in the second colour of the clothes."""
    look = figure.look
    turns = np.linspace(0, 360, 13)[:-1]
    low, high = (30, 55) if look.hair_style == "band" else (28, 88)
    ring = (axes @ np.concatenate([_sphere(turns, np.full(12, low)), _sphere(turns, np.full(12, high))]).T).T
    outline = convex(centre + ring[:, :2] * 1.05)
    canvas.fill(outline, shade(look.second, 0.8))
    if look.hair_style == "cap" and axes[2, FORWARD] < 0.6 * np.linalg.norm(axes[:, FORWARD]):
        angles = np.array([-50.0, -20.0, 20.0, 50.0])
        brim = (axes @ _sphere(angles, np.full(4, 26.0)).T).T
        out = (axes @ (_sphere(angles[1:3], np.full(2, 18.0)) * 1.5).T).T
        peak = np.concatenate([brim, out])[:, :2] + centre
        canvas.fill(convex(peak), shade(look.second, 0.6))


def _features(canvas: Canvas, figure: Figure) -> None:
    """Eyes, brows, nose and mouth where they face the viewer; on a statue, carved in its own colour."""
    look, skeleton = figure.look, figure.skeleton
    unit = skeleton.head_radii[UP] * figure.stature
    upright = skeleton.head_frame[:2, UP]
    sideways = np.array([-upright[1], upright[0]])
    ink = shade(look.skin, 0.55) if look.carved else (28.0, 24.0, 24.0)
    white = shade(look.skin, 0.8) if look.carved else (245.0, 245.0, 245.0)
    for name in ("left_eye", "right_eye"):
        normal = skeleton.face_normal(name)
        if normal[2] < 0.05:
            narrow = max(0.35, -normal[2])
            point = figure.project(name)
            size = max(1.3, unit * 0.17)
            canvas.fill(ellipse(point, sideways * size * 1.25 * narrow, upright * size * 0.9), white)
            canvas.fill(ellipse(point, sideways * size * 0.62 * narrow, upright * size * 0.75), ink)
            brow, half = point + upright * size * 1.5, sideways * size * narrow
            thickness = max(0.6, size * 0.25)
            canvas.fill(capsule(brow - half, brow + half, thickness, thickness), shade(look.hair, 0.8))
    if skeleton.face_normal("nose")[2] < 0.15:
        nose = figure.project("nose")
        root = figure.project("left_eye") * 0.5 + figure.project("right_eye") * 0.5
        size = max(1.2, unit * 0.12)
        canvas.fill(np.array([root, nose + sideways * size, nose - sideways * size]), shade(look.skin, 0.78))
        canvas.fill(ellipse(nose, sideways * size * 1.1, upright * size * 0.8), shade(look.skin, 0.7))
        mouth = nose - upright * unit * 0.38 - skeleton.head_frame[:2, FORWARD] * unit * 0.12
        lips = shade(look.skin, 0.6) if look.carved else (70.0, 60.0, 170.0)
        half = sideways * unit * 0.24 * max(0.3, abs(skeleton.head_frame[2, FORWARD]))
        canvas.fill(capsule(mouth - half, mouth + half, max(0.6, unit * 0.05), max(0.6, unit * 0.05)), lips)
