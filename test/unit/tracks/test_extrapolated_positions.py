"""Positions that a tracker extrapolates are skipped; exact lines of real motion are not."""

from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.tracks.reported.extrapolated_positions import ExtrapolatedPositions
from social_implicit_ros.types import BoolArray, FloatArray, SkipReason, Tracks

S = 1_000_000_000
IDS = ("a", "b", "c", "d")
NOISE_M = 0.03


def walked(n_messages: int, noise_m: float = NOISE_M, period_s: float = 0.1) -> FloatArray:
    """(N, 4, 2) measured positions of people who walk and turn."""
    draws = np.random.default_rng(1)
    headings = draws.uniform(0.0, 6.0, 4) + np.cumsum(draws.normal(0.0, 0.1, (n_messages, 4)), 0)
    steps_m = 1.2 * period_s * np.stack([np.cos(headings), np.sin(headings)], axis=-1)
    places_m = 20.0 * np.eye(4)[:, :2] + np.cumsum(steps_m, axis=0)
    return places_m + draws.normal(0.0, noise_m, places_m.shape)


def with_lines(positions_m: FloatArray, lines: dict[int, range]) -> FloatArray:
    """The same, but some people continue at their last velocity in some messages."""
    positions_m = positions_m.copy()
    for row, numbers in lines.items():
        step_m = (positions_m[numbers[0] - 1, row] - positions_m[numbers[0] - 5, row]) / 4.0
        for n in numbers:
            positions_m[n, row] = positions_m[n - 1, row] + step_m
    return positions_m


def found_in(positions_m: FloatArray, noise_m: float = NOISE_M, jitter_s: float = 0.0) -> BoolArray:
    """(N, 4) whether entries are found to be extrapolated."""
    extrapolated, draws = ExtrapolatedPositions(), np.random.default_rng(2)
    return np.array(
        [
            extrapolated.find(
                Tracks(100 * S + round((0.1 * n + draws.uniform(0.0, jitter_s)) * S), IDS, now_m),
                noise_m,
            )
            for n, now_m in enumerate(positions_m)
        ]
    )


@pytest.mark.parametrize(
    ("noise_m", "offset_m", "expected_m"),
    [(0.03, 0.6, 0.6), (0.03, 3.0, 3.0), (0.03, 0.0, 0.0), (0.3, 0.0, 0.0), (1.0, 0.0, 0.0)],
)
def test_people_whom_two_nodes_report_jump_to_and_fro(
    noise_m: float, offset_m: float, expected_m: float
) -> None:
    """The second node reports the same ids 5 ms later."""
    extrapolated = ExtrapolatedPositions()
    positions_m = np.repeat(walked(150, noise_m), 2, axis=0)
    positions_m += np.random.default_rng(3).normal(0.0, noise_m, positions_m.shape)
    for n, now_m in enumerate(positions_m):
        stamp_ns = 100 * S + n // 2 * S // 10 + n % 2 * S // 200
        seen_m = now_m + np.array([n % 2 * offset_m, 0.0])
        extrapolated.find(Tracks(stamp_ns, IDS, seen_m), noise_m)
    assert extrapolated.to_and_fro.distance_m == pytest.approx(expected_m, rel=0.1)
    for n, now_m in enumerate(0.3 * walked(100)):  # one node again, and slow people
        extrapolated.find(Tracks(200 * S + n * S // 10, IDS, now_m), NOISE_M)
    assert extrapolated.to_and_fro.distance_m == 0.0


def test_people_who_dance_turn_round_more_slowly() -> None:
    """A step to one side and back each second, seen at 2 Hz at both ends."""
    extrapolated = ExtrapolatedPositions()
    at_m = np.stack([np.arange(20.0), np.zeros(20)], axis=1)
    for n in range(40):
        seen_m = at_m + np.array([0.0, 0.25 * (-1) ** n])
        dancers = tuple(map(str, range(20)))
        extrapolated.find(Tracks(100 * S + n * S // 2, dancers, seen_m), NOISE_M)
    assert extrapolated.to_and_fro.distance_m == 0.0


LINES = {0: range(50, 65), 1: range(80, 90)}


@pytest.mark.parametrize("jitter_s", [0.0, 0.03])
@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_exact_lines_among_noise_are_extrapolated(kind: type, jitter_s: float) -> None:
    positions_m = with_lines(walked(120), LINES).astype(kind).astype(np.float64)
    found = found_in(positions_m, jitter_s=jitter_s)
    expected = np.zeros((120, 4), dtype=bool)
    expected[52:65, 0] = True  # after two steps that equal the one before
    expected[81:90, 1] = True  # after one step, as the tracker often extrapolates by now
    np.testing.assert_array_equal(found, expected)


def test_without_noise_nothing_is_extrapolated() -> None:
    """As of a simulator."""
    assert not found_in(with_lines(walked(120), LINES), noise_m=0.001).any()


def test_people_who_turn_and_then_walk_in_lines_are_observed() -> None:
    """As in simulators, and between the key frames of annotators."""
    corners_m = walked(30, 0.1)
    share = (np.arange(200) % 8 / 8.0)[:, None, None]
    at = np.arange(200) // 8
    positions_m = corners_m[at] + share * (corners_m[at + 1] - corners_m[at])
    for noise_m in (0.01, 0.05):
        assert not found_in(positions_m, noise_m).any()


def test_positions_in_centimetres_are_observed() -> None:
    found = found_in(np.round(walked(400), 2))
    assert found.mean() < 0.001


@pytest.mark.parametrize("cell_m", [0.05, 0.1])
def test_positions_on_a_grid_are_observed(cell_m: float) -> None:
    """Steps on a grid repeat by chance."""
    assert not found_in(np.round(walked(400, noise_m=0.01) / cell_m) * cell_m).any()


def test_people_who_settle_on_a_line_are_observed() -> None:
    """As in a social-force simulator."""
    wanted = np.random.default_rng(0).normal(0.0, 1.2, (20, 4, 2))
    velocity, place_m, places_m = np.zeros((4, 2)), 20.0 * np.eye(4)[:, :2], []
    for n in range(600):
        velocity = velocity + 0.3 * (wanted[n // 30] - velocity)
        place_m = place_m + 0.1 * velocity
        places_m.append(place_m)
    assert not found_in(np.array(places_m), 0.01).any()


def test_a_person_extrapolated_by_the_tracker_coasts_and_vanishes() -> None:
    predictor = Predictor(ConstantVelocity(), PredictorConfig(), TransformBuffer())
    positions_m = with_lines(walked(80), {0: range(50, 80)})
    lost = 0
    for n, now_m in enumerate(positions_m):
        stamp_ns = 100 * S + n * S // 10
        update = predictor.add_tracks(Tracks(stamp_ns, IDS, now_m), "odom", stamp_ns)
        lost += update.skipped[SkipReason.EXTRAPOLATED]
        forecast = predictor.tick(stamp_ns)
        if n == 55:
            assert set(forecast.ids) == set(IDS)
    assert lost == 28
    assert set(forecast.ids) == set(IDS[1:])
