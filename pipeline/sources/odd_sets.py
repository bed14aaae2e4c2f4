"""What looks wrong in a keypoint set: mirror pairs that are missing or exchanged, sigmas far off."""

from __future__ import annotations

import numpy as np

from pipeline.records.keypoints import BUILT_IN, KeypointSet, keypoint_file, load_keypoint_set
from pipeline.records.sides import mirror_pairs

_LEAST_POINTS = 3  # keypoints whose sigmas say something together
_FACTOR = 5.0  # between a sigma and a published one of that name: nobody's estimates differ so much


def set_oddities(keypoints: KeypointSet) -> list[str]:
    """Warnings about a keypoint set, each a sentence with its remedy."""
    return [*_pairs(keypoints), *_sigmas(keypoints)]


def _pairs(keypoints: KeypointSet) -> list[str]:
    """Mirror pairs against what the names say."""
    expected = mirror_pairs(keypoints.names)
    named = {name: pair for pair in expected for name in pair}
    found = []
    wrong = [pair for pair in keypoints.flip_pairs if any(n in named and set(named[n]) != set(pair) for n in pair)]
    missing = [pair for pair in expected if not {*pair} & {name for other in keypoints.flip_pairs for name in other}]
    if missing:
        more = "" if len(missing) == 1 else f" and {len(missing) - 1} more"
        found.append(
            f"keypoint set '{keypoints.name}': flip_pairs lacks [{', '.join(missing[0])}]{more}: mirrored pictures "
            "would teach the left as the right; name every pair"
        )
    if wrong:
        name = next(n for n in wrong[0] if n in named and set(named[n]) != set(wrong[0]))
        found.append(
            f"keypoint set '{keypoints.name}': flip_pairs has [{', '.join(wrong[0])}]; by its name {name} belongs to "
            f"[{', '.join(named[name])}]"
        )
    return found


def _sigmas(keypoints: KeypointSet) -> list[str]:
    """Sigmas against the published ones of those names, against their mirror pair's, and against COCO's range."""
    if keypoints.sigmas is None:
        return []
    published = _published(keypoints)
    off = [
        (name, sigma, published[name][0])
        for name, sigma in zip(keypoints.names, keypoints.sigmas, strict=True)
        if name in published and all(not 1 / _FACTOR < sigma / known < _FACTOR for known in published[name])
    ]
    if off:
        name, sigma, known = off[0]
        return [
            f"keypoint set '{keypoints.name}': the sigmas of {len(off)} keypoints are far from the published ones: "
            f"{name} = {sigma:g}, published {known:g}; OKS and AP mean little with them"
        ]
    sigma_of = dict(zip(keypoints.names, keypoints.sigmas, strict=True))
    for one, other in keypoints.flip_pairs:
        if not 1 / _FACTOR < sigma_of[one] / sigma_of[other] < _FACTOR:
            return [
                f"keypoint set '{keypoints.name}': sigmas of a mirror pair are far apart: {one} = {sigma_of[one]:g}, "
                f"{other} = {sigma_of[other]:g}; the same belongs to both"
            ]
    typical = np.median(keypoints.sigmas)
    if len(keypoints) < _LEAST_POINTS or 0.01 <= typical <= 0.2:
        return []
    return [f"keypoint set '{keypoints.name}': sigmas are {typical:.3g} in the middle; COCO's are 0.025 to 0.107"]


def _published(keypoints: KeypointSet) -> dict[str, list[float]]:
    """The sigmas of each name in the built-in sets, other than the set itself: it is no witness of its own."""
    found: dict[str, list[float]] = {}
    own = keypoint_file(keypoints.name).resolve()
    for path in sorted(BUILT_IN.glob("*.yaml")):
        if path.resolve() != own:
            known = load_keypoint_set(path.stem)
            for name, sigma in zip(known.names, known.sigmas or (), strict=False):
                found.setdefault(name, []).append(sigma)
    return found
