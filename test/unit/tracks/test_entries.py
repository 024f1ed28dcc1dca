"""Entries of a message are checked before they are used."""

from __future__ import annotations

import numpy as np

from social_implicit_ros.tracks.entries import points_of, rows_of
from social_implicit_ros.types import Tracks


def test_an_invalid_height_is_zero_and_an_invalid_position_is_unknown() -> None:
    positions_m = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [np.inf, 8.0], [9.0, -1e8]])
    heights_m = np.array([0.5, np.nan, -1e9, 0.5, 0.5])
    points_m = points_of(Tracks(0, tuple("abcde"), positions_m, heights_m))
    np.testing.assert_array_equal(points_m[:3], [[1.0, 2.0, 0.5], [3.0, 4.0, 0.0], [5.0, 6.0, 0.0]])
    assert np.isnan(points_m[3:]).all()


def test_rows_of_unknown_and_repeated_ids_are_minus_one() -> None:
    assert rows_of(("b", "x", "a", "b"), ("a", "b", "c")).tolist() == [1, -1, 0, -1]
    assert rows_of(("a", "b"), ("a", "b")).tolist() == [0, 1]
