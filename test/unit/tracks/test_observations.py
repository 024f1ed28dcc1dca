"""The table keeps observations in the order of their stamps and interpolates between them."""

from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.tracks.observations import ObservationTable
from social_implicit_ros.tracks.stamps import NEVER_NS


def table(n_rows: int = 2, *, n_kept: int = 8, spacing_ns: int = 1) -> ObservationTable:
    made = ObservationTable(n_kept, spacing_ns)
    made.grow(n_rows)
    return made


def rows(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


def states(*x_m: float) -> np.ndarray:
    """(A, 3) states on the x axis."""
    return np.array(x_m)[:, None] * [1.0, 0.0, 0.0]


def test_states_are_linear_between_observations_and_constant_outside() -> None:
    observed = table()
    for stamp_ns, x_m in ((100, 1.0), (200, 3.0), (400, 3.0)):
        observed.append(rows(1), stamp_ns, states(x_m))

    targets_ns = np.array([[50, 100, 150, 300, 400, 500]])
    positions_m, low_ns, high_ns = observed.interpolate(rows(1), targets_ns)

    assert positions_m[0, :, 0].tolist() == [1.0, 1.0, 2.0, 3.0, 3.0, 3.0]
    assert low_ns.tolist() == [[100, 100, 100, 200, 400, 400]]
    assert high_ns.tolist() == [[100, 200, 200, 400, 400, 400]]


def test_a_late_observation_is_inserted_at_its_time() -> None:
    observed = table()
    for stamp_ns in (100, 300):
        observed.append(rows(0, 1), stamp_ns, states(1.0, 2.0))

    is_known, is_first = observed.insert(rows(1), 200, states(7.0))

    assert not is_known.any()
    assert not is_first.any()
    assert observed.counts.tolist() == [2, 3]
    assert observed.times_ns[1, :4].tolist() == [100, 200, 300, NEVER_NS]
    assert observed.states_m[1, 0, :3].tolist() == [2.0, 7.0, 2.0]


def test_an_observation_with_a_known_stamp_or_before_all_others_is_not_inserted() -> None:
    observed = table()
    observed.append(rows(0), 100, states(1.0))
    observed.append(rows(1), 50, states(1.0))
    observed.append(rows(0, 1), 200, states(2.0, 2.0))

    for stamp_ns, known, first in (
        (100, [True, False], [False, False]),
        (40, [False] * 2, [True] * 2),
    ):
        is_known, is_first = observed.insert(rows(0, 1), stamp_ns, states(9.0, 9.0))
        assert is_known.tolist() == known
        assert is_first.tolist() == first

    assert observed.counts.tolist() == [2, 3]


def test_a_row_keeps_two_observations_per_spacing() -> None:
    observed = table(spacing_ns=100)
    for stamp_ns in range(0, 1000, 10):
        observed.append(rows(0), stamp_ns, states(float(stamp_ns)))

    times_ns = observed.times_ns[0, : observed.counts[0]]

    assert times_ns[-1] == 990
    assert (times_ns[2:] - times_ns[:-2] >= 100)[:-1].all()


@pytest.mark.parametrize("step_ns", [10, -10], ids=["appended", "inserted"])
def test_a_full_row_keeps_its_newest_observations(step_ns: int) -> None:
    observed = table()
    observed.append(rows(0), 0, states(0.0))
    observed.append(rows(0), 1000, states(1000.0))
    for n in range(1, 50):
        if step_ns > 0:
            observed.append(rows(0), 1000 + 10 * n, states(1000.0 + 10 * n))
        else:
            observed.insert(rows(0), 1000 - 10 * n, states(1000.0 - 10 * n))

    count = observed.counts[0]
    assert 8 <= count < 12
    newest_ns = 1490 if step_ns > 0 else 1000
    assert observed.times_ns[0, count - 1] == newest_ns
    assert observed.states_m[0, 0, :count].tolist() == observed.times_ns[0, :count].tolist()
