import numpy as np
import pytest

from pipeline.synthesis.poses import ATHLETIC, EVERYDAY, REST, sample_pose


@pytest.mark.parametrize("archetypes", [EVERYDAY, ATHLETIC], ids=["everyday", "athletic"])
def test_no_joint_bends_where_joints_do_not(archetypes):
    rng = np.random.default_rng(0)
    for _ in range(400):
        angles = sample_pose(rng, archetypes).angles
        assert angles.keys() == REST.keys()
        for side in ("left", "right"):
            assert 0 <= angles[f"{side}_elbow"] <= 145
            assert 0 <= angles[f"{side}_knee"] <= 140


@pytest.mark.parametrize("archetypes", [EVERYDAY, ATHLETIC], ids=["everyday", "athletic"])
def test_every_kind_of_pose_sets_angles_that_exist(archetypes):
    joints = {key.removeprefix("left_").removeprefix("right_") for key in REST}
    for kind in archetypes.values():
        assert all(key in REST or key in joints for key in kind.angles)


def test_left_and_right_are_used_alike():
    rng = np.random.default_rng(1)
    poses = [sample_pose(rng, {"wave": EVERYDAY["wave"]}).angles for _ in range(400)]
    raised_left = np.mean([pose["left_arm_abduction"] > pose["right_arm_abduction"] for pose in poses])
    assert raised_left == pytest.approx(0.5, abs=0.08)


def test_athletes_move_more_than_people_in_the_street():
    rng = np.random.default_rng(2)
    arms = {
        name: np.mean([sample_pose(rng, kinds).angles["left_arm_abduction"] for _ in range(400)])
        for name, kinds in (("everyday", EVERYDAY), ("athletic", ATHLETIC))
    }
    assert arms["athletic"] > arms["everyday"] + 20
