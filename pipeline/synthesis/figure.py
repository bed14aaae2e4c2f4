"""A body placed in the scene."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.synthesis.canvas import Points
from pipeline.synthesis.look import Look
from pipeline.synthesis.skeleton import CAMERA_DISTANCE, Skeleton

LEAST_RADIUS = 2.2
"""Canvas pixels; no limb is thinner, so that a joint's own pixel always shows its limb unless something covers it."""


@dataclass(frozen=True)
class Figure:
    """A body placed in the scene. `origin`: the pelvis in canvas pixels; `stature`: canvas pixels."""

    skeleton: Skeleton
    look: Look
    origin: Points
    stature: float

    def project(self, name: str) -> Points:
        """Canvas position (x, y) of a joint."""
        return self._positions[name]

    @cached_property
    def _positions(self) -> dict[str, Points]:
        joints = np.array(list(self.skeleton.joints.values()))
        scale = self.stature * CAMERA_DISTANCE / (CAMERA_DISTANCE + joints[:, 2:])
        return dict(zip(self.skeleton.joints, self.origin + joints[:, :2] * scale, strict=True))

    def thickness(self, fraction: float) -> float:
        """Radius in canvas pixels of a part that measures `fraction` of the stature on a body of girth 1."""
        return max(LEAST_RADIUS, fraction * self.stature * self.skeleton.build.girth)

    def depth(self, *names: str) -> float:
        """Mean distance behind the pelvis, in statures."""
        return sum(float(self.skeleton.joints[name][2]) for name in names) / len(names)

    def extent(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 in canvas pixels, sure to contain every pixel the body is drawn on."""
        points = np.array(list(self._positions.values()))
        margin = 0.085 * self.stature * max(1.0, self.skeleton.build.girth)
        low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def lowest_point(skeleton: Skeleton) -> float:
    """Camera-frame y of the part that touches the ground, in statures below the pelvis."""
    return max(float(joint[1]) for joint in skeleton.joints.values()) + 0.02
