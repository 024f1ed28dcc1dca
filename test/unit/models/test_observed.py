"""Models check observed positions before they use them."""

from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.models.base import require_observed

WALK = np.arange(32.0).reshape(2, 8, 2)


def without(agent: int, steps: slice, value: float) -> np.ndarray:
    changed = WALK.copy()
    changed[agent, steps, 1] = value
    return changed


@pytest.mark.parametrize(
    ("observed", "error"),
    [
        (WALK[0], r"shape \(8, 2\), expected \(A, H, 2\)"),
        (WALK.repeat(2, axis=2), r"shape \(2, 8, 4\)"),
        (WALK[:, :1], "1 steps, expected 2 to 8"),
        (WALK.repeat(2, axis=1), "16 steps, expected 2 to 8"),
        (without(1, slice(0, 1), np.inf), "infinite"),
        (without(1, slice(7, 8), np.nan), "agent 1 has NaN in its last two steps"),
        (without(0, slice(0, 7), np.nan), "agent 0 has NaN in its last two steps"),
        (without(1, slice(3, 4), np.nan), "NaN after a known step"),
    ],
)
def test_positions_that_no_model_can_use_are_named(observed: np.ndarray, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        require_observed(observed, 8)


@pytest.mark.parametrize("n_steps", [2, 8])
def test_2_to_n_steps_are_accepted(n_steps: int) -> None:
    observed = WALK[:, -n_steps:].astype(np.float32)
    checked = require_observed(observed, 8)
    assert checked.dtype == np.float64
    np.testing.assert_array_equal(checked, observed)


def test_unknown_leading_steps_are_nan_and_may_be_masked() -> None:
    unknown = without(1, slice(0, 6), np.nan)
    np.testing.assert_array_equal(require_observed(unknown, 8), unknown)
    masked = np.ma.masked_array(WALK, np.isnan(unknown))
    np.testing.assert_array_equal(require_observed(masked, 8), unknown)
