from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from social_implicit_ros.metrics.displacement import (
    best_of_n,
    errors_m,
    joint_best_of_n,
    mean_path,
    missed,
)
from social_implicit_ros.types import FloatArray


def random_scene(seed: int, n_samples: int = 7) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_samples, 5, 12, 2)), rng.normal(size=(5, 12, 2))


def two_samples_of_two_steps() -> tuple[FloatArray, FloatArray]:
    """One agent; sample 0 is off by 0 then 4 m, sample 1 by 3 then 3 m."""
    truth = np.zeros((1, 2, 2))
    samples = np.zeros((2, 1, 2, 2))
    samples[0, 0, 1] = [0.0, 4.0]
    samples[1, 0, :] = [3.0, 0.0]
    return samples, truth


def test_the_best_sample_is_selected_for_each_metric_separately() -> None:
    ade, fde = best_of_n(*two_samples_of_two_steps())
    assert ade.tolist() == [2.0]  # sample 0
    assert fde.tolist() == [3.0]  # sample 1


def test_positions_may_be_whole_numbers_such_as_pixels() -> None:
    samples, truth = two_samples_of_two_steps()
    whole = errors_m(samples.astype(int), truth.astype(int))
    np.testing.assert_array_equal(whole, errors_m(samples, truth))


def test_joint_metrics_select_one_sample_for_all_agents() -> None:
    truth = np.zeros((2, 1, 2))
    samples = np.zeros((2, 2, 1, 2))
    samples[0, 1, 0] = [2.0, 0.0]  # right for the first agent only
    samples[1, 0, 0] = [3.0, 0.0]  # right for the second agent only
    assert best_of_n(samples, truth)[0].tolist() == [0.0, 0.0]
    assert joint_best_of_n(samples, truth) == (1.0, 1.0)


@given(st.integers(0, 1000))
def test_joint_is_never_below_marginal_and_equals_it_for_one_agent(seed: int) -> None:
    samples, truth = random_scene(seed)
    ade, fde = best_of_n(samples, truth)
    joint_ade, joint_fde = joint_best_of_n(samples, truth)
    assert joint_ade >= ade.mean() - 1e-12
    assert joint_fde >= fde.mean() - 1e-12
    assert joint_best_of_n(samples[:, :1], truth[:1]) == pytest.approx((ade[0], fde[0]))


@given(st.integers(0, 1000), st.floats(-np.pi, np.pi), st.floats(-1e4, 1e4))
def test_moving_and_turning_everything_changes_nothing(
    seed: int, angle: float, shift: float
) -> None:
    samples, truth = random_scene(seed)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = best_of_n(samples @ turn.T + shift, truth @ turn.T + shift)
    np.testing.assert_allclose(moved, best_of_n(samples, truth), atol=1e-9)


@given(st.integers(0, 1000))
def test_more_samples_are_never_worse(seed: int) -> None:
    samples, truth = random_scene(seed)
    all_ade, all_fde = best_of_n(samples, truth)
    few_ade, few_fde = best_of_n(samples[:3], truth)
    assert (all_ade <= few_ade).all()
    assert (all_fde <= few_fde).all()


def test_one_sample_gives_the_metrics_of_a_path() -> None:
    samples, truth = random_scene(0, n_samples=1)
    np.testing.assert_array_equal(mean_path(samples[0], truth), best_of_n(samples, truth))


def test_a_miss_ends_beyond_two_metres() -> None:
    truth = np.zeros((3, 1, 2))
    samples = np.zeros((1, 3, 1, 2))
    samples[0, :, 0, 0] = [1.99, 2.01, np.nan]
    assert missed(samples, truth).tolist() == [False, True, True]


def test_a_sample_that_is_not_finite_is_not_hidden() -> None:
    samples, truth = random_scene(0)
    samples[3, 2, 5] = np.nan
    ade, _ = best_of_n(samples, truth)
    assert np.isnan(ade).tolist() == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("samples", "truth"),
    [((3, 2, 12, 2), (3, 12, 2)), ((0, 2, 12, 2), (2, 12, 2)), ((3, 2, 0, 2), (2, 0, 2))],
)
def test_inconsistent_shapes_are_refused(samples: tuple[int, ...], truth: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"metric\.samples"):
        errors_m(np.zeros(samples), np.zeros(truth))
