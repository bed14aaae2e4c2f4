import numpy as np
import pytest

from pipeline.synthesis.poses import REST
from pipeline.synthesis.skeleton import FORWARD, LEFT, UP, Build, pose_skeleton, rotation

ZERO = dict.fromkeys(REST, 0.0)
SIDES = ("left", "right")


def stand(yaw: float = 0.0, **angles: float):
    return pose_skeleton({**ZERO, **angles}, Build(), yaw, 0.0).joints


@pytest.mark.parametrize("joint", ["shoulder", "elbow", "wrist", "hip", "knee", "ankle", "eye", "ear"])
def test_left_is_at_larger_x_seen_from_the_front_and_at_smaller_x_from_behind(joint):
    front, back = stand(0.0), stand(180.0)
    assert front[f"left_{joint}"][0] > front[f"right_{joint}"][0]
    assert back[f"left_{joint}"][0] < back[f"right_{joint}"][0]


def test_the_nose_points_to_the_viewer_in_front_and_to_the_right_at_yaw_90():
    assert stand(0.0)["nose"][2] < stand(0.0)["head"][2]
    assert stand(90.0)["nose"][0] > stand(90.0)["head"][0]


def test_a_standing_body_is_upright_and_symmetric():
    joints = stand()
    order = ["top_of_head", "nose", "neck", "left_hip", "left_knee", "left_ankle"]
    heights = [joints[name][1] for name in order]
    assert heights == sorted(heights)  # y grows downwards
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "eye", "ear"):
        assert joints[f"left_{joint}"] == pytest.approx(joints[f"right_{joint}"] * [-1, 1, 1], abs=1e-12)


def test_bones_keep_their_lengths_in_any_pose():
    rng, build = np.random.default_rng(5), Build()
    bones = {
        ("shoulder", "elbow"): build.upper_arm, ("elbow", "wrist"): build.forearm,
        ("hip", "knee"): build.thigh, ("knee", "ankle"): build.shin,
    }  # fmt: skip
    for _ in range(20):
        angles = {key: float(rng.uniform(-60, 60)) for key in REST}
        joints = pose_skeleton(angles, build, float(rng.uniform(-180, 180)), float(rng.uniform(0, 20))).joints
        for (start, end), length in bones.items():
            for side in SIDES:
                assert np.linalg.norm(joints[f"{side}_{end}"] - joints[f"{side}_{start}"]) == pytest.approx(length)


def test_joints_bend_the_way_bodies_do():
    # Seen from the front, forward is towards the viewer: smaller z.
    assert stand(left_elbow=90.0)["left_wrist"][2] < stand()["left_wrist"][2] - 0.1
    assert stand(left_knee=90.0)["left_ankle"][2] > stand()["left_ankle"][2] + 0.1
    assert stand(left_leg_flexion=90.0)["left_knee"][2] < stand()["left_knee"][2] - 0.1
    assert stand(left_arm_abduction=90.0)["left_wrist"][0] > stand()["left_wrist"][0] + 0.1
    assert stand(right_arm_abduction=90.0)["right_wrist"][0] < stand()["right_wrist"][0] - 0.1
    assert stand(lean=45.0)["head"][2] < stand()["head"][2] - 0.1


def test_rotations_turn_the_documented_way():
    axes = np.eye(3)
    for axis, start, end in ((LEFT, UP, FORWARD), (UP, FORWARD, LEFT), (FORWARD, LEFT, UP)):
        assert rotation(axis, 90.0) @ axes[start] == pytest.approx(axes[end], abs=1e-12)
