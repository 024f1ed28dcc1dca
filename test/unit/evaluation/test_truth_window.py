"""What came to pass is known between observations of one unbroken track, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.bags import S

from social_implicit_ros.evaluation.matching import Truth
from social_implicit_ros.evaluation.truth_window import TruthWindow
from social_implicit_ros.tracks.agent_ids import agent_number
from social_implicit_ros.types import Tracks


def window(**limits: float) -> TruthWindow:
    return TruthWindow(**{"max_gap_s": 0.5, "max_pause_s": 1.0, "max_speed_m_s": 10.0, **limits})


def seen(time_s: float, **places: tuple[float, float]) -> Tracks:
    return Tracks(
        round(time_s * S),
        tuple(places),
        np.array(list(places.values()), dtype=float).reshape(-1, 2),
    )


def at(truth: TruthWindow, number: int, *times_s: float) -> np.ndarray:
    return truth.positions_m(np.array([number]), np.array([round(t * S) for t in times_s]))[0]


def test_positions_are_interpolated_and_nan_outside():
    truth = window()
    (number,) = truth.add(seen(1.0, a=(0, 0)))
    truth.add(seen(1.4, a=(4, 2)))

    positions = at(truth, number, 0.9, 1.0, 1.1, 1.4, 1.5)

    np.testing.assert_allclose(positions[1:4], [[0, 0], [1, 0.5], [4, 2]])
    assert np.isnan(positions[[0, 4]]).all()


def test_nothing_is_known_within_a_gap_that_is_too_long():
    truth = window(max_speed_m_s=20)
    (number,) = truth.add(seen(1.0, a=(0, 0)))
    truth.add(seen(1.6, a=(1, 0)))

    positions = at(truth, number, 1.0, 1.3, 1.6)

    assert np.isfinite(positions[[0, 2]]).all()
    assert np.isnan(positions[1]).all()


def test_others_who_are_seen_in_between_do_not_bridge_a_gap():
    truth = window()
    first, _ = truth.add(seen(1.0, a=(0, 0), b=(5, 5)))
    truth.add(seen(1.3, b=(5, 5)))
    truth.add(seen(1.6, a=(1, 0), b=(5, 5)))

    assert np.isnan(at(truth, first, 1.3)).all()


@pytest.mark.parametrize("second", [seen(1.1, a=(8, 0)), seen(2.2, a=(0.1, 0))])
def test_after_a_jump_or_a_pause_it_is_another_track(second):
    truth = window()
    (before,) = truth.add(seen(1.0, a=(0, 0)))

    (after,) = truth.add(second)

    assert after != before
    assert np.isnan(at(truth, before, second.stamp_ns / S)).all()
    assert np.isfinite(at(truth, after, second.stamp_ns / S)).all()


def test_entries_that_are_not_finite_or_come_twice_have_no_track():
    truth = window()

    numbers = truth.add(
        Tracks(S, ("a", "b", "a"), np.array([[0.0, 0.0], [np.nan, 0.0], [3.0, 3.0]]))
    )

    assert numbers[0] >= 0
    assert numbers[1:].tolist() == [-1, -1]
    np.testing.assert_allclose(at(truth, numbers[0], 1.0), [[0, 0]])


def test_a_late_message_finds_its_place():
    truth = window()
    (number,) = truth.add(seen(1.0, a=(0, 0)))
    truth.add(seen(1.4, a=(4, 0)))
    (late,) = truth.add(seen(1.2, a=(0, 0)))

    assert late == number
    np.testing.assert_allclose(at(truth, number, 1.1, 1.3), [[0, 0], [2, 0]])


def test_numbers_once_given_stay_as_they_are():
    truth = window()
    places = {"a": (0, 0), "b": (5, 5)}
    first = truth.add(seen(1.0, **places))
    given_out = first.tolist()
    assert truth.add(seen(1.1, **places)) is first

    after_a_jump = truth.add(seen(1.2, a=(0, 0), b=(50, 5)))

    assert first.tolist() == given_out
    assert after_a_jump[0] == given_out[0]
    assert after_a_jump[1] != given_out[1]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_message_that_goes_on_where_the_last_ended_is_taken_as_any_other(seed):
    generator = np.random.default_rng(seed)
    going_on, shuffled = window(), window()
    stamps_s = 1.0 + 0.1 * np.arange(80)
    stamps_s[generator.random(80) < 0.1] += generator.choice([-0.25, 0.1, 1.5])
    agents = np.array(list("abcd"))
    places = np.zeros((4, 2))
    moments_ns = np.sort(generator.uniform(0.5, 10.5, 60) * S).astype(np.int64)
    for index, stamp_s in enumerate(stamps_s):
        places = places + generator.normal(0, 0.1, places.shape)
        places[generator.random(4) < 0.03] += 30.0
        here = places.copy()
        here[generator.random(4) < 0.02] = generator.choice([np.nan, np.inf])
        there = np.flatnonzero(generator.random(4) < generator.choice([0.7, 1.0, 1.0]))
        numbers = []
        # Ids in another order than those of the message before are looked up one by one.
        for truth, rows in ((going_on, there), (shuffled, generator.permutation(there))):
            tracks = Tracks(round(stamp_s * S), tuple(agents[rows].tolist()), here[rows])
            numbers.append(truth.add(tracks)[np.argsort(rows)])
            if index % 20 == 19:
                truth.forget_before(round((stamp_s - 2.0) * S))
        assert ((numbers[0] < 0) == (numbers[1] < 0)).all()
        known = numbers[0] >= 0
        np.testing.assert_array_equal(
            going_on.positions_m(numbers[0][known], moments_ns),
            shuffled.positions_m(numbers[1][known], moments_ns),
        )


def test_a_late_message_is_not_what_the_next_goes_on_from():
    truth = window()
    truth.add(seen(1.0, a=(0, 0)))
    (before,) = truth.add(seen(1.4, a=(0, 0)))
    truth.add(seen(1.2, a=(0, 0)))

    (after,) = truth.add(seen(1.5, a=(2.5, 0)))

    assert after != before  # too far for a tenth of a second


def test_memory_is_flat_and_what_is_kept_stays_right():
    truth = window()
    sizes = []
    for index in range(3000):
        time_s = 1.0 + 0.1 * index
        # Everybody is there for two seconds only.
        agent = f"a{index // 20}"
        (number,) = truth.add(seen(time_s, **{agent: (time_s, -time_s)}))
        truth.forget_before(round((time_s - 3.0) * S))
        if index % 20 > 2:
            np.testing.assert_allclose(
                at(truth, number, time_s - 0.05), [[time_s - 0.05, -time_s + 0.05]]
            )
        sizes.append(truth._positions_m.size)

    assert sizes[-1] == sizes[200]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_it_agrees_with_the_table_of_a_whole_recording(seed):
    generator = np.random.default_rng(seed)
    times_s = np.unique(generator.uniform(1.0, 4.0, 20).round(2))
    recording = []
    for time_s in times_s:
        there = [agent for agent in "abcd" if generator.random() < 0.7]
        places = {agent: generator.uniform(-0.2, 0.2, 2) for agent in there}
        recording.append(seen(time_s, **places))
    # Slow enough and without long pauses: tracks are never broken.
    truth = window(max_pause_s=10.0)
    numbers: dict[str, int] = {}
    for tracks in recording:
        numbers.update(zip(tracks.ids, truth.add(tracks).tolist(), strict=True))
    stamps_ns = np.sort(generator.uniform(0.5, 4.5, 15) * S).astype(np.int64)

    table = Truth(recording, max_gap_s=0.5)
    expected = table.positions_m(np.array([agent_number(a) for a in numbers]), stamps_ns)

    np.testing.assert_allclose(
        truth.positions_m(np.array(list(numbers.values()), dtype=np.int64), stamps_ns), expected
    )
