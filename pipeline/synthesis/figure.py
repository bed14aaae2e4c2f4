"""A body placed in the scene."""

from dataclasses import dataclass

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
        joint = self.skeleton.joints[name]
        return self.origin + joint[:2] * self.stature * CAMERA_DISTANCE / (CAMERA_DISTANCE + joint[2])

    def thickness(self, fraction: float) -> float:
        """Radius in canvas pixels of a part that measures `fraction` of the stature on a body of girth 1."""
        return max(LEAST_RADIUS, fraction * self.stature * self.skeleton.build.girth)

    def depth(self, *names: str) -> float:
        """Mean distance behind the pelvis, in statures."""
        return float(np.mean([self.skeleton.joints[name][2] for name in names]))

    def extent(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 in canvas pixels, sure to contain every pixel the body is drawn on."""
        points = np.array([self.project(name) for name in self.skeleton.joints])
        margin = 0.085 * self.stature * max(1.0, self.skeleton.build.girth)
        low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def lowest_point(skeleton: Skeleton) -> float:
    """Camera-frame y of the part that touches the ground, in statures below the pelvis."""
    return max(float(joint[1]) for joint in skeleton.joints.values()) + 0.02
