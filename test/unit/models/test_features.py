import numpy as np
import pytest

from social_implicit_ros.models.features import model_input_from_observed, samples_from_model_output


def walk(start: tuple[float, float], step: tuple[float, float], n_steps: int = 8) -> np.ndarray:
    return np.array(start) + np.arange(n_steps)[:, None] * np.array(step)


def test_a_complete_window_is_only_centred() -> None:
    observed = np.stack([walk((0.0, 0.0), (0.5, 0.0)), walk((10.0, 2.0), (0.0, -0.25))])

    tensors = model_input_from_observed(observed, 8)

    centre = observed[:, -1].mean(axis=0)
    np.testing.assert_allclose(tensors.observed + centre, observed, atol=1e-6)
    np.testing.assert_array_equal(tensors.mask, np.ones((2, 8)))
    np.testing.assert_array_equal(tensors.last_m, observed[:, -1])


def test_unknown_steps_are_extrapolated_backwards() -> None:
    whole = walk((1.0, 2.0), (0.4, -0.3))
    late = whole.copy()
    late[:5] = np.nan

    tensors = model_input_from_observed(np.stack([whole, late]), 8)

    np.testing.assert_allclose(tensors.observed[1], tensors.observed[0], atol=1e-6)
    np.testing.assert_array_equal(tensors.mask[1], [0, 0, 0, 0, 0, 1, 1, 1])


def test_a_later_turn_does_not_affect_the_extrapolation() -> None:
    observed = np.full((1, 8, 2), np.nan)
    observed[0, 5:] = [(0.0, 0.0), (1.0, 0.0), (1.0, 5.0)]

    tensors = model_input_from_observed(observed, 8)

    steps = np.diff(tensors.observed[0], axis=0)
    np.testing.assert_allclose(steps[:6], np.tile([1.0, 0.0], (6, 1)), atol=1e-6)


@pytest.mark.parametrize("n_given", range(2, 9))
def test_short_windows_are_padded_at_the_front(n_given: int) -> None:
    whole = walk((3.0, 4.0), (0.1, 0.2))[None]

    tensors = model_input_from_observed(whole[:, 8 - n_given :], 8)

    full = model_input_from_observed(whole, 8)
    np.testing.assert_allclose(tensors.observed, full.observed, atol=1e-6)
    np.testing.assert_array_equal(tensors.mask, [[0] * (8 - n_given) + [1] * n_given])


def test_a_step_with_one_missing_coordinate_is_unknown() -> None:
    observed = walk((0.0, 0.0), (0.5, 0.5))[None]
    observed[0, :3, 1] = np.nan

    tensors = model_input_from_observed(observed, 8)

    assert np.isfinite(tensors.observed).all()
    np.testing.assert_array_equal(tensors.mask, [[0, 0, 0, 1, 1, 1, 1, 1]])


def test_map_coordinates_keep_their_resolution() -> None:
    near = walk((0.0, 0.0), (0.001, 0.002))[None]
    far = near + np.array([4.5e5, 5.4e6])  # UTM

    np.testing.assert_allclose(
        model_input_from_observed(far, 8).observed,
        model_input_from_observed(near, 8).observed,
        atol=1e-6,
    )


def test_the_input_is_not_changed() -> None:
    observed = walk((0.0, 0.0), (0.5, 0.0))[None]
    observed[0, :2] = np.nan
    before = observed.copy()

    model_input_from_observed(observed, 8)

    np.testing.assert_array_equal(observed, before)


def test_no_agents_give_empty_tensors() -> None:
    tensors = model_input_from_observed(np.zeros((0, 8, 2)), 8)

    assert tensors.observed.shape == (0, 8, 2)
    assert tensors.mask.shape == (0, 8)
    assert tensors.last_m.shape == (0, 2)


def test_output_is_placed_at_each_agents_last_position() -> None:
    output = np.zeros((3, 2, 12, 2), dtype=np.float32)
    output[1, 0, 4] = (1.0, 2.0)
    last = np.array([[4.5e5, 5.4e6], [1.0, 1.0]])

    samples = samples_from_model_output(output, last)

    np.testing.assert_array_equal(samples[1, 0, 4], [4.5e5 + 1.0, 5.4e6 + 2.0])
    np.testing.assert_array_equal(samples[0, 1, 0], [1.0, 1.0])


@pytest.mark.parametrize("n_agents", [1, 2, 9])
def test_one_track_far_away_does_not_reduce_the_precision_of_others(n_agents: int) -> None:
    near = np.stack([walk((n, 0.0), (0.4, 0.1)) for n in range(n_agents)])
    far = walk((9e6, -9e6), (0.4, 0.1))[None]

    crowd = model_input_from_observed(np.concatenate([near, far]), 8).observed

    between = np.diff(crowd[:n_agents], axis=0)
    np.testing.assert_allclose(between, np.diff(near, axis=0), atol=3e-3)
    np.testing.assert_allclose(np.diff(crowd, axis=1)[..., 0], 0.4, atol=3e-3)
