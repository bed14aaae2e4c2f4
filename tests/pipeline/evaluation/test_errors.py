import numpy as np
import pytest

from pipeline.evaluation.errors import REASONS, diagnose
from pipeline.evaluation.people import Poses, Truth
from tests.pipeline.evaluation.generated import COCO_SET

SIGMAS = np.asarray(COCO_SET.sigmas)
AREA = 10_000.0


def two_people():
    """Two people 150 pixels apart, all keypoints of each on a grid of 30 pixels."""
    grid = np.stack([np.arange(17) % 5 * 30.0, np.arange(17) // 5 * 30.0], 1)
    keypoints = np.stack([np.c_[grid[:, 0] + 100 + 170 * n, grid[:, 1] + 100, np.full(17, 2)] for n in range(2)])
    nobody = np.zeros(2, bool)
    boxes = np.array([[100.0, 100, 120, 90], [270, 100, 120, 90]])
    return Truth(
        ("a",),
        np.zeros(2, int),
        keypoints,
        boxes,
        np.full(2, AREA),
        nobody,
        nobody,
        np.arange(2),
        COCO_SET.names,
        SIGMAS,
    )


def at_similarity(keypoint: int, similarity: float) -> float:
    """Distance in pixels at which a keypoint has a similarity: exp(-d^2 / (2 area (2 sigma)^2)) solved for d."""
    return float(np.sqrt(-2 * AREA * (2 * SIGMAS[keypoint]) ** 2 * np.log(similarity)))


@pytest.mark.parametrize(
    ("similarity", "reason"), [(0.99, "good"), (0.86, "good"), (0.84, "jitter"), (0.51, "jitter"), (0.4, "miss")]
)
def test_distance_to_its_own_place_decides_between_good_jitter_and_miss(similarity, reason):
    truth = two_people()
    points = truth.keypoints[:1, :, :2].copy()
    points[0, 0, 1] -= at_similarity(0, similarity)  # the nose, upwards, away from everything else
    found = diagnose(truth, Poses(np.zeros(1, int), points, np.ones(1)), COCO_SET.mirror)
    assert REASONS[found.reason[0, 0]] == reason
    assert (found.reason[0, 1:] == REASONS.index("good")).all()
    assert found.oks[0] == pytest.approx((16 + similarity) / 17)


def test_the_mirror_keypoint_is_an_inversion_and_somebody_else_a_swap():
    truth = two_people()
    points = truth.keypoints[:1, :, :2].copy()
    wrist, mirrored = COCO_SET.index("left_wrist"), COCO_SET.index("right_wrist")
    ankle, knee = COCO_SET.index("left_ankle"), COCO_SET.index("right_knee")
    points[0, wrist] = truth.keypoints[0, mirrored, :2]
    points[0, ankle] = truth.keypoints[1, ankle, :2]
    points[0, knee] = truth.keypoints[1, COCO_SET.index("left_knee"), :2]
    points[0, 0] = [900, 900]
    found = diagnose(truth, Poses(np.zeros(1, int), points, np.ones(1)), COCO_SET.mirror)
    assert [REASONS[found.reason[0, k]] for k in (wrist, ankle, knee, 0)] == ["inversion", "swap", "swap", "miss"]
    assert found.counts() == {"good": 13, "jitter": 0, "inversion": 1, "swap": 2, "miss": 1, "unlabelled": 0}
    assert found.worst_reason() == ["swap"]


def test_unlabelled_keypoints_have_no_reason_and_unfound_people_no_row():
    truth = two_people()
    truth.keypoints[0, 3:] = 0
    points = truth.keypoints[:1, :, :2].copy()
    found = diagnose(truth, Poses(np.zeros(1, int), points, np.ones(1)), COCO_SET.mirror)
    assert found.counts()["unlabelled"] == 14
    assert found.person.tolist() == [0]
