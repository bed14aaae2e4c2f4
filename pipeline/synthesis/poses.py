"""Pose priors: how people stand in everyday pictures and how they move in sports and dance pictures."""

from dataclasses import dataclass, field

import numpy as np

from pipeline.synthesis.skeleton import Build

SIDES = ("left", "right")
_LIMB_REST = {
    "arm_abduction": (10.0, 6.0),
    "arm_flexion": (0.0, 12.0),
    "arm_twist": (25.0, 18.0),
    "elbow": (20.0, 12.0),
    "leg_abduction": (5.0, 3.0),
    "leg_flexion": (2.0, 6.0),
    "leg_twist": (8.0, 8.0),
    "knee": (5.0, 5.0),
    "foot": (0.0, 6.0),
}
_TRUNK_REST = {
    "roll": (0.0, 2.0),
    "pitch": (0.0, 2.0),
    "twist": (0.0, 7.0),
    "side": (0.0, 4.0),
    "lean": (3.0, 4.0),
    "head_yaw": (0.0, 18.0),
    "head_pitch": (4.0, 8.0),
    "head_roll": (0.0, 6.0),
}
REST = _TRUNK_REST | {f"{side}_{k}": v for side in SIDES for k, v in _LIMB_REST.items()}
"""Mean and standard deviation of every angle of a relaxed, standing body, in degrees."""

# Joint limits in degrees; a drawn angle is clipped to them. Handstands and falls need the whole range of roll.
_LIMITS = {
    "arm_abduction": (-15.0, 172.0),
    "arm_flexion": (-55.0, 165.0),
    "arm_twist": (-90.0, 95.0),
    "elbow": (0.0, 145.0),
    "leg_abduction": (-15.0, 85.0),
    "leg_flexion": (-40.0, 120.0),
    "leg_twist": (-35.0, 45.0),
    "knee": (0.0, 140.0),
    "foot": (-25.0, 50.0),
    "roll": (-180.0, 180.0),
    "pitch": (-90.0, 90.0),
    "twist": (-40.0, 40.0),
    "side": (-30.0, 30.0),
    "lean": (-25.0, 75.0),
    "head_yaw": (-70.0, 70.0),
    "head_pitch": (-35.0, 45.0),
    "head_roll": (-30.0, 30.0),
}


@dataclass(frozen=True)
class Archetype:
    """A kind of pose: `angles` are means that replace the relaxed body's, a key without a side sets both sides.

    `spread` multiplies the standard deviations of `REST`; `support` says what the body rests on.
    """

    weight: float
    angles: dict[str, float] = field(default_factory=dict)
    spread: float = 1.0
    support: str = "ground"


EVERYDAY = {
    "stand": Archetype(3.0),
    "walk": Archetype(
        2.5,
        {
            "left_leg_flexion": 24,
            "right_leg_flexion": -16,
            "left_knee": 14,
            "right_knee": 26,
            "left_arm_flexion": -22,
            "right_arm_flexion": 24,
            "elbow": 32,
        },
    ),
    "wave": Archetype(1.5, {"left_arm_abduction": 95, "left_arm_twist": -75, "left_elbow": 80, "right_elbow": 25}, 1.4),
    "hands_on_hips": Archetype(1.2, {"arm_abduction": 48, "arm_twist": 75, "elbow": 95}),
    "phone": Archetype(
        1.2, {"left_arm_abduction": 35, "left_arm_flexion": 45, "left_arm_twist": 15, "left_elbow": 132}
    ),
    "carry": Archetype(1.2, {"arm_flexion": 18, "elbow": 82, "arm_twist": 20}, 1.2),
    "arms_crossed": Archetype(1.0, {"arm_flexion": 32, "arm_twist": 65, "elbow": 105}),
    "reach": Archetype(
        1.2, {"left_arm_abduction": 150, "right_arm_abduction": 40, "elbow": 20, "head_pitch": -15}, 2.0
    ),
    "point": Archetype(1.0, {"left_arm_abduction": 75, "left_arm_flexion": 20, "left_elbow": 8}, 1.6),
    "sit": Archetype(
        2.0, {"leg_flexion": 84, "knee": 86, "leg_abduction": 10, "arm_flexion": 28, "elbow": 55}, 1.2, "seat"
    ),
    "crouch": Archetype(0.8, {"leg_flexion": 95, "knee": 120, "leg_abduction": 18, "lean": 30, "arm_flexion": 45}, 1.2),
    "bend": Archetype(0.7, {"lean": 55, "arm_flexion": 45, "knee": 18}, 1.3),
}

ATHLETIC = {
    "run": Archetype(
        2.5,
        {
            "left_leg_flexion": 62,
            "left_knee": 82,
            "right_leg_flexion": -22,
            "right_knee": 35,
            "lean": 14,
            "left_arm_flexion": -45,
            "right_arm_flexion": 42,
            "elbow": 90,
            "right_foot": 30,
        },
        1.6,
    ),
    "jump": Archetype(
        1.8, {"arm_abduction": 135, "leg_abduction": 25, "knee": 35, "leg_flexion": 15, "foot": 35}, 2.6, "air"
    ),
    "kick": Archetype(
        1.6,
        {"left_leg_flexion": 85, "left_knee": 12, "lean": -8, "left_arm_abduction": 60, "right_arm_abduction": 70},
        2.0,
    ),
    "lunge": Archetype(
        1.5,
        {"left_leg_flexion": 68, "left_knee": 72, "right_leg_flexion": -32, "right_knee": 25, "arm_abduction": 45},
        2.0,
    ),
    "throw": Archetype(
        1.6,
        {
            "left_arm_abduction": 112,
            "left_arm_twist": -70,
            "left_elbow": 85,
            "right_arm_abduction": 55,
            "right_arm_flexion": 35,
            "twist": -15,
            "left_leg_flexion": -18,
            "right_leg_flexion": 30,
            "knee": 25,
        },
        1.6,
    ),
    "dance": Archetype(2.0, {"arm_abduction": 105, "elbow": 35, "leg_abduction": 15, "knee": 18, "side": 6}, 3.2),
    "star": Archetype(1.0, {"arm_abduction": 115, "leg_abduction": 38, "elbow": 8}, 2.0, "air"),
    "squat": Archetype(1.0, {"leg_flexion": 88, "knee": 92, "lean": 30, "arm_flexion": 85, "leg_abduction": 22}, 1.4),
    "split": Archetype(0.8, {"leg_abduction": 76, "arm_abduction": 85, "elbow": 8}, 1.4),
    "balance": Archetype(
        1.0, {"left_leg_flexion": -38, "left_knee": 25, "lean": 45, "arm_abduction": 90, "head_pitch": -25}, 1.5
    ),
    "swing": Archetype(
        1.2, {"arm_flexion": 75, "arm_twist": 35, "elbow": 30, "twist": 30, "knee": 22, "lean": 12}, 1.6
    ),
    "cartwheel": Archetype(0.8, {"roll": 100, "arm_abduction": 150, "leg_abduction": 45, "elbow": 8}, 1.8),
    "handstand": Archetype(0.6, {"roll": 180, "arm_abduction": 168, "elbow": 4, "head_pitch": -20}, 1.3),
}


@dataclass(frozen=True)
class Pose:
    """Angles in degrees for every key of `REST`, and what the body rests on: ground, seat or air."""

    angles: dict[str, float]
    support: str


def sample_pose(rng: np.random.Generator, archetypes: dict[str, Archetype]) -> Pose:
    """One pose, left and right swapped half the time, every angle within its joint's limits."""
    kinds = list(archetypes.values())
    weights = np.array([kind.weight for kind in kinds])
    kind = kinds[rng.choice(len(kinds), p=weights / weights.sum())]
    means = {key: mean for key, (mean, _) in REST.items()}
    for key, value in kind.angles.items():
        for name in (key,) if key in means else tuple(f"{side}_{key}" for side in SIDES):
            means[name] = float(value)
    noise = rng.standard_normal(len(REST)) * kind.spread
    angles = {}
    for (key, (_, deviation)), standard in zip(REST.items(), noise.tolist(), strict=True):
        low, high = _LIMITS[_joint(key)]
        angles[key] = min(high, max(low, means[key] + standard * deviation))
    return Pose(_mirrored(angles) if rng.random() < 0.5 else angles, kind.support)


def _joint(key: str) -> str:
    """`left_elbow` to `elbow`: the two sides share their limits."""
    for side in SIDES:
        key = key.removeprefix(f"{side}_")
    return key


def _mirrored(angles: dict[str, float]) -> dict[str, float]:
    swapped = {}
    for key, value in angles.items():
        if key.startswith("left_"):
            swapped["right_" + key.removeprefix("left_")] = value
        elif key.startswith("right_"):
            swapped["left_" + key.removeprefix("right_")] = value
        else:
            swapped[key] = -value if key in ("roll", "twist", "side", "head_yaw", "head_roll") else value
    return swapped


def sample_build(rng: np.random.Generator) -> Build:
    """An adult's or, one time in six, a child's proportions."""
    child = rng.random() < 1 / 6
    scale = rng.uniform(0.94, 1.06, size=5)
    return Build(
        head=(0.098 if child else 0.079) * scale[0],
        torso=0.285 * scale[1],
        upper_arm=0.165 * scale[2] * (0.92 if child else 1.0),
        forearm=0.145 * scale[2] * (0.92 if child else 1.0),
        thigh=0.235 * scale[3] * (0.92 if child else 1.0),
        shin=0.235 * scale[3] * (0.92 if child else 1.0),
        shoulder=0.105 * scale[4],
        girth=rng.uniform(0.88, 1.28),
    )
