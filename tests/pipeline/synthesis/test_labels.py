import numpy as np
import pytest

from pipeline.synthesis.canvas import OVERSAMPLING, Canvas, box
from pipeline.synthesis.figure import Figure
from pipeline.synthesis.labels import KEYPOINTS, NOT_LABELLED, OCCLUDED, VISIBLE, label_person
from pipeline.synthesis.look import everyday_look
from pipeline.synthesis.objects import OBJECT
from pipeline.synthesis.poses import REST
from pipeline.synthesis.render import draw_figure
from pipeline.synthesis.skeleton import Build, pose_skeleton

FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")


def person(yaw: float = 0.0, x: float = 160.0, **angles: float) -> Figure:
    """A person of 400 canvas pixels, the pelvis 240 pixels down."""
    means = {key: mean for key, (mean, _) in REST.items()}
    skeleton = pose_skeleton({**means, **angles}, Build(), yaw, 0.0)
    return Figure(skeleton, everyday_look(np.random.default_rng(3)), np.array([x, 240.0]), 400.0)


def labelled(*figures: Figure, cover=None, careful: bool = True):
    """Labels of the first figure; later ones are drawn over it, then the box `cover`."""
    canvas = Canvas(480, 320)
    for number, figure in enumerate(figures, start=1):
        draw_figure(canvas, figure, number)
    if cover is not None:
        canvas.fill(cover, (0, 0, 0), OBJECT)
    return label_person(figures[0], canvas.owner[::OVERSAMPLING, ::OVERSAMPLING], 1, careful)


def flags(labels) -> dict[str, int]:
    return {name: v for name, (_, _, v) in labels.keypoints.items()}


def test_someone_who_stands_free_and_faces_the_viewer_is_wholly_visible():
    assert flags(labelled(person())) == dict.fromkeys(KEYPOINTS, VISIBLE)


def test_from_behind_the_face_is_not_labelled_and_the_body_is_visible():
    seen = flags(labelled(person(yaw=180.0)))
    assert [seen[name] for name in FACE] == [NOT_LABELLED] * 3 + [VISIBLE] * 2
    assert all(v == VISIBLE for name, v in seen.items() if name not in FACE)


@pytest.mark.parametrize(("yaw", "near", "far"), [(90.0, "right", "left"), (-90.0, "left", "right")])
def test_from_the_side_the_body_hides_its_far_arm_and_hip(yaw, near, far):
    # Turned to the right border, a person shows their right side.
    seen = flags(labelled(person(yaw=yaw)))
    for joint in ("shoulder", "hip"):
        assert (seen[f"{near}_{joint}"], seen[f"{far}_{joint}"]) == (VISIBLE, OCCLUDED)
    assert (seen[f"{near}_ear"], seen[f"{far}_ear"]) == (VISIBLE, NOT_LABELLED)


def test_an_arm_behind_the_back_is_occluded_by_the_own_body():
    behind = {"left_arm_flexion": -35.0, "left_arm_twist": 80.0, "left_elbow": 85.0}
    seen = flags(labelled(person(**behind)))
    assert seen["left_wrist"] == OCCLUDED
    assert flags(labelled(person(yaw=180.0, **behind)))["left_wrist"] == VISIBLE


def test_a_thing_in_front_occludes_exactly_what_it_covers():
    figure = person()
    cover = box(0, figure.project("left_knee")[1] - 40, 320, 300)
    seen = flags(labelled(figure, cover=cover))
    hidden = {name for name, v in seen.items() if v == OCCLUDED}
    assert hidden == {"left_knee", "right_knee", "left_ankle", "right_ankle"}


def test_another_person_in_front_occludes():
    figure = person()
    seen = flags(labelled(figure, person(x=162.0)))
    assert seen["nose"] == OCCLUDED
    assert seen["left_hip"] == OCCLUDED


def test_a_careless_annotator_leaves_hidden_keypoints_out():
    figure = person()
    cover = box(0, figure.project("left_knee")[1] - 40, 320, 300)
    seen = labelled(figure, cover=cover, careful=False).keypoints
    assert seen["left_ankle"] == (0.0, 0.0, NOT_LABELLED)
    assert seen["nose"][2] == VISIBLE


def test_what_lies_outside_the_image_is_not_labelled():
    figure = person(x=20.0)
    seen = labelled(figure).keypoints
    outside = [name for name in KEYPOINTS if figure.project(name)[0] < 0]
    assert outside
    assert all(seen[name] == (0.0, 0.0, NOT_LABELLED) for name in outside)


def test_keypoints_are_where_the_joints_were_drawn():
    # A disc of radius 6 round a canvas position covers image pixels whose centroid is that position in image pixels.
    figure = person()
    for name in ("left_wrist", "right_knee", "nose"):
        canvas = Canvas(480, 320)
        yy, xx = np.mgrid[:480, :320]
        x, y = figure.project(name)
        weight = np.clip(6.5 - np.hypot(xx - x, yy - y), 0, 1)
        small = weight.reshape(240, 2, 160, 2).mean(axis=(1, 3))
        centroid = [(np.mgrid[:240, :160][i] * small).sum() / small.sum() for i in (1, 0)]
        draw_figure(canvas, figure, 1)
        label = label_person(figure, canvas.owner[::OVERSAMPLING, ::OVERSAMPLING], 1, True).keypoints[name]
        assert label[:2] == pytest.approx(centroid, abs=0.05)
