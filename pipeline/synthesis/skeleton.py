"""Forward kinematics: joint angles to 3D joint positions of one body.

Frames. *Body*: left, up, forward of the person (right-handed). *Camera*: x right, y down, z away from the viewer,
origin at the pelvis, unit: the person's stature. A person who faces the camera has their left side at larger x.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

LEFT, UP, FORWARD = 0, 1, 2
_DOWN = np.array([0.0, -1.0, 0.0])
_BODY_TO_CAMERA = np.diag([1.0, -1.0, -1.0])
CAMERA_DISTANCE = 5.0
"""Of the viewer from the pelvis, in statures: a mild perspective."""

BODY_KEYPOINTS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
FACE_KEYPOINTS = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")


@dataclass(frozen=True)
class Build:
    """Proportions of a body as fractions of its stature; `girth` scales every thickness."""

    head: float = 0.078
    neck: float = 0.05
    torso: float = 0.285
    upper_arm: float = 0.165
    forearm: float = 0.145
    thigh: float = 0.235
    shin: float = 0.235
    shoulder: float = 0.105
    hip: float = 0.062
    girth: float = 1.0


@dataclass(frozen=True)
class Skeleton:
    """`joints`: camera-frame positions by name (statures); frames: columns left, up, forward in the camera frame."""

    joints: dict[str, Vector]
    chest_frame: Matrix
    pelvis_frame: Matrix
    head_frame: Matrix
    head_radii: Vector
    build: Build

    def face_normal(self, name: str) -> Vector:
        """Outward unit normal of the head's surface at a face keypoint; its z is negative where the viewer sees it."""
        offset = self.joints[name] - self.joints["head"]
        return offset / np.linalg.norm(offset)


def rotation(axis: int, degrees: float) -> Matrix:
    """Right-handed rotation about one body axis: LEFT turns up to forward, UP forward to left, FORWARD left to up."""
    angle = np.deg2rad(degrees)
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.eye(3)
    a, b = (axis + 1) % 3, (axis + 2) % 3
    matrix[a, a] = matrix[b, b] = c
    matrix[a, b], matrix[b, a] = -s, s
    return matrix


# Unit directions on the head, (left, up, forward); the nose stands out of the ellipsoid.
FACE_POINTS = {
    "nose": np.array([0.0, -0.08, 1.12]),
    "left_eye": np.array([0.36, 0.16, 0.92]),
    "right_eye": np.array([-0.36, 0.16, 0.92]),
    "left_ear": np.array([1.0, 0.02, 0.0]),
    "right_ear": np.array([-1.0, 0.02, 0.0]),
}


def pose_skeleton(angles: dict[str, float], build: Build, yaw: float, camera_pitch: float) -> Skeleton:
    """Joint positions of a body.

    `angles`: degrees, every key of `poses.REST`. `yaw`: 0 faces the viewer, 90 faces the right border of the image, 180
    faces away. `camera_pitch`: degrees by which the camera looks down on the person.
    """
    root = _BODY_TO_CAMERA @ rotation(LEFT, camera_pitch) @ rotation(UP, yaw)
    pelvis = root @ rotation(FORWARD, angles["roll"]) @ rotation(LEFT, angles["pitch"])
    chest = pelvis @ rotation(UP, angles["twist"]) @ rotation(FORWARD, angles["side"]) @ rotation(LEFT, angles["lean"])
    head = (
        chest
        @ rotation(UP, angles["head_yaw"])
        @ rotation(LEFT, angles["head_pitch"])
        @ rotation(FORWARD, angles["head_roll"])
    )
    radii = build.head * np.array([0.78, 1.0, 0.88])
    joints = {"pelvis": np.zeros(3)}
    joints["chest"] = chest[:, UP] * build.torso * 0.72
    joints["neck"] = chest[:, UP] * build.torso
    # The neck's base is AI Challenger's "neck"; the head sits above and slightly before it.
    joints["head"] = joints["neck"] + head @ np.array([0.0, build.neck * 0.75 + radii[UP], 0.012])
    joints["top_of_head"] = joints["head"] + head[:, UP] * radii[UP] * 0.93  # on the head, not on its rim
    for name, direction in FACE_POINTS.items():
        joints[name] = joints["head"] + head @ (direction * radii)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        _arm(joints, angles, build, chest, side, sign)
        _leg(joints, angles, build, pelvis, side, sign)
    return Skeleton(joints, chest, pelvis, head, radii, build)


def _arm(
    joints: dict[str, Vector], angles: dict[str, float], build: Build, chest: Matrix, side: str, sign: float
) -> None:
    raised = max(0.0, angles[f"{side}_arm_abduction"] - 90.0) / 90.0  # a raised arm lifts its shoulder
    shoulder = np.array([sign * build.shoulder * (1 - 0.15 * raised), build.torso * (0.93 + 0.1 * raised), 0.0])
    joints[f"{side}_shoulder"] = chest @ shoulder
    frame = (
        chest
        @ rotation(FORWARD, sign * angles[f"{side}_arm_abduction"])
        @ rotation(LEFT, -angles[f"{side}_arm_flexion"])
        @ rotation(UP, -sign * angles[f"{side}_arm_twist"])
    )
    joints[f"{side}_elbow"] = joints[f"{side}_shoulder"] + frame @ _DOWN * build.upper_arm
    lower = frame @ rotation(LEFT, -angles[f"{side}_elbow"])
    joints[f"{side}_wrist"] = joints[f"{side}_elbow"] + lower @ _DOWN * build.forearm
    joints[f"{side}_hand"] = joints[f"{side}_wrist"] + lower @ _DOWN * 0.04


def _leg(
    joints: dict[str, Vector], angles: dict[str, float], build: Build, pelvis: Matrix, side: str, sign: float
) -> None:
    joints[f"{side}_hip"] = pelvis @ np.array([sign * build.hip, 0.0, 0.0])
    frame = (
        pelvis
        @ rotation(FORWARD, sign * angles[f"{side}_leg_abduction"])
        @ rotation(LEFT, -angles[f"{side}_leg_flexion"])
        @ rotation(UP, sign * angles[f"{side}_leg_twist"])
    )
    joints[f"{side}_knee"] = joints[f"{side}_hip"] + frame @ _DOWN * build.thigh
    lower = frame @ rotation(LEFT, angles[f"{side}_knee"])
    joints[f"{side}_ankle"] = joints[f"{side}_knee"] + lower @ _DOWN * build.shin
    foot = lower @ rotation(LEFT, -angles[f"{side}_foot"])
    joints[f"{side}_toe"] = joints[f"{side}_ankle"] + foot @ np.array([0.0, -0.035, 0.075])
