"""Repeated positions, placeholders and duplicates are no observations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from social_implicit_ros.tracks.reported.reported_positions import ReportedPositions
from social_implicit_ros.types import FloatArray, SkipReason, Tracks

S = 1_000_000_000
MAX_SPEED_M_S = 10.0
IDS = ("1", "2", "3")
#: One person walks through the origin, one walks elsewhere, one stands.
VELOCITIES = np.array([[1.2, 0.0], [-0.8, 0.6], [0.0, 0.0]])


def walk(time_s: float) -> FloatArray:
    return np.array([[-5.0, 0.0], [3.0, 4.0], [8.0, 1.0]]) + VELOCITIES * time_s


def shown(
    reported: ReportedPositions,
    position_of: Callable[[int], FloatArray],
    *,
    rate_hz: float = 20.0,
    n_messages: int = 200,
) -> tuple[list[Tracks], Counter[SkipReason]]:
    """The observations in the messages of a tracker, and the skipped entries."""
    taken, total = [], Counter[SkipReason]()
    for n in range(n_messages):
        stamp_ns = 100 * S + round(n * S / rate_hz)
        tracks, lost = reported.take(Tracks(stamp_ns, IDS, position_of(n)), MAX_SPEED_M_S)
        taken.append(tracks)
        total.update(lost)
    return taken, total


def test_all_entries_of_a_good_tracker_are_observations() -> None:
    noise = np.random.default_rng(0)
    reported = ReportedPositions()
    taken, lost = shown(reported, lambda n: walk(n / 20.0) + noise.normal(0.0, 0.05, (3, 2)))
    assert all(tracks.ids == IDS for tracks in taken)
    assert lost.total() == 0 and reported.holds.hold_s == 0.0


def test_people_who_stand_exactly_still_are_observed_in_every_message() -> None:
    """As in a simulator, beside others who walk."""
    taken, lost = shown(ReportedPositions(), lambda n: walk(n / 20.0))
    assert all(tracks.ids == IDS for tracks in taken)
    assert lost.total() == 0


@pytest.mark.parametrize("cell_m", [0.25, 0.5])
@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_positions_on_a_grid_are_all_observations(cell_m: float, offset: float) -> None:
    """People who walk are often at the same corner, or centre, of a cell for some messages."""
    noise = np.random.default_rng(0)

    def position_of(n: int) -> FloatArray:
        noisy_m = walk(n / 20.0) + noise.normal(0.0, 0.05, (3, 2))
        return cell_m * (np.round(noisy_m / cell_m - offset) + offset)

    reported = ReportedPositions()
    taken, lost = shown(reported, position_of)
    assert lost.total() == 0 and reported.holds.hold_s == 0.0
    assert all(tracks.ids == IDS for tracks in taken)
    assert reported.grid.cell_m == pytest.approx(cell_m)


@pytest.mark.parametrize(("noise_m", "decimals"), [(0.0, 12), (0.05, 12), (0.05, 2)])
def test_the_first_of_held_positions_is_an_observation(noise_m: float, decimals: int) -> None:
    """Detected twice a second, published 20 times a second, also rounded to centimetres."""
    noise = np.random.default_rng(0).normal(0.0, noise_m, (20, 3, 2))
    reported = ReportedPositions()
    taken, lost = shown(
        reported, lambda n: (walk((n - n % 10) / 20.0) + noise[n // 10]).round(decimals)
    )
    assert reported.holds.hold_s == pytest.approx(0.5)
    learned = taken[40:]
    for n, tracks in enumerate(learned):
        assert set(IDS[:2] if n % 10 == 0 else ()) == set(tracks.ids) - {"3"}
        assert {*tracks.ids, *tracks.repeated_ids} == set(IDS)  # all are still there
    # Some repetitions of a person who stands exactly still count; with noise, positions are new.
    seen = [n for n, tracks in enumerate(learned) if "3" in tracks.ids]
    assert np.diff(seen).max() <= 15 and len(seen) > 5
    assert lost[SkipReason.REPEATED] > 300


def test_an_invalid_position_between_two_held_ones_changes_nothing() -> None:
    def position_of(n: int) -> FloatArray:
        return np.full((3, 2), np.nan) if n % 10 == 5 else walk((n - n % 10) / 20.0)

    reported = ReportedPositions()
    taken, _ = shown(reported, position_of)
    assert reported.holds.hold_s == pytest.approx(0.5)
    for n, tracks in enumerate(taken[40:]):
        if n % 10 != 5:
            assert ("1" in tracks.ids) == (n % 10 == 0)


def test_held_positions_of_an_even_walk_are_not_a_grid() -> None:
    reported = ReportedPositions()
    shown(reported, lambda n: walk((n - n % 10) / 20.0)[[0, 0, 0]] + np.eye(3)[:, :2])
    assert reported.holds.hold_s == pytest.approx(0.5)


def test_tracks_may_be_held_independently() -> None:
    """As if one node publishes tracks of several cameras."""
    held = [walk(0.0)]

    def position_of(n: int) -> FloatArray:
        now = held[-1].copy()
        for row in range(3):
            if (n + 2 * row) % 7 == 0:
                now[row] = walk(n / 20.0)[row]
        held.append(now)
        return now

    reported = ReportedPositions()
    taken, _ = shown(reported, position_of)
    assert reported.holds.hold_s == pytest.approx(0.35)
    assert sum("1" in tracks.ids for tracks in taken[70:]) == pytest.approx(130 / 7, abs=1.0)


@pytest.mark.parametrize("apart_ns", [0, 3_000_000])
def test_held_positions_are_found_in_messages_of_one_person_each(apart_ns: int) -> None:
    """With equal or different stamps; another person is missed for a long time."""
    reported, taken = ReportedPositions(), Counter[int]()
    for n in range(200):
        positions_m = walk((n - n % 10) / 20.0)
        for row in range(3):
            if row == 1 and 90 <= n < 100:
                continue
            stamp_ns = 100 * S + n * S // 20 + row * apart_ns
            now = Tracks(stamp_ns, IDS[row : row + 1], positions_m[row : row + 1])
            tracks, _ = reported.take(now, MAX_SPEED_M_S)
            assert {*tracks.ids, *tracks.repeated_ids} == {IDS[row]}
            taken[row] += n >= 40 and row < 2 and bool(tracks.ids)
            # The history skips a repeated message.
            assert reported.take(now, MAX_SPEED_M_S) == (now, Counter({}))
    assert reported.holds.hold_s == pytest.approx(0.5)
    assert taken[0] == taken[1] + 1 == 16
    assert len(reported._ids) == 3


@pytest.mark.parametrize("period_ns", [0, S // 20])
def test_memory_is_bounded_for_new_ids_in_each_message(period_ns: int) -> None:
    """As of a detector without tracking, also with a constant stamp."""
    reported = ReportedPositions()
    for n in range(60):
        ids = tuple(f"{n}-{row}" for row in range(20))
        now = Tracks(100 * S + n * period_ns, ids, 100.0 * n + np.arange(40.0).reshape(20, 2))
        assert reported.take(now, MAX_SPEED_M_S)[0] == now
        assert set(ids) <= set(reported._ids)
    assert len(reported._ids) < 300


def test_memory_is_bounded_for_tracks_that_jump() -> None:
    """Each jumps far away and back from there, or leaves."""
    reported, generator = ReportedPositions(), np.random.default_rng(0)
    for n in range(900):
        ids = tuple(f"{n // 3}-{row}" for row in range(2))
        positions_m = generator.uniform(-1e3, 1e3, (2, 2))
        now = Tracks(100 * S + n * S // 10, ids[n % 3 // 2 :], positions_m[n % 3 // 2 :])
        reported.take(now, MAX_SPEED_M_S)
    assert len(reported.placeholders._suspects) <= 256


def test_held_positions_are_found_beside_empty_slots() -> None:
    """Most entries of a list of fixed length become zeros after a person leaves."""
    reported = ReportedPositions()
    noise = np.random.default_rng(0).normal(0.0, 0.05, (40, 4, 2))
    ids, n_taken = ("1", "2", "3", "4"), 0
    for n in range(200):
        held = n - n % 5
        positions_m = 5.0 + walk(held / 20.0)[[0, 0, 0, 1]] + noise[n // 5]
        positions_m[1 : 1 if n < 30 else None] = 0.0
        now = Tracks(100 * S + n * S // 20, ids, positions_m)
        tracks, _ = reported.take(now, MAX_SPEED_M_S)
        n_taken += n >= 100 and "1" in tracks.ids
    assert reported.holds.usual_hold_s == pytest.approx(0.25)
    assert n_taken == 20


def test_gaps_and_slower_messages_are_no_repetitions() -> None:
    reported = ReportedPositions()
    noise = np.random.default_rng(0)
    time_s = 0.0
    for n in range(300):
        time_s += 0.5 if 100 <= n < 150 else 0.05
        positions_m = walk(time_s) + noise.normal(0.0, 0.03, (3, 2))
        if 200 <= n < 230:
            positions_m[:] = np.nan
        tracks, lost = reported.take(Tracks(round((100 + time_s) * S), IDS, positions_m), 10.0)
        assert tracks.ids == IDS and lost.total() == 0 and reported.holds.hold_s == 0.0


def test_a_new_id_at_a_repeated_position_is_observed_from_its_next_position() -> None:
    """As of a track that is cut while its position is held."""
    reported = ReportedPositions()
    shown(reported, lambda n: walk((n - n % 10) / 20.0), n_messages=95)
    for n in range(95, 101):
        now = Tracks(100 * S + n * S // 20, ("1", "new", "3"), walk((n - n % 10) / 20.0))
        tracks, _ = reported.take(now, MAX_SPEED_M_S)
        assert ("new" in tracks.ids) == (n == 100)
        assert "new" not in tracks.repeated_ids


@pytest.mark.parametrize(("axis", "name"), [(0, "x"), (1, "y")])
def test_a_coordinate_that_is_not_filled_in_is_known(axis: int, name: str) -> None:
    """As of a detector that only knows the distance."""
    only = np.where(np.arange(2) == axis, 1.0, 0.0)
    noise = np.random.default_rng(0)
    reported = ReportedPositions()
    shown(
        reported,
        lambda n: (walk(n / 20.0) + noise.normal(0, 0.05, (3, 2))) * only + 4.4e-16,
        n_messages=310,
    )
    assert reported.only_axis == name
    shown(reported, lambda n: walk(n / 20.0))
    assert reported.only_axis == ""


def test_two_people_may_walk_on_one_line() -> None:
    reported = ReportedPositions()
    for n in range(250):
        tracks = Tracks(n * S, IDS[:2], walk(n / 20.0)[:2] * [1.0, 0.0])
        reported.take(tracks, MAX_SPEED_M_S)
    assert reported.only_axis == ""


def steps_of(time_of: Callable[[int], float], n_messages: int = 300) -> float:
    """Ratio of the usual to the mean step of the stamps of people who walk."""
    noise = np.random.default_rng(0)
    reported = ReportedPositions()
    assert reported.holds.stamp_steps_s == (0.0, 0.0)
    for n in range(n_messages):
        seen_m = walk(n / 10.0) + noise.normal(0.0, 0.03, (3, 2))
        reported.take(Tracks(round((100.0 + time_of(n)) * S), IDS, seen_m), MAX_SPEED_M_S)
    usual_s, mean_s = reported.holds.stamp_steps_s
    return usual_s / mean_s


@pytest.mark.parametrize("rate_hz", [10, 30, 60])
def test_stamps_with_microseconds_in_nanosec_are_known(rate_hz: int) -> None:
    assert steps_of(lambda n: n // rate_hz + n % rate_hz / rate_hz / 1000.0) < 0.01


def test_bursts_that_are_stamped_on_arrival_are_known() -> None:
    assert steps_of(lambda n: n // 10 + n % 10 * 0.001) < 0.02


@pytest.mark.parametrize(
    "time_of",
    [
        lambda n: n / 10.0,
        lambda n: n / 10.0 + n // 50 * 10.0,  # silent for ten seconds after each five
        lambda n: n / 10.0 + 600.0 * (n > 280),
        lambda n: n // 2 / 10.0 + n % 2 * 0.005,  # two publishers
        lambda n: n / 10.0 + 0.03 * np.sin(7.0 * n),
    ],
    ids=["regular", "pauses", "a long pause", "pairs", "jitter"],
)
def test_pauses_and_several_publishers_are_no_wrong_stamps(
    time_of: Callable[[int], float],
) -> None:
    assert steps_of(time_of) > 0.3


def test_people_in_separate_messages_have_right_stamps() -> None:
    """Three messages a millisecond apart, ten times a second."""
    noise = np.random.default_rng(0)
    reported = ReportedPositions()
    for n in range(300):
        seen_m = walk(n / 10.0) + noise.normal(0.0, 0.03, (3, 2))
        for row in range(3):
            stamp_ns = 100 * S + n * S // 10 + row * S // 1000
            tracks = Tracks(stamp_ns, IDS[row : row + 1], seen_m[row : row + 1])
            reported.take(tracks, MAX_SPEED_M_S)
    assert reported.holds.stamp_steps_s == pytest.approx((0.1, 0.1))


def test_a_tracker_that_repeats_no_more_is_trusted_again() -> None:
    """It repeats all positions five times, and from the 200th message on none."""
    noise_m = np.random.default_rng(0).normal(0.0, 0.03, (1000, 3, 2))

    def held(n: int) -> FloatArray:
        at = n - n % 5 if n < 200 else n
        return walk(at / 10.0) + noise_m[at]

    reported = ReportedPositions()
    shown(reported, held, rate_hz=10.0, n_messages=200)
    assert reported.holds.hold_s == pytest.approx(0.5)
    reported = ReportedPositions()
    shown(reported, held, rate_hz=10.0, n_messages=1000)
    assert reported.holds.hold_s == 0.0


@pytest.mark.parametrize("n_missed", [3, 20])
def test_positions_repeated_while_people_are_missed_are_no_observations(n_missed: int) -> None:
    """Each person is missed at times, and then reported at the current position."""
    noise = np.random.default_rng(0)
    held: list[FloatArray] = [walk(0.0)]

    def position_of(n: int) -> FloatArray:
        positions_m = walk(n / 20.0) + noise.normal(0.0, 0.03, (3, 2))
        for row in range(3):
            if (n + 17 * row) % 50 < n_missed:
                positions_m[row] = held[-1][row]
        held.append(positions_m)
        return positions_m

    reported = ReportedPositions()
    taken, _ = shown(reported, position_of, n_messages=400)
    assert reported.holds.hold_s == pytest.approx((n_missed + 1) / 20.0)
    for n, tracks in enumerate(taken[200:], start=200):
        for row in range(2):  # who walks
            is_missed = (n + 17 * row) % 50 < n_missed
            assert (IDS[row] in tracks.repeated_ids) == is_missed
            assert (IDS[row] in tracks.ids) == (not is_missed)


def test_people_who_often_stand_exactly_still_are_observed_although_a_few_were_missed() -> None:
    """The first and the third one stop and go; the second one is missed three times."""

    def position_of(n: int) -> FloatArray:
        walked = n // 10 * 5 + max(n % 10 - 5, 0)
        is_missed = n // 10 in (10, 12, 14)
        rows = [walked, n // 10 * 10 if is_missed else n, walked]
        return np.array([noisy_walk(step)[row] for row, step in enumerate(rows)])

    def noisy_walk(n: int) -> FloatArray:
        noise = np.random.default_rng(n).normal(0.0, 0.02, (3, 2))
        return np.array([[0.0, 2.0], [2.0, 0.0], [4.0, 4.0]]) + 0.05 * n * np.array([1, 0]) + noise

    reported = ReportedPositions()
    _, lost = shown(reported, position_of)
    assert lost[SkipReason.REPEATED] == 0
    assert reported.holds.hold_s == 0.0


def test_missing_messages_are_no_repetitions() -> None:
    """Every fifth message is missing, so that people move for two periods."""
    noise = np.random.default_rng(0)
    reported = ReportedPositions()
    for n in filter(lambda n: n % 5, range(100)):
        positions_m = walk(0.4 * n) + noise.normal(0.0, 0.05, (3, 2))
        _, lost = reported.take(Tracks(100 * S + n * 2 * S // 5, IDS, positions_m), MAX_SPEED_M_S)
        assert lost.total() == 0
    assert reported.holds.hold_s == 0.0


@pytest.mark.parametrize("place", [(0.0, 0.0), (-1.0, -1.0), (999.0, 999.0)])
def test_a_position_to_which_tracks_jump_and_back_is_a_placeholder(
    place: tuple[float, float],
) -> None:
    noise = np.random.default_rng(0)

    def position_of(n: int) -> FloatArray:
        positions_m = walk(n / 20.0) + noise.normal(0.0, 0.05, (3, 2))
        if n % 40 >= 35:
            positions_m[n // 40 % 2] = place
        return positions_m

    reported = ReportedPositions()
    taken, lost = shown(reported, position_of)
    # Zeros are a placeholder at once, other positions from the third time on.
    n_jumps = 5 if place == (0.0, 0.0) else 3
    assert lost[SkipReason.UNSET_POSITION] >= 5 * (n_jumps - 1)
    assert lost[SkipReason.REPEATED] == 0
    for n, tracks in enumerate(taken):
        if n > 120 and n % 40 >= 35:
            away = IDS[n // 40 % 2]
            assert set(tracks.ids) == set(IDS) - {away} and not tracks.repeated_ids
    assert reported.placeholders.newest_m == (*place, 0.0)


def test_a_person_listed_twice_is_used_once() -> None:
    """For example in two classes. The same id is kept for any order of entries."""
    noise = np.random.default_rng(0)
    reported, seen = ReportedPositions(), []
    for n in range(100):
        positions_m = walk(n / 10.0) + noise.normal(0.0, 0.05, (3, 2))
        entries = [("1", 0), ("2", 1), ("b2", 1), ("3", 2)][:: 1 if n % 3 else -1]
        if n >= 80:
            entries.remove(("2", 1))
        ids, rows = zip(*entries, strict=True)
        now = Tracks(100 * S + n * S // 10, ids, positions_m[list(rows)])
        tracks, lost = reported.take(now, MAX_SPEED_M_S)
        if n >= 10:  # it is known that positions are on no grid
            assert lost[SkipReason.DUPLICATE_POSITION] == (n < 80)
            assert {"1", "3"} < set(tracks.ids)
            seen += {"2", "b2"} & set(tracks.ids)
    assert seen == seen[:1] * 70 + ["b2"] * 20


def test_people_who_walk_through_the_origin_or_stand_there_are_used() -> None:
    taken, lost = shown(ReportedPositions(), lambda n: walk(5.0 / 1.2 + (n - 100) / 20.0))
    assert any((tracks.positions_m == 0.0).all(axis=1).any() for tracks in taken)
    assert lost.total() == 0
    reported = ReportedPositions()
    for n in range(200):
        tracks, lost = reported.take(Tracks(100 * S + n, IDS[:1], np.zeros((1, 2))), MAX_SPEED_M_S)
        assert tracks.ids == IDS[:1] and lost.total() == 0


def test_a_field_that_is_never_filled_in_is_a_placeholder_from_the_first_message_on() -> None:
    stamps_ns, reported = iter(range(100 * S, 200 * S, S)), ReportedPositions()
    for _ in range(3):
        tracks, lost = reported.take(Tracks(next(stamps_ns), IDS, np.zeros((3, 2))), MAX_SPEED_M_S)
        assert tracks.ids == () and lost[SkipReason.UNSET_POSITION] == 3


def test_entries_that_are_always_zeros_are_placeholders_beside_others() -> None:
    """Such as arrows of velocities among the markers of people: their points are set, no pose."""
    reported, noise = ReportedPositions(), np.random.default_rng(0)
    for n in range(40):
        people_m = walk(n / 10.0) + noise.normal(0.0, 0.05, (3, 2))
        ids = (*IDS, *(f"arrow/{agent_id}" for agent_id in IDS))
        now = Tracks(100 * S + n * S // 10, ids, np.concatenate([people_m, np.zeros((3, 2))]))
        tracks, lost = reported.take(now, MAX_SPEED_M_S)
        if n >= 10:  # it is known that positions are on no grid
            assert tracks.ids == IDS
            assert lost[SkipReason.UNSET_POSITION] == lost.total() == 3


@pytest.mark.parametrize("n_unset", [1, 3])
def test_zeros_at_the_begin_of_tracks_near_the_origin_are_placeholders(n_unset: int) -> None:
    """Such tracks do not jump, as people near the robot are within reach of the origin."""
    reported = ReportedPositions()
    noise = np.random.default_rng(0)
    for n in range(60):
        ids = [f"{n // 10}-{row}" for row in range(3)]
        positions_m = 0.2 * walk(n % 10) + noise.normal(0.0, 0.05, (3, 2))
        positions_m[: 0 if n % 10 else n_unset] = 0.0
        now = Tracks(100 * S + n * 2 * S // 5, tuple(ids), positions_m)
        _, lost = reported.take(now, MAX_SPEED_M_S)
        if n >= (0 if n_unset > 1 else 20):  # until then one person may walk through the origin
            assert lost[SkipReason.UNSET_POSITION] == (0 if n % 10 else n_unset)
    assert reported.placeholders.newest_m == (0.0, 0.0, 0.0)


def test_two_people_under_one_id_are_no_placeholders() -> None:
    """They stand exactly still, and the tracker reports them in turn."""
    places_m = np.array([[2.0, 1.0], [9.0, 3.0]])

    def position_of(n: int) -> FloatArray:
        positions_m = walk(n / 20.0)
        positions_m[0] = places_m[n % 2]
        return positions_m

    _, lost = shown(ReportedPositions(), position_of)
    assert lost.total() == 0


def freezing(n: int) -> FloatArray:
    """The first person is no longer seen after three seconds."""
    noise = np.random.default_rng(n).normal(0.0, 0.03, (3, 2))
    positions_m: FloatArray = walk(n / 20.0) + noise
    if n > 60:
        positions_m[0] = freezing(60)[0]
    return positions_m


def test_a_constant_track_among_noisy_ones_is_frozen() -> None:
    reported = ReportedPositions()
    shown(reported, freezing)
    assert reported.stopped(3.0) == ("1",)
    assert reported.stopped(8.0) == ()


def test_if_people_stand_exactly_still_and_move_again_no_track_is_frozen() -> None:
    def position_of(n: int) -> FloatArray:
        positions_m = freezing(n)
        # The second person stops for two seconds repeatedly.
        walked = n // 80 * 40 + max(n % 80 - 40, 0)
        positions_m[1] = freezing(walked)[1]
        return positions_m

    reported = ReportedPositions()
    shown(reported, position_of)
    assert reported.stopped(3.0) == ()


def test_a_track_that_never_moved_is_not_frozen() -> None:
    """A pillar that the tracker reports as a person."""
    pillar_m = np.array([4.0, 4.0])
    reported = ReportedPositions()
    shown(reported, lambda n: np.vstack([freezing(0)[:1] * 0 + pillar_m, freezing(n)[1:]]))
    assert reported.stopped(3.0) == ()


def test_late_and_repeated_messages_are_left_to_the_history() -> None:
    reported = ReportedPositions()
    shown(reported, lambda n: walk((n - n % 10) / 20.0))
    late = Tracks(105 * S, IDS, walk(5.0))
    taken, lost = reported.take(late, MAX_SPEED_M_S)
    assert taken is late and lost.total() == 0


def test_repeated_ids_and_positions_that_are_not_finite_do_no_harm() -> None:
    reported = ReportedPositions()
    ids = ("1", "1", "2")
    for n in range(50):
        positions_m = walk(n / 10.0)
        positions_m[2] = (np.nan, 1e308, -1e308)[n % 3] if n % 4 else positions_m[2]
        tracks, lost = reported.take(Tracks(100 * S + n * S // 10, ids, positions_m), MAX_SPEED_M_S)
        assert tracks.ids == ids and lost.total() == 0


def test_people_who_stand_are_no_placeholders_if_ids_are_indices_in_a_list() -> None:
    """People are sorted by distance, so that ids jump to and from exactly the same positions."""
    generator = np.random.default_rng(0)
    first_m = generator.uniform(-10.0, 10.0, (12, 2))
    velocities = generator.normal(0.0, 1.0, (12, 2)) * (np.arange(12) >= 5)[:, None]
    reported, total = ReportedPositions(), Counter[SkipReason]()
    for n in range(300):
        positions_m = first_m + velocities * (n / 10.0 % 8.0)
        positions_m = positions_m[generator.random(12) > 0.02]  # not all are seen
        ways_m = np.hypot(*(positions_m - [n / 20.0 - 5.0, 0.0]).T)
        ids = tuple(map(str, range(len(positions_m))))
        tracks = Tracks(100 * S + n * S // 10, ids, positions_m[np.argsort(ways_m)])
        total.update(reported.take(tracks, MAX_SPEED_M_S)[1])
    assert total[SkipReason.UNSET_POSITION] == 0
