"""Each fault of the simulated tracker does what its name says, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.evaluation.faulty_tracker.people import People
from social_implicit_ros.evaluation.faulty_tracker.simulated_tracker import (
    NOBODY,
    SimulatedTracks,
    headings_rad,
    is_in_view,
    simulate,
)
from social_implicit_ros.evaluation.faulty_tracker.tracker_faults import (
    PRESETS,
    TrackerFaults,
    parse_faults,
)
from social_implicit_ros.parameter_spec import ParameterError

S = 1_000_000_000


def crowd(
    *, n_people: int = 5, duration_s: float = 60.0, rate_hz: float = 10.0, apart_m: float = 3.0
) -> People:
    """People who walk abreast."""
    n_stamps = round(duration_s * rate_hz) + 1
    stamps_ns = 10 * S + np.round(np.arange(n_stamps) / rate_hz * S).astype(np.int64)
    x = (stamps_ns - stamps_ns[0]) / S
    places = np.stack(
        [
            np.repeat(x, n_people),
            np.tile(np.arange(n_people) * apart_m, n_stamps),
        ],
        axis=1,
    )
    return People(
        np.repeat(stamps_ns, n_people),
        np.tile(np.arange(n_people), n_stamps),
        places,
        max_gap_s=0.5,
    )


def tracked(people: People | None = None, **faults: float) -> SimulatedTracks:
    return simulate(people or crowd(), TrackerFaults(**faults))


def ids_of(tracks: SimulatedTracks, person: int) -> list[int]:
    """Successive ids of a person."""
    ids = tracks.ids[tracks.people == person]
    return ids[np.flatnonzero(np.diff(ids, prepend=-1))].tolist()


def absences(tracks: SimulatedTracks, person: int) -> list[int]:
    """Lengths of the runs of messages without a person."""
    is_there = np.zeros(len(tracks.stamps_ns), dtype=bool)
    is_there[tracks.messages[tracks.people == person]] = True
    changes = np.diff(is_there.astype(int), prepend=1, append=1)
    starts, ends = np.flatnonzero(changes == -1), np.flatnonzero(changes == 1)
    return (ends - starts).tolist()


def test_without_faults_the_tracks_are_the_people():
    people = crowd()

    tracks = tracked(people)

    np.testing.assert_array_equal(tracks.positions_m, people.positions_m)
    np.testing.assert_array_equal(tracks.people, people.people)
    np.testing.assert_array_equal(tracks.arrivals_ns, tracks.stamps_ns)
    assert [len(ids_of(tracks, person)) for person in range(5)] == [1] * 5
    assert len(np.unique(tracks.ids)) == 5


def test_the_same_seed_gives_the_same_tracks():
    faults = "robot,occlusion=0,range=0"
    first, again, other = (
        simulate(crowd(), parse_faults(f"{faults},seed={seed}")) for seed in (1, 1, 2)
    )

    np.testing.assert_array_equal(first.positions_m, again.positions_m)
    assert first.positions_m.shape != other.positions_m.shape


def test_one_fault_does_not_change_another():
    alone, together = tracked(misses=0.3), tracked(misses=0.3, noise=0.1, cuts=4.0, latency=0.2)

    np.testing.assert_array_equal(alone.messages, together.messages)
    np.testing.assert_array_equal(alone.people, together.people)


def test_white_noise_has_its_standard_deviation_and_no_correlation():
    people = crowd()
    noise_m = tracked(people, noise=0.05).positions_m - people.positions_m

    assert noise_m.std() == pytest.approx(0.05, rel=0.1)
    assert abs(np.corrcoef(noise_m[:-5, 0], noise_m[5:, 0])[0, 1]) < 0.1


def test_drift_has_its_standard_deviation_and_correlation_time():
    people = crowd(n_people=40)
    drift_m = tracked(people, drift=0.2, drift_s=2.0).positions_m - people.positions_m

    assert drift_m.std() == pytest.approx(0.2, rel=0.1)
    at_once = drift_m.reshape(-1, 40, 2)
    later = (at_once[20:] * at_once[:-20]).mean() / at_once.var()  # 2 s later
    assert later == pytest.approx(np.exp(-1.0), abs=0.1)
    assert abs(np.corrcoef(at_once[:, 0, 0], at_once[:, 1, 0])[0, 1]) < 0.5  # independent


@pytest.mark.parametrize(("burst_s", "messages"), [(0.0, 1.25), (1.0, 10.0)])
def test_misses_have_their_share_and_come_in_bursts(burst_s, messages):
    people = crowd(n_people=20, duration_s=200.0)
    tracks = tracked(people, misses=0.2, burst=burst_s)

    assert 1.0 - len(tracks.ids) / len(people.people) == pytest.approx(0.2, abs=0.02)
    lengths = [length for person in range(20) for length in absences(tracks, person)]
    assert np.mean(lengths) == pytest.approx(messages, rel=0.15)
    assert [len(ids_of(tracks, person)) for person in range(20)] == [1] * 20


def test_cuts_give_a_person_new_ids_at_a_constant_period():
    tracks = tracked(cuts=5.0)

    for person in range(5):
        rows = tracks.people == person
        begins = np.flatnonzero(np.diff(tracks.ids[rows]))
        assert len(begins) == 12
        assert set(np.diff(begins).tolist()) == {50}
    assert len(np.unique(tracks.ids)) == 5 * 13
    assert len({int(np.argmax(np.diff(tracks.ids[tracks.people == p]) != 0)) for p in range(5)}) > 1


def test_a_person_is_not_observed_in_the_gap_of_a_cut():
    tracks = tracked(cuts=5.0, gap=0.5)

    assert set(absences(tracks, 0)) == {5}


def test_a_person_who_was_not_observed_for_long_gets_a_new_id():
    remembered = tracked(misses=0.5, burst=1.0)
    forgotten = tracked(misses=0.5, burst=1.0, forget=1.0)

    n_long = sum(length > 9 for length in absences(forgotten, 0))
    assert len(ids_of(remembered, 0)) == 1
    assert 0 < n_long - 2 <= len(ids_of(forgotten, 0)) - 1 <= n_long


def test_near_people_swap_ids_and_far_ones_do_not():
    near, far = crowd(n_people=2, apart_m=0.5), crowd(n_people=2, apart_m=3.0)

    assert ids_of(tracked(far, swaps=0.7, swap_rate=1.0), 0) == [0]
    swapped = tracked(near, swaps=0.7, swap_rate=1.0)
    assert 40 < len(ids_of(swapped, 0)) < 80  # once a second for a minute
    assert set(ids_of(swapped, 0)) == set(ids_of(swapped, 1)) == {0, 1}
    assert (swapped.ids[::2] != swapped.ids[1::2]).all()


def test_false_tracks_have_no_person_and_are_short():
    tracks = tracked(ghosts=60.0, ghost_s=0.5)

    false = tracks.people == NOBODY
    n_false = len(np.unique(tracks.ids[false]))
    assert 40 < n_false < 85
    assert not set(tracks.ids[false]) & set(tracks.ids[~false])
    assert false.sum() / n_false == pytest.approx(6.0, rel=0.4)  # messages in half a second
    assert (np.diff(tracks.messages) >= 0).all()


def test_latency_delays_messages_and_keeps_their_order():
    tracks = tracked(latency=0.2, jitter=0.3)

    delay_s = (tracks.arrivals_ns - tracks.stamps_ns) / S
    assert delay_s.min() >= 0.2
    assert 0.45 < delay_s.max() <= 0.5
    assert (np.diff(tracks.arrivals_ns) >= 0).all()


def test_positions_are_rounded():
    tracks = tracked(noise=0.1, quantum=0.25)

    np.testing.assert_allclose(tracks.positions_m % 0.25, 0.0)


@pytest.mark.parametrize("rate_hz", [2.0, 25.0])
def test_people_are_observed_at_another_rate(rate_hz):
    seen = crowd(duration_s=4.0).at_rate(rate_hz)

    stamps_ns = np.unique(seen.stamps_ns)
    np.testing.assert_allclose(np.diff(stamps_ns) / S, 1.0 / rate_hz)
    np.testing.assert_allclose(seen.positions_m[:, 0], (seen.stamps_ns - 10 * S) / S, atol=1e-9)


def test_people_behind_others_are_hidden():
    people_m = np.array([[2.0, 0.0], [6.0, 0.2], [6.0, 2.0], [-6.0, 0.0]])

    seen = is_in_view(people_m, np.zeros(2), 0.0, TrackerFaults(occlusion=0.3))

    assert seen.tolist() == [True, False, True, True]


def test_range_and_field_of_view_limit_who_is_seen():
    people_m = np.array([[3.0, 0.0], [0.0, 3.0], [-3.0, 0.1], [9.0, 0.0]])

    near = is_in_view(people_m, np.zeros(2), 0.0, TrackerFaults(range=5.0))
    ahead = is_in_view(people_m, np.zeros(2), np.pi, TrackerFaults(fov=120.0))

    assert near.tolist() == [True, True, True, False]
    assert ahead.tolist() == [False, False, True, False]


def test_the_heading_of_a_robot_is_its_direction_of_travel():
    path_m = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 1.01], [-1.0, 1.01]])

    np.testing.assert_allclose(
        headings_rad(path_m), np.pi * np.array([0.5, 0.5, 0.5, 1.0]), atol=0.01
    )


def test_the_range_is_measured_from_the_robot():
    people = crowd(n_people=3, apart_m=10.0)
    beside_m = np.stack([np.arange(601) / 10.0, np.zeros(601)], axis=1)

    tracks = simulate(people, TrackerFaults(range=15.0), beside_m)

    assert set(tracks.people.tolist()) == {0, 1}
    with pytest.raises(ValueError, match="robot"):
        simulate(people, TrackerFaults(range=15.0))


def test_a_position_is_known_between_two_observations_only():
    people = People(
        np.array([0, S, 3 * S]), np.array([0, 0, 0]), np.array([[0.0, 0], [1, 0], [3, 0]]), 1.5
    )

    at = people.positions_at(np.array([0, -1]), np.array([-1, 0, S // 2, S, 2 * S, 3 * S, 4 * S]))

    np.testing.assert_allclose(at[0, :, 0], [np.nan, 0.0, 0.5, 1.0, np.nan, 3.0, np.nan])
    assert np.isnan(at[1]).all()


def test_presets_and_values_are_parsed():
    assert parse_faults("none") == TrackerFaults()
    assert parse_faults("cuts=5, noise=0.05,seed=3") == TrackerFaults(cuts=5.0, noise=0.05, seed=3)
    assert parse_faults("robot,rate=5").rate == 5.0
    assert parse_faults("robot,rate=5").noise == PRESETS["robot"].noise
    for faults in PRESETS.values():
        assert parse_faults(str(faults)) == faults


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nose=1", "did you mean noise?"),
        ("robto", "did you mean robot?"),
        ("", "NAME=VALUE"),
        ("noise=much", "noise is 'much', expected a number, as in noise=1"),
        ("seed=1.5", "seed is '1.5', expected a whole number"),
        ("misses=1.5", "misses is 1.5, expected a value from 0.0 to 0.95"),
        ("noise=nan", "finite"),
        ("noise=1,noise=2", "noise is given twice"),
        ("noise=1,robot", "must stand first"),
        ("noise", "noise is '', expected a number"),
    ],
)
def test_an_invalid_fault_is_refused_with_a_fix(text, expected):
    with pytest.raises(ParameterError) as error:
        parse_faults(text)
    assert expected in str(error.value)
