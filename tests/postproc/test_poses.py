from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools.cocoeval import COCOeval

from postproc import poses as people

Floats = NDArray[np.float64]
SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000


def crowd(rng: np.random.Generator, count: int, clusters: int) -> tuple[Floats, Floats, Floats]:
    """Detections about some people: poses `[P, 17, 2]`, scores and areas `[P]`."""
    centres = rng.uniform(0, 400, (clusters, 1, 2)) + rng.uniform(0, 150, (clusters, 17, 2))
    which = rng.integers(clusters, size=count)
    spread = rng.choice([0.5, 3.0, 8.0], size=(count, 1, 1))
    poses = centres[which] + rng.normal(size=(count, 17, 2)) * spread
    return poses, rng.uniform(0.1, 1, count), rng.uniform(5000, 20000, count)


def similarity(one: Floats, two: Floats, area: float) -> float:
    distance = ((one - two) ** 2).sum(-1)
    return float(np.exp(-distance / (2 * area * (2 * SIGMAS) ** 2)).mean())


def loop(poses: Floats, scores: Floats, areas: Floats, threshold: float) -> Iterator[tuple[int, Floats]]:
    """Section 5.2 word by word: the poses that stay, in order, each with its fusion by Equation 23."""
    left = sorted(range(len(poses)), key=lambda i: -scores[i])
    while left:
        i = left[0]
        weights = {j: similarity(poses[i], poses[j], (areas[i] + areas[j]) / 2) for j in left[1:]}
        group = {i: 1.0} | {j: weight for j, weight in weights.items() if weight >= threshold}
        yield i, sum(weight * poses[j] for j, weight in group.items()) / sum(group.values())
        left = [j for j in left if j not in group]


@pytest.mark.parametrize(("count", "clusters"), [(1, 1), (5, 2), (40, 6), (100, 20)])
@pytest.mark.parametrize("threshold", [0.5, 0.9])
def test_nms_and_soft_nms_are_the_loop(count: int, clusters: int, threshold: float) -> None:
    poses, scores, areas = crowd(np.random.default_rng(count), count, clusters)
    expected = list(loop(poses, scores, areas, threshold))
    keep, fused = people.soft_nms(poses, scores, areas, SIGMAS, threshold=threshold)
    assert keep.tolist() == [i for i, _ in expected]
    np.testing.assert_allclose(fused, [pose for _, pose in expected], atol=1e-9)
    assert people.oks_nms(poses, scores, areas, SIGMAS, threshold=threshold).tolist() == keep.tolist()
    assert count < 40 or len(keep) < count


def test_equation_24_is_equation_23() -> None:
    poses, scores, areas = crowd(np.random.default_rng(3), 6, 1)
    keep, fused = people.soft_nms(poses, scores, areas, SIGMAS, threshold=0.2)
    top = int(np.argmax(scores))
    weights = np.array([similarity(poses[top], p, (areas[top] + a) / 2) for p, a in zip(poses, areas, strict=True)])
    weights[weights < 0.2] = 0
    step = (weights[:, None, None] * (poses - poses[top])).sum(0) / weights.sum()
    assert keep[0] == top
    np.testing.assert_allclose(fused[0], poses[top] + step, atol=1e-9)


def test_images_at_once_are_images_one_by_one() -> None:
    rng = np.random.default_rng(4)
    images = [crowd(rng, count, 4) for count in (7, 0, 30, 1)]
    offsets = np.cumsum([0] + [len(image[0]) for image in images])
    together = people.soft_nms(*(np.concatenate(part) for part in zip(*images, strict=True)), SIGMAS, offsets)
    alone = [people.soft_nms(*image, SIGMAS) for image in images]
    starts = zip(offsets[:-1], alone, strict=True)
    assert together[0].tolist() == np.concatenate([start + keep for start, (keep, _) in starts]).tolist()
    np.testing.assert_array_equal(together[1], np.concatenate([fused for _, fused in alone]))


def test_oks_is_cocos() -> None:
    rng = np.random.default_rng(5)
    annotated, _, areas = crowd(rng, 6, 6)
    detected = np.concatenate([annotated + rng.normal(size=annotated.shape) * 4, annotated[::-1] + 9])
    visible = rng.integers(0, 3, (6, 17))
    visible[:, 0] = 2

    def triplets(poses: Floats, flags: NDArray[np.int64]) -> list[list[float]]:
        return np.concatenate([poses, flags[..., None]], -1).reshape(len(poses), -1).tolist()

    evaluation = COCOeval(iouType="keypoints")
    evaluation.params.kpt_oks_sigmas = SIGMAS
    evaluation._gts[1, 1] = [
        {"keypoints": k, "bbox": [0, 0, 1, 1], "area": a}
        for k, a in zip(triplets(annotated, visible), areas, strict=True)
    ]
    evaluation._dts[1, 1] = [
        {"keypoints": k, "score": -i} for i, k in enumerate(triplets(detected, np.ones((12, 17), np.int64)))
    ]
    expected = evaluation.computeOks(1, 1).T
    got = people.oks(annotated, detected, areas[:, None], SIGMAS, visible)
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_oks_closed_forms() -> None:
    pose = np.random.default_rng(6).uniform(0, 100, (1, 17, 2))
    assert people.oks(pose, pose, 1000, SIGMAS)[0, 0] == 1
    # Every keypoint off by sqrt(area) * 2 sigma is e^(-1/2) similar.
    moved = pose.copy()
    moved[0, :, 0] += np.sqrt(1000) * 2 * SIGMAS
    assert people.oks(pose, moved, 1000, SIGMAS)[0, 0] == pytest.approx(np.exp(-0.5))
    assert people.oks(pose, moved, 1000, SIGMAS, np.zeros((1, 17)))[0, 0] == 0


def test_equal_scores_keep_their_order_and_nan_comes_last() -> None:
    poses = np.arange(4)[:, None, None] * 1000.0 + np.zeros((4, 17, 2))
    keep = people.oks_nms(poses, [0.5, np.nan, 0.5, 0.9], np.ones(4), SIGMAS)
    assert keep.tolist() == [3, 0, 2, 1]


def test_identical_poses_become_one_and_poses_with_nan_stay() -> None:
    poses = np.zeros((3, 17, 2))
    poses[2, 4] = np.nan
    keep, fused = people.soft_nms(poses, [0.1, 0.2, 0.3], np.ones(3), SIGMAS, threshold=1.0)
    assert keep.tolist() == [2, 1]
    assert np.isnan(fused[0, 4]).all()
    assert (fused[1] == 0).all()


def test_no_people() -> None:
    nobody = np.empty((0, 17, 2)), np.empty(0), np.empty(0)
    assert people.oks_nms(*nobody, SIGMAS).tolist() == []
    keep, fused = people.soft_nms(*nobody, SIGMAS, offsets=[0, 0, 0])
    assert keep.tolist() == []
    assert fused.shape == (0, 17, 2)
    assert people.rescore(np.empty(0), np.empty((0, 17))).shape == (0,)


def test_rescore_by_hand() -> None:
    scores = [[0.9, 0.5, 0.1], [0.2, 0.2, 0.1], [0.8, np.nan, 0.4]]
    np.testing.assert_allclose(people.rescore([0.5, 1, 1], scores), [0.5 * 0.7, 0, 0.6])


def test_bad_input() -> None:
    poses, scores, areas = crowd(np.random.default_rng(7), 3, 2)
    with pytest.raises(ValueError, match="offsets must rise from 0 to the number of poses, 3, got \\[0, 2\\]"):
        people.oks_nms(poses, scores, areas, SIGMAS, [0, 2])
    with pytest.raises(ValueError, match="sigmas must be 17"):
        people.oks_nms(poses, scores, areas, SIGMAS[1:])
    with pytest.raises(ValueError, match=r"\[N, K, 2\]"):
        people.oks_nms(poses[0], scores, areas, SIGMAS)
    with pytest.raises(ValueError, match="areas not below 0"):
        people.soft_nms(poses, scores, -areas, SIGMAS)
    with pytest.raises(ValueError, match="threshold"):
        people.soft_nms(poses, scores, areas, SIGMAS, threshold=0)
    with pytest.raises(ValueError, match="others 16"):
        people.oks(poses, poses[:, 1:], 1, SIGMAS)
    with pytest.raises(ValueError, match="visible"):
        people.oks(poses, poses, 1, SIGMAS, np.ones((2, 17)))
    with pytest.raises(ValueError, match="box"):
        people.rescore(scores, poses)
