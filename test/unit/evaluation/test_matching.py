"""Predictions are compared with the truth at their moments, and only where it is known."""

from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.evaluation.matching import Truth, summarise
from social_implicit_ros.evaluation.published import PublishedPrediction
from social_implicit_ros.types import FloatArray, Tracks

S = 1_000_000_000
VELOCITY_M_S = np.array([1.0, -0.5])
STEPS_S = np.array([0.4, 0.8, 1.2])


def walk(*times_s: float, agent: str = "7") -> list[Tracks]:
    """Somebody who walks straight and is seen at some moments."""
    return [
        Tracks(round(time_s * S), (agent,), (VELOCITY_M_S * time_s)[None]) for time_s in times_s
    ]


def every(period_s: float, until_s: float) -> list[float]:
    return [index * period_s for index in range(round(until_s / period_s) + 1)]


def predict(
    stamp_s: float,
    *agents: int,
    offset_m: tuple[float, float] = (0.0, 0.0),
    sigma_m: float = 1.0,
) -> PublishedPrediction:
    """The straight walk, moved by `offset_m` at every step, round ellipses."""
    path: FloatArray = VELOCITY_M_S * (stamp_s + STEPS_S)[:, None] + np.array(offset_m)
    n_agents = len(agents)
    return PublishedPrediction(
        stamp_ns=round(stamp_s * S),
        agents=np.array(agents, dtype=np.int64),
        times_s=STEPS_S,
        mean=np.broadcast_to(path, (n_agents, 3, 2)),
        covariance=np.broadcast_to(sigma_m**2 * np.eye(2), (n_agents, 3, 2, 2)),
        n_observed=np.full(n_agents, 8),
    )


def at(truth: Truth, *times_s: float, agent: int = 7) -> FloatArray:
    stamps_ns = np.array([round(time_s * S) for time_s in times_s])
    return truth.positions_m(np.array([agent]), stamps_ns)[0]


def test_between_observations_the_truth_is_interpolated() -> None:
    truth = Truth(walk(0.0, 0.1, 0.5))
    np.testing.assert_allclose(
        at(truth, 0.0, 0.07, 0.3, 0.5), np.outer([0.0, 0.07, 0.3, 0.5], VELOCITY_M_S)
    )


def test_before_after_and_in_long_gaps_nobody_knows() -> None:
    truth = Truth(walk(1.0, 1.4, 2.0), max_gap_s=0.5)
    known = np.isfinite(at(truth, 0.999, 1.0, 1.2, 1.4, 1.41, 1.99, 2.0, 2.001)).all(axis=1)
    assert known.tolist() == [False, True, True, True, False, False, True, False]


def test_nanoseconds_of_real_stamps_are_kept() -> None:
    now_s = 1_700_000_000
    tracks = [Tracks(now_s * S + shift, ("7",), np.array([[shift, 0.0]])) for shift in (0, 1000)]
    stamps_ns = np.array([now_s * S + 1, now_s * S + 999])
    positions = Truth(tracks).positions_m(np.array([7]), stamps_ns)
    np.testing.assert_allclose(positions[0, :, 0], [1.0, 999.0])


def test_what_is_not_finite_or_said_twice_is_passed_over() -> None:
    lost = Tracks(S // 5, ("7",), np.array([[np.nan, 0.0]]))
    again = Tracks(0, ("7",), np.array([[99.0, 99.0]]))
    truth = Truth([*walk(0.0, 0.4), lost, again])
    np.testing.assert_allclose(at(truth, 0.0, 0.2), np.outer([0.0, 0.2], VELOCITY_M_S))


def test_ids_that_are_no_numbers_are_found_under_their_number() -> None:
    truth = Truth(walk(0.0, 0.4, agent="people/7"))
    assert np.isfinite(at(truth, 0.1, agent=2244062441)).all()
    assert np.isnan(at(truth, 0.1, agent=7)).all()


def test_errors_are_the_distances_in_metres() -> None:
    truth = Truth(walk(*every(0.1, 5.0)))
    predictions = [predict(1.0, 7, offset_m=(0.3, 0.4)), predict(2.0, 7)]
    summary = summarise(predictions, truth)
    assert (summary.n_agents, summary.n_predictions, summary.n_matched) == (1, 2, 2)
    assert summary.ade_m == pytest.approx(0.25)
    assert summary.fde_m == pytest.approx(0.25)
    assert summary.horizon_s == pytest.approx(1.2)


@pytest.mark.parametrize(("distance_m", "inside"), [(2.44, 1.0), (2.45, 0.0)])
def test_the_95_percent_ellipse_ends_at_2_447_sigmas(distance_m: float, inside: float) -> None:
    truth = Truth(walk(*every(0.1, 5.0)))
    summary = summarise([predict(1.0, 7, offset_m=(0.0, distance_m))], truth)
    assert summary.inside == inside


def test_futures_without_a_whole_truth_do_not_count() -> None:
    truth = Truth(walk(*every(0.1, 2.0)))
    predictions = [
        predict(0.5, 7),  # until 1.7 s: known
        predict(0.9, 7, offset_m=(9.0, 9.0)),  # until 2.1 s: beyond the last observation
        predict(0.5, 8, offset_m=(9.0, 9.0)),  # nobody saw agent 8
    ]
    summary = summarise(predictions, truth)
    assert (summary.n_agents, summary.n_predictions, summary.n_matched) == (2, 3, 1)
    assert summary.ade_m == pytest.approx(0.0, abs=1e-9)


def test_without_any_match_the_figures_are_nan() -> None:
    for predictions in ([], [predict(1.0)], [predict(1.0, 8)]):
        summary = summarise(predictions, Truth(walk(0.0, 0.4)))
        assert summary.n_matched == 0
        assert np.isnan([summary.ade_m, summary.fde_m, summary.inside]).all()
