import numpy as np
import pytest

from pipeline.synthesis.canvas import PARTS
from pipeline.synthesis.labels import OCCLUDED, VISIBLE
from pipeline.synthesis.masks import bounding_box
from pipeline.synthesis.scene import LEAST_PIXELS, Scene, render_scene
from pipeline.synthesis.style import AIC_STYLE, COCO_STYLE

SIZE = (240, 320)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [render_scene(np.random.default_rng([9, i]), COCO_STYLE, SIZE) for i in range(60)]


def labels(scenes: list[Scene]):
    for scene in scenes:
        for person in scene.people:
            for x, y, v in person.keypoints.values():
                if v:
                    yield scene, person, round(x), round(y), v


def test_images_have_the_asked_size_lying_or_upright(scenes):
    shapes = {scene.image.shape for scene in scenes}
    assert shapes == {(240, 320, 3), (320, 240, 3)}


def test_masks_are_the_owner_map_split_by_person(scenes):
    for scene in scenes:
        for person in scene.people:
            assert np.array_equal(person.mask, scene.owner // PARTS == person.number)
            assert person.mask.sum() >= LEAST_PIXELS
        visible = sum(person.mask.astype(int) for person in scene.people)
        assert np.max(visible) <= 1


def test_labelled_keypoints_lie_in_the_image_and_visible_ones_on_their_person(scenes):
    seen = {VISIBLE: 0, OCCLUDED: 0}
    for _, person, x, y, v in labels(scenes):
        height, width = person.mask.shape
        assert 0 <= x < width
        assert 0 <= y < height
        assert v == OCCLUDED or person.mask[y, x]
        seen[v] += 1
    assert seen[VISIBLE] > 2 * seen[OCCLUDED] > 100


def test_occluded_keypoints_are_covered_by_something_or_by_another_part_of_the_body(scenes):
    covers = {"own body": 0, "something else": 0}
    for scene, person, x, y, v in labels(scenes):
        if v == OCCLUDED:
            assert scene.owner[y, x] != 0, "the background shows, so nothing covers it"
            covers["own body" if person.mask[y, x] else "something else"] += 1
    assert min(covers.values()) > 20


def test_no_lookalike_touches_a_person(scenes):
    count = 0
    for scene in scenes:
        for x1, y1, x2, y2 in scene.lookalikes:
            count += 1
            for person in scene.people:
                x, y, width, height = bounding_box(person.mask)
                assert x2 < x or x + width < x1 or y2 < y or y + height < y1
    assert 0.3 <= count / len(scenes) <= 0.6


def test_lookalikes_are_drawn_and_belong_to_nobody(scenes):
    for scene in scenes:
        for x1, y1, x2, y2 in scene.lookalikes:
            patch = scene.owner[int(y1) : int(y2) + 1, int(x1) : int(x2) + 1]
            assert np.any(patch > 0)
            assert np.all(patch < PARTS)


def test_coco_like_scenes_have_bare_people_and_crowds_as_coco_has(scenes):
    people = [person for scene in scenes for person in scene.people]
    bare = [person for person in people if not person.keypoints and not person.crowd]
    assert 0.02 < len(bare) / len(people) < 0.25
    assert any(person.crowd for person in people)


def test_aic_like_scenes_show_everyone_with_keypoints_and_no_lookalikes():
    for i in range(25):
        scene = render_scene(np.random.default_rng([9, i]), AIC_STYLE, SIZE)
        assert not scene.lookalikes
        assert all(person.keypoints and not person.crowd for person in scene.people)


def test_the_same_generator_state_renders_the_same_scene():
    first, second = (render_scene(np.random.default_rng(4), COCO_STYLE, SIZE) for _ in range(2))
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.owner, second.owner)
