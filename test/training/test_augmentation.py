from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.training.social_implicit import augmentation

SCENE = np.random.default_rng(0).normal(size=(4, 20, 2)).cumsum(axis=1)


def steps(scene: np.ndarray) -> np.ndarray:
    return np.diff(scene, axis=1)


def distances(scene: np.ndarray) -> np.ndarray:
    return np.linalg.norm(scene[:, None] - scene[None], axis=-1)


@pytest.mark.parametrize(
    "changed",
    [augmentation.rotate(SCENE, 0.7), augmentation.mirror(SCENE)],
    ids=["rotate", "mirror"],
)
def test_rigid_motions_keep_speeds_and_distances(changed: np.ndarray) -> None:
    np.testing.assert_allclose(
        np.linalg.norm(steps(changed), axis=-1), np.linalg.norm(steps(SCENE), axis=-1)
    )
    np.testing.assert_allclose(distances(changed), distances(SCENE))


def test_rotation_turns_every_step_by_the_angle() -> None:
    turned = augmentation.rotate(SCENE, np.pi / 2)

    np.testing.assert_allclose(steps(turned)[..., 0], -steps(SCENE)[..., 1])
    np.testing.assert_allclose(steps(turned)[..., 1], steps(SCENE)[..., 0])


def test_mirror_changes_the_direction_of_every_turn() -> None:
    def turns(scene: np.ndarray) -> np.ndarray:
        a, b = steps(scene)[:, :-1], steps(scene)[:, 1:]
        return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]

    np.testing.assert_allclose(turns(augmentation.mirror(SCENE)), -turns(SCENE))


@pytest.mark.parametrize("change", [augmentation.mirror, augmentation.reverse])
def test_applied_twice_gives_the_scene_itself(change) -> None:
    np.testing.assert_array_equal(change(change(SCENE)), SCENE)


def test_reverse_walks_every_step_backwards() -> None:
    np.testing.assert_allclose(steps(augmentation.reverse(SCENE)), -steps(SCENE)[:, ::-1])


def test_change_of_speed_scales_every_step() -> None:
    changed = augmentation.change_speed(SCENE, 1.5)

    np.testing.assert_allclose(steps(changed), 1.5 * steps(SCENE))
    np.testing.assert_array_equal(changed[:, 0], SCENE[:, 0])


def test_jitter_shifts_all_agents_equally_within_limits() -> None:
    shift = augmentation.jitter(SCENE, np.random.default_rng(1)) - SCENE

    np.testing.assert_allclose(shift, np.broadcast_to(shift[:1], shift.shape), atol=1e-12)
    assert 0.0 < np.abs(shift).max() <= augmentation.JITTER_M
    assert shift[0].std(axis=0).min() > 0.0


def test_merge_keeps_every_trajectory_and_aligns_centres() -> None:
    far = SCENE[:2] + 1000.0

    merged = augmentation.merge([SCENE, far])

    assert len(merged) == 6
    np.testing.assert_allclose(merged[:4], SCENE)
    np.testing.assert_allclose(steps(merged)[4:], steps(far))
    np.testing.assert_allclose(merged[4:].mean(axis=(0, 1)), SCENE.mean(axis=(0, 1)))


def test_augment_uses_every_kind_and_does_not_change_its_input() -> None:
    before = SCENE.copy()
    augmented = augmentation.augment([SCENE] * 700, np.random.default_rng(0))

    unchanged = sum(len(scene) == 4 and np.array_equal(scene, SCENE) for scene in augmented)
    mirrored = sum(
        len(scene) == 4 and np.array_equal(scene, augmentation.mirror(SCENE)) for scene in augmented
    )
    reversed_ = sum(
        len(scene) == 4 and np.array_equal(scene, augmentation.reverse(SCENE))
        for scene in augmented
    )
    merged = sum(len(scene) > 4 for scene in augmented)
    for count in (unchanged, mirrored, reversed_, merged):
        assert 60 < count < 150  # 100 expected
    np.testing.assert_array_equal(SCENE, before)


def test_the_seed_determines_the_augmentation() -> None:
    first, again = (augmentation.augment([SCENE] * 10, np.random.default_rng(3)) for _ in range(2))

    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
