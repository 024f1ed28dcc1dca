"""Estimated paths are not faster than people."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.tracks.estimation.smoothing import within_speed


def test_paths_that_are_too_fast_are_scaled_about_their_last_position() -> None:
    """At most 2 m/s, with steps of 0.5 s."""
    steps = np.arange(-4.0, 1.0)[:, None]
    paths_m = np.stack(
        [steps * [1.0, 0.0], steps * [0.0, -3.0], steps * [1.2, 1.6], steps * [0.0, 0.0]]
    )
    paths_m[1, :2] = np.nan
    paths_m += 7.0
    limited_m = within_speed(paths_m, 0.5, 2.0)
    expected_m = np.stack(
        [steps * [1.0, 0.0], steps * [0.0, -1.0], steps * [0.6, 0.8], steps * [0.0, 0.0]]
    )
    expected_m[1, :2] = np.nan
    np.testing.assert_allclose(limited_m, expected_m + 7.0)
    np.testing.assert_array_equal(within_speed(paths_m[:1], 0.5, 2.0), paths_m[:1])


def test_a_diagonal_path_is_limited_by_its_length() -> None:
    """Neither component is too fast."""
    path_m = np.arange(-4.0, 1.0)[:, None] * np.full((1, 1, 2), 0.8)
    np.testing.assert_allclose(within_speed(path_m, 0.5, 2.0), path_m / (0.8 * 2.0**0.5))
