"""The history keeps the observations of a tracker and resamples them to the model's steps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from social_implicit_ros.settings import HistoryLimits
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.types import ROBOT_ID, SkipReason, Tracks

S = 1_000_000_000
WALK_M_S = np.array([1.2, -0.3])


def at(seconds: float) -> int:
    return round(seconds * S)


def walker(seconds: float, ids: tuple[str, ...] = ("a",)) -> Tracks:
    """All agents walk straight; agent number n starts n metres to the right."""
    positions = [WALK_M_S * seconds + [n, 0.0] for n in range(len(ids))]
    return Tracks(at(seconds), ids, np.array(positions).reshape(-1, 2))


def history(**config: float) -> TrackHistory:
    exact = {"position_noise_m": 0.0}
    return TrackHistory(HistoryLimits(**{**exact, **config}))  # type: ignore[arg-type]


@settings(max_examples=40)
@given(
    rate_hz=st.sampled_from([2.5, 5.0, 10.0, 15.0, 30.0, 60.0]),
    jitter=st.floats(0.0, 0.4),
    seed=st.integers(0, 1000),
)
def test_a_straight_walk_is_resampled_exactly_at_any_rate_and_jitter(
    rate_hz: float, jitter: float, seed: int
) -> None:
    tracks = history()
    shifts = np.random.default_rng(seed).uniform(-jitter, jitter, int(5 * rate_hz))
    for n, shift in enumerate(shifts):
        tracks.insert(walker((n + shift) / rate_hz + 1.0))
    now_s = (len(shifts) - 1 + shifts[-1]) / rate_hz + 1.0

    window, skipped = tracks.window(at(now_s))

    expected = [WALK_M_S * (now_s - 0.4 * k) for k in range(7, -1, -1)]
    assert skipped == {}
    assert window.n_observed.tolist() == [8]
    np.testing.assert_allclose(window.positions_m[0], expected, atol=1e-6)


def test_a_late_message_is_compensated_by_extrapolation() -> None:
    tracks = history()
    for n in range(20):
        tracks.insert(walker(0.1 * n))

    window, _ = tracks.window(at(1.9 + 0.35))

    np.testing.assert_allclose(window.positions_m[0, -1], WALK_M_S * 2.25, atol=1e-9)


@pytest.mark.parametrize("other_since_s", [0.0, 1.5], ids=["known for long", "new"])
@pytest.mark.parametrize("other_until_s", [2.9, 2.6], ids=["just seen", "seen before"])
def test_the_window_of_an_agent_does_not_depend_on_others(
    other_since_s: float, other_until_s: float
) -> None:
    alone, together = history(), history()
    for n in range(30):
        time_s = 0.1 * n
        alone.insert(walker(time_s))
        there = other_since_s <= time_s <= other_until_s + 0.01
        together.insert(walker(time_s, ("a", "b") if there else ("a",)))

    expected, _ = alone.window(at(2.9))
    window, _ = together.window(at(2.9))

    np.testing.assert_array_equal(window.positions_m[0], expected.positions_m[0])
    assert window.n_observed.tolist() == [8, 8 if other_since_s == 0 else 4]
    n_known = window.n_observed[1]
    of_b_m = [WALK_M_S * (2.9 - 0.4 * k) + [1.0, 0.0] for k in range(n_known - 1, -1, -1)]
    np.testing.assert_allclose(window.positions_m[1, -n_known:], of_b_m, atol=1e-6)
    assert np.isnan(window.positions_m[1, :-n_known]).all()


def test_two_observations_are_enough_and_unknown_steps_are_nan() -> None:
    tracks = history()
    tracks.insert(walker(1.0))
    assert tracks.window(at(1.0))[1] == {"a": SkipReason.TOO_FEW_OBSERVATIONS}
    tracks.insert(walker(1.1))

    window, skipped = tracks.window(at(1.1))

    assert skipped == {}
    assert window.n_observed.tolist() == [2]
    assert np.isnan(window.positions_m[0, :-2]).all()
    np.testing.assert_allclose(window.positions_m[0, -2:], [WALK_M_S * 0.7, WALK_M_S * 1.1])


def test_history_grows_by_a_step_every_step() -> None:
    tracks = history()
    counts = []
    for n in range(12):
        tracks.insert(walker(0.4 * n))
        if n:
            counts.append(int(tracks.window(at(0.4 * n))[0].n_observed[0]))
    assert counts == [2, 3, 4, 5, 6, 7, 8, 8, 8, 8, 8]


def test_a_short_gap_is_interpolated_and_a_long_gap_restarts_the_history() -> None:
    tracks = history(track_timeout_s=1.0)
    for n in [*range(20), *range(28, 40)]:
        tracks.insert(walker(0.1 * n))
    bridged, _ = tracks.window(at(3.9))
    np.testing.assert_allclose(bridged.positions_m[0, 3], WALK_M_S * 2.3, atol=1e-9)
    assert bridged.n_observed.tolist() == [8]

    for n in range(60, 70):
        tracks.insert(walker(0.1 * n))
    restarted, _ = tracks.window(at(6.9))
    assert restarted.n_observed.tolist() == [3]


def test_unseen_agent_is_reported_stale_once_and_forgotten() -> None:
    tracks = history(track_timeout_s=1.0)
    for n in range(10):
        tracks.insert(walker(0.1 * n, ("a", "b")))
    for n in range(10, 30):
        tracks.insert(walker(0.1 * n, ("a",)))

    window, skipped = tracks.window(at(2.9))
    assert window.ids == ("a",)
    assert skipped == {"b": SkipReason.STALE}
    assert tracks.window(at(2.9))[1] == {}
    assert len(tracks) == 1


def test_a_hidden_agent_is_skipped_with_its_reason_until_it_is_forgotten() -> None:
    tracks = history(track_timeout_s=1.5)
    for n in range(10):
        tracks.insert(walker(0.1 * n, ("a", "b")))
    tracks.hidden = {"b": SkipReason.VANISHED}

    window, skipped = tracks.window(at(0.9))
    assert window.ids == ("a",)
    assert skipped == {"b": SkipReason.VANISHED}

    tracks.insert(walker(3.0))
    assert tracks.window(at(3.0))[1]["b"] == SkipReason.STALE
    assert "b" not in tracks.window(at(3.0))[1]


def test_an_id_reused_far_away_restarts_the_history() -> None:
    tracks = history(max_speed_m_s=10.0)
    for n in range(20):
        tracks.insert(walker(0.1 * n))
    for n in range(20, 22):
        moved = walker(0.1 * n)
        tracks.insert(Tracks(moved.stamp_ns, moved.ids, moved.positions_m + 5.0))

    window, _ = tracks.window(at(2.1))

    assert window.n_observed.tolist() == [2]
    np.testing.assert_allclose(window.positions_m[0, -1], WALK_M_S * 2.1 + 5.0)


@pytest.mark.parametrize("n_outliers", [1, 0])
def test_one_position_out_of_reach_is_skipped_as_an_outlier(n_outliers: int) -> None:
    """Two in a row mean a reassigned id, see above."""
    tracks = history(max_speed_m_s=10.0)
    for n in range(20):
        seen = walker(0.1 * n)
        if 10 <= n < 10 + n_outliers:
            seen = replace(seen, positions_m=seen.positions_m + 5.0)
        rejected = tracks.insert(seen)
        assert rejected == ({"a": SkipReason.OUTLIER} if n == 10 + n_outliers > 10 else {})

    window, skipped = tracks.window(at(1.9))

    assert not skipped
    np.testing.assert_allclose(window.positions_m[0, -1], WALK_M_S * 1.9)
    assert tracks.began_ns(window.ids).tolist() == [at(0.0)]


@pytest.mark.parametrize("gap_s", [0.1, 0.3, 0.5])
def test_an_id_reassigned_to_a_neighbour_gives_no_high_speed(gap_s: float) -> None:
    """The neighbour is within reach at `max_speed_m_s`, but does not fit the earlier motion."""
    tracks = history(max_speed_m_s=10.0)
    for n in range(20):
        tracks.insert(walker(0.1 * n))
    for n in range(2):
        seen = walker(1.9 + gap_s + 0.1 * n)
        tracks.insert(replace(seen, positions_m=seen.positions_m + np.array([0.0, 1.5])))
    assert tracks.began_ns(("a",)).tolist() == [at(1.9 + gap_s)]


@pytest.mark.parametrize("period_s", [0.1, 0.4, 0.9])
@pytest.mark.parametrize("motion", ["starts", "stops", "turns back", "cycles", "is noisy"])
def test_plausible_motion_does_not_restart_a_track(motion: str, period_s: float) -> None:
    tracks, draws = history(max_speed_m_s=10.0), np.random.default_rng(0)
    for n in range(40):
        time_s = period_s * n
        after_s = max(time_s - 10.1 * period_s, 0.0)  # a change within one period
        x_m, y_m = {
            "starts": (2.0 * after_s, 0.0),
            "stops": (2.5 * (time_s - after_s), 0.0),
            "turns back": (1.4 * (time_s - 2.0 * after_s), 0.0),
            "cycles": (9.0 * np.sin(0.5 * time_s), 9.0 * np.cos(0.5 * time_s)),
            "is noisy": (1.2 * time_s + draws.normal(0.0, 0.3), draws.normal(0.0, 0.3)),
        }[motion]
        tracks.insert(Tracks(at(time_s), ("a",), np.array([[x_m, y_m]])))
    assert tracks.began_ns(("a",)).tolist() == [at(0.0)]


def test_after_a_reassigned_id_the_new_person_is_predicted_from_the_second_position() -> None:
    """Until then the person before is predicted."""
    tracks = history(max_speed_m_s=10.0)
    for n in range(12):
        seen = walker(0.1 * n)
        tracks.insert(replace(seen, positions_m=seen.positions_m + (5.0 if n >= 10 else 0.0)))
        if n >= 1:
            window, _ = tracks.window(at(0.1 * n))
            offset_m = 5.0 if n == 11 else 0.0
            np.testing.assert_allclose(window.positions_m[0, -1], WALK_M_S * 0.1 * n + offset_m)
    assert tracks.began_ns(window.ids).tolist() == [at(1.0)]


@pytest.mark.parametrize(
    ("ids", "positions", "reason"),
    [
        (("",), [[0.0, 0.0]], SkipReason.EMPTY_ID),
        (("b",), [[np.nan, 0.0]], SkipReason.NOT_FINITE),
        (("b",), [[0.0, np.inf]], SkipReason.NOT_FINITE),
    ],
)
def test_an_invalid_entry_is_rejected_with_its_reason(
    ids: tuple[str, ...], positions: list[list[float]], reason: SkipReason
) -> None:
    tracks = history()
    rejected = tracks.insert(Tracks(S, (*ids, "good"), np.array([*positions, [1.0, 1.0]])))
    assert rejected == {ids[0]: reason}
    assert len(tracks) == 1


def test_the_second_entry_of_an_id_in_a_message_is_rejected() -> None:
    tracks = history()
    rejected = tracks.insert(Tracks(S, ("a", "a"), np.array([[0.0, 0.0], [9.0, 9.0]])))
    assert rejected == {"a": SkipReason.DUPLICATE_ID}


def test_order_of_arrival_does_not_matter() -> None:
    in_order, shuffled = history(), history()
    stamps = 0.1 * np.arange(40)
    for stamp in stamps:
        in_order.insert(walker(stamp, ("a", "b")))
    late = stamps.copy()
    late[10:15] = late[10:15][::-1]
    late[27:34] = np.roll(late[27:34], 3)
    for stamp in late:
        shuffled.insert(walker(stamp, ("a", "b")))

    np.testing.assert_allclose(
        shuffled.window(at(3.9))[0].positions_m, in_order.window(at(3.9))[0].positions_m
    )


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), period_s=st.sampled_from([0.01, 0.03, 0.1, 0.4]))
def test_the_order_of_agents_in_a_message_does_not_matter(seed: int, period_s: float) -> None:
    generator = np.random.default_rng(seed)
    n_agents, n_messages = 5, 60
    ids = np.array([f"p{agent}" for agent in range(n_agents)])
    in_order, shuffled = history(), history()

    def message(rows: np.ndarray, stamp_s: float, states: np.ndarray) -> Tracks:
        unknown = np.where(rows[:, None] == 1, np.nan, states[rows])
        covariances = np.abs(unknown[:, :1, None]) * np.eye(3)
        ids_there = tuple(ids[rows].tolist())
        return Tracks(
            at(stamp_s), ids_there, states[rows, :2], states[rows, 2], unknown, covariances
        )

    stamps_s = 1.0 + period_s * np.arange(n_messages)
    stamps_s[generator.random(n_messages) < 0.1] += generator.choice([0.005, -0.5, 1.5])
    places = generator.uniform(-5, 5, n_agents)[:, None] + np.zeros(3)
    for stamp_s in stamps_s:
        places = places + generator.normal(0, 0.1, places.shape)
        places[generator.random(n_agents) < 0.02] += 50.0
        here = places.copy()
        here[generator.random(n_agents) < 0.02] = generator.choice([np.nan, 1e300])
        there = np.flatnonzero(generator.random(n_agents) < generator.choice([0.8, 1.0, 1.0]))

        rejected = in_order.insert(message(there, stamp_s, here))
        assert shuffled.insert(message(generator.permutation(there), stamp_s, here)) == rejected
        if generator.random() < 0.3:
            windows = [tracks.window(at(stamp_s))[0] for tracks in (in_order, shuffled)]
            assert sorted(windows[0].ids) == sorted(windows[1].ids)
            order = [windows[1].ids.index(agent) for agent in windows[0].ids]
            for field in ("positions_m", "heights_m", "n_observed", "covariances_m2"):
                found, expected = (getattr(window, field) for window in windows)
                np.testing.assert_array_equal(found, expected[order])


def test_a_second_message_with_the_same_stamp_is_rejected() -> None:
    tracks = history(max_agents=2)
    tracks.insert(walker(1.0, ("a", "b")))
    assert tracks.insert(walker(1.2, ("a", "b", "c"))) == {"c": SkipReason.OVER_CAPACITY}
    again = tracks.insert(walker(1.2, ("a", "b")))
    assert again == dict.fromkeys("ab", SkipReason.DUPLICATE_STAMP)


def test_repeated_and_outdated_messages_are_rejected() -> None:
    tracks = history()
    for n in range(1, 20):
        tracks.insert(walker(0.1 * n))
    assert tracks.insert(walker(1.0)) == {"a": SkipReason.DUPLICATE_STAMP}
    assert tracks.insert(walker(0.05)) == {"a": SkipReason.OUT_OF_ORDER}


@pytest.mark.slow
def test_memory_is_bounded_and_keeps_the_newest_observations() -> None:
    tracks = history(max_agents=3)
    ids = tuple("abcde")
    for n in range(4000):
        rejected = tracks.insert(walker(0.001 * n, ids))
    assert rejected == {"d": SkipReason.OVER_CAPACITY, "e": SkipReason.OVER_CAPACITY}

    window, _ = tracks.window(at(3.999))

    assert window.ids == ("a", "b", "c")
    assert window.n_observed.tolist() == [8, 8, 8]
    np.testing.assert_allclose(window.positions_m[0, 0], WALK_M_S * (3.999 - 2.8), atol=1e-9)


def crowd(time_s: float, places_m: dict[str, float]) -> Tracks:
    """People who stand on the x axis."""
    positions = np.array([[x, 0.0] for x in places_m.values()])
    return Tracks(at(time_s), tuple(places_m), positions)


def test_beyond_capacity_the_nearest_to_the_origin_are_kept() -> None:
    tracks = history(max_agents=2)

    rejected = tracks.insert(crowd(0.0, {"far": 9.0, "near": -1.0, "next": 3.0}))

    assert rejected == {"far": SkipReason.OVER_CAPACITY}
    assert len(tracks) == 2


def test_beyond_capacity_the_robot_and_the_nearest_to_it_are_kept() -> None:
    tracks = history(max_agents=2)
    tracks.insert(crowd(0.0, {ROBOT_ID: 10.0}))

    rejected = tracks.insert(crowd(0.1, {"near": 9.0, "far": 0.0, "next": 13.0}))

    assert rejected == {"far": SkipReason.OVER_CAPACITY}
    assert tracks.insert(crowd(0.2, {ROBOT_ID: 10.0})) == {}


def test_beyond_capacity_the_nearest_to_a_lost_robot_are_kept() -> None:
    tracks = history(max_agents=2)
    tracks.insert(crowd(0.0, {ROBOT_ID: 200.0}))
    tracks.window(at(5.0))
    assert tracks.unknown((ROBOT_ID,))

    rejected = tracks.insert(crowd(5.0, {"near": 199.0, "far": 0.0, "next": 203.0}))

    assert rejected == {"far": SkipReason.OVER_CAPACITY}


def test_a_nearer_agent_replaces_the_farthest() -> None:
    tracks = history(max_agents=2)
    tracks.insert(crowd(0.0, {"a": 2.0, "b": 8.0}))
    # A small difference is not enough, or two at the same distance would replace each other.
    assert tracks.insert(crowd(0.1, {"c": 7.5})) == {"c": SkipReason.OVER_CAPACITY}

    assert tracks.insert(crowd(0.2, {"a": 2.0, "b": 8.0, "c": 4.0})) == {
        "b": SkipReason.OVER_CAPACITY
    }
    tracks.insert(crowd(0.3, {"a": 2.0, "c": 4.0}))
    assert tracks.window(at(0.3))[0].ids == ("a", "c")


def test_two_near_people_are_kept_beside_thousands_far_away() -> None:
    tracks = history(max_agents=1000)
    far = {f"far/{n}": 60.0 + n / 100 for n in range(3000)}
    for n in range(4):
        tracks.insert(crowd(0.1 * n, {**far, "one": 1.1, "two": -1.1}))
    ids = tracks.window(at(0.3))[0].ids
    assert {"one", "two"} <= set(ids)
    assert len(ids) == 1000


@pytest.mark.parametrize("source", ["", "0/laser/"])
def test_ids_that_change_at_every_message_do_not_keep_others_out(source: str) -> None:
    tracks = history(max_agents=6)
    for n in range(8):
        flickering = {f"{source}{n}/{k}": 1.0 + 0.5 * k for k in range(5)}
        newcomer = {f"{source}new": 3.2} if n > 3 else {}
        tracks.insert(replace(crowd(0.1 * n, {**flickering, **newcomer}), source=source))
    assert tracks.window(at(0.7))[0].ids == (f"{source}new",)


def test_tracks_of_another_tracker_do_not_count_as_missed() -> None:
    tracks = history(max_agents=2)
    tracks.insert(replace(crowd(0.0, {"0/b": 2.0, "0/c": 3.0}), source="0/"))
    other = replace(crowd(0.1, {"1/d": 4.0, "1/e": 5.0}), source="1/")
    assert set(tracks.insert(other)) == {"1/d", "1/e"}


@pytest.mark.parametrize("states_covariances", [False, True])
def test_flickering_ids_do_not_keep_new_tracks_of_another_tracker_out(
    states_covariances: bool,
) -> None:
    tracks = history(max_agents=4)
    for n in range(8):
        flickering = {f"0/{n}": 1.0}
        seen = crowd(0.1 * n, {"0/a": 0.5, **flickering})
        # Each id is used only once.
        stated_m2 = np.square([0.05, 0.01 * 2.0**n])[:, None, None] * np.eye(3)
        covariances_m2 = stated_m2 if states_covariances else None
        tracks.insert(replace(seen, source="0/", covariances_m2=covariances_m2))
    far = replace(crowd(0.75, {"1/far": 9.0, "1/next": 9.5}), source="1/")
    assert not {"1/far", "1/next"} & set(tracks.insert(far))


def test_a_late_message_does_not_replace_reported_tracks() -> None:
    tracks = history(max_agents=4)
    tracks.insert(replace(crowd(0.0, {"1/far": 9.0}), source="1/"))
    for n in range(8):
        flickering = {f"0/{n}": 1.0}
        tracks.insert(replace(crowd(0.1 * n, flickering), source="0/"))
        tracks.insert(replace(crowd(0.1 * n, {"1/far": 9.0}), source="1/"))
    late = replace(crowd(0.2, {"0/late": 2.0, "0/later": 2.1}), source="0/")
    assert "1/far" not in tracks.insert(late)
    assert "1/far" in tracks.ids


def test_a_lower_max_agents_takes_effect_at_the_next_message() -> None:
    tracks = history(max_agents=3)
    people = {"a": 1.0, "b": 2.0, "c": 3.0}
    tracks.insert(crowd(0.0, people))

    tracks.reconfigure(replace(tracks.config, max_agents=1))
    rejected = tracks.insert(crowd(0.1, people))

    assert set(rejected) == {"b", "c"}
    assert len(tracks) == 1


def test_max_history_cannot_change() -> None:
    tracks = history()

    with pytest.raises(ValueError, match="max_history"):
        tracks.reconfigure(replace(tracks.config, max_history=16))


def test_a_short_history_still_fills_a_window() -> None:
    tracks = history(max_history=1)
    for n in range(2000):
        tracks.insert(walker(0.005 * n))

    window, _ = tracks.window(at(9.995))

    assert window.n_observed.tolist() == [8]
    np.testing.assert_allclose(window.positions_m[0, 0], WALK_M_S * (9.995 - 2.8), atol=1e-9)


def test_a_freed_row_is_reused_without_old_observations() -> None:
    tracks = history(max_agents=1)
    for n in range(10):
        tracks.insert(walker(0.1 * n, ("a",)))
    tracks.window(at(5.0))
    tracks.insert(walker(5.0, ("b",)))
    tracks.insert(walker(5.1, ("b",)))
    assert tracks.window(at(5.1))[0].n_observed.tolist() == [2]


def test_reset_forgets_everybody() -> None:
    tracks = history()
    tracks.insert(walker(1.0))
    tracks.reset()
    assert len(tracks) == 0
    window, skipped = tracks.window(at(1.0))
    assert window.positions_m.shape == (0, 8, 2)
    assert skipped == {}


@pytest.mark.parametrize("height_m", [np.nan, np.inf, -np.inf, 1e308])
def test_an_invalid_height_is_zero_and_counted(height_m: float) -> None:
    tracks = history()
    for n in range(3):
        tracks.insert(Tracks(at(0.1 * n), ("a",), np.zeros((1, 2)), np.array([height_m])))
    assert tracks.window(at(0.2))[0].heights_m.tolist() == [0.0]
    assert tracks.n_unknown_heights == 3


def test_height_is_passed_through() -> None:
    tracks = history()
    for n in range(3):
        tracks.insert(Tracks(at(0.1 * n), ("a",), np.zeros((1, 2)), np.array([0.5 + 0.1 * n])))
    assert tracks.window(at(0.3))[0].heights_m.tolist() == pytest.approx([0.7])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("track_timeout_s", float("nan")),
        ("min_observations", 1),
        ("max_agents", 0),
        ("max_history", 0),
    ],
)
def test_bad_config_names_the_field(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        history(**{field: value})


def test_with_a_known_velocity_one_observation_is_enough() -> None:
    tracks = history()
    velocity = np.array([[*WALK_M_S, 0.0], [np.nan] * 3])
    first = walker(1.0, ("told", "untold"))
    tracks.insert(replace(first, velocities_m_s=velocity))

    window, skipped = tracks.window(at(1.0))

    assert window.ids == ("told",)
    assert skipped == {"untold": SkipReason.TOO_FEW_OBSERVATIONS}
    np.testing.assert_allclose(window.positions_m[0, -2:], [WALK_M_S * 0.6, WALK_M_S * 1.0])


def test_covariance_of_the_newest_position_is_kept_and_unknown_is_zero() -> None:
    tracks = history()
    for n in range(3):
        covariances = np.stack([np.eye(3) * 0.1 * (n + 1), np.full((3, 3), np.nan)])
        tracks.insert(replace(walker(0.1 * n, ("a", "b")), covariances_m2=covariances))
    window, _ = tracks.window(at(0.2))
    np.testing.assert_allclose(window.covariances_m2, [np.eye(2) * 0.3, np.zeros((2, 2))])


@pytest.mark.parametrize(
    "covariance",
    [
        [[np.nan, 0.0], [0.0, 0.1]],
        [[0.1, np.inf], [np.inf, 0.1]],
        [[0.1, 0.2], [0.2, 0.1]],
        [[0.1, 0.05], [-0.05, 0.1]],
        [[-0.1, 0.0], [0.0, 0.1]],
        [[0.1, 0.0], [0.0, 0.0]],
        [[0.0, 0.0], [0.0, 0.1]],
        [[2e5, 0.0], [0.0, 0.1]],
        [[0.1, 0.0], [0.0, 2e5]],
        [[1e308, 0.0], [0.0, 1e308]],
    ],
)
def test_an_invalid_covariance_counts_as_unknown(covariance: list[list[float]]) -> None:
    tracks = history()
    for seconds in (0.0, 0.4):
        one = walker(seconds, ("a",))
        matrix = np.zeros((1, 3, 3))
        matrix[0, :2, :2] = covariance
        tracks.insert(replace(one, covariances_m2=matrix))

    window, _ = tracks.window(at(0.4))

    np.testing.assert_array_equal(window.covariances_m2, np.zeros((1, 2, 2)))


@pytest.mark.parametrize("speed_m_s", [1e308, np.inf, np.nan, 11.0])
def test_an_implausible_velocity_counts_as_unknown(speed_m_s: float) -> None:
    tracks = history()
    velocity = np.array([[speed_m_s, 0.0, 0.0]])

    tracks.insert(replace(walker(1.0), velocities_m_s=velocity))

    _, skipped = tracks.window(at(1.0))
    assert skipped == {"a": SkipReason.TOO_FEW_OBSERVATIONS}


@pytest.mark.parametrize("far_m", [1e308, -1e308, 1.1e7])
def test_a_position_outside_all_maps_is_rejected(far_m: float) -> None:
    tracks = history()
    position = np.array([[0.0, far_m]])

    assert tracks.insert(Tracks(at(1.0), ("a",), position)) == {"a": SkipReason.OUT_OF_RANGE}


@pytest.mark.parametrize("offset_m", [500.0, 3.0])
def test_a_late_outlier_is_skipped_and_does_not_change_the_track(offset_m: float) -> None:
    kept, expected = history(), history()
    for step in range(10):
        for each in (kept, expected):
            each.insert(walker(step * 0.1))
    late = walker(0.85)
    outlier = Tracks(late.stamp_ns, late.ids, late.positions_m + offset_m)
    assert kept.insert(outlier) == {"a": SkipReason.LATE_OUTLIER}
    window, without = kept.window(at(0.9))[0], expected.window(at(0.9))[0]
    np.testing.assert_array_equal(window.positions_m, without.positions_m)
    assert kept.insert(late) == {}
