"""Published predictions are compared with the ground truth where it is known."""

from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.evaluation.published import PublishedPrediction, score_published, summarise
from social_implicit_ros.types import FloatArray, Tracks

S = 1_000_000_000
VELOCITY_M_S = np.array([1.0, -0.5])
STEPS_S = np.array([0.4, 0.8, 1.2])


def walk(*times_s: float, agent: str = "7") -> list[Tracks]:
    """A person who walks straight and is observed at these times."""
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
    """The straight walk, shifted by `offset_m` at every step, with circular regions."""
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


def test_past_and_ground_truth_are_interpolated_and_nan_in_gaps() -> None:
    times_s = [t for t in every(0.25, 5.0) if not 3.1 < t < 3.9]
    (scored,) = score_published([predict(2.6, 7)], walk(*times_s))
    expected = np.outer(2.6 + STEPS_S, VELOCITY_M_S)
    np.testing.assert_allclose(scored.ground_truth_m[0, 0], expected[0])
    assert np.isnan(scored.ground_truth_m[0, 1]).all()
    assert np.isnan(scored.ground_truth_m[0, 2]).all()
    np.testing.assert_allclose(scored.present_m, [2.6 * VELOCITY_M_S])
    past_s = 2.6 + np.linspace(-3.2, 0.0, 33)
    seen = past_s >= -1e-9
    np.testing.assert_allclose(scored.past_m[0, seen], np.outer(past_s[seen], VELOCITY_M_S))
    assert np.isnan(scored.past_m[0, ~seen]).all()


def test_the_ground_truth_of_people_who_leave_ends_with_their_last_observation() -> None:
    recording = [*walk(*every(0.1, 2.0)), *walk(*every(0.1, 9.0)[21:], agent="8")]
    (scored,) = score_published([predict(1.0, 7)], recording)
    known = np.isfinite(scored.ground_truth_m[0]).all(axis=1)
    assert known.tolist() == [True, True, False]


def test_ids_that_are_not_numbers_are_found_by_their_agent_number() -> None:
    recording = walk(*every(0.1, 5.0), agent="people/7")
    found, missing = score_published([predict(1.0, 2244062441), predict(1.1, 7)], recording)
    assert np.isfinite(found.ground_truth_m).all()
    assert np.isnan(missing.ground_truth_m).all()


def test_all_predictions_are_returned_in_order_also_those_after_the_recording() -> None:
    predictions = [predict(stamp_s, 7) for stamp_s in (0.5, 1.0, 9.0)]
    scored = score_published(predictions, walk(*every(0.1, 5.0)))
    assert [entry.prediction for entry in scored] == predictions
    assert np.isnan(scored[-1].ground_truth_m).all()


def test_errors_are_the_distances_in_metres() -> None:
    recording = walk(*every(0.1, 5.0))
    predictions = [predict(1.0, 7, offset_m=(0.3, 0.4)), predict(2.0, 7)]
    summary = summarise(score_published(predictions, recording))
    assert (summary.n_agents, summary.n_predictions, summary.n_scored) == (1, 2, 2)
    assert summary.ade_m == pytest.approx(0.25)
    assert summary.fde_m == pytest.approx(0.25)
    assert summary.horizon_s == pytest.approx(1.2)


@pytest.mark.parametrize(("distance_m", "inside"), [(2.44, 1.0), (2.45, 0.0)])
def test_the_95_percent_ellipse_ends_at_2_447_sigmas(distance_m: float, inside: float) -> None:
    recording = walk(*every(0.1, 5.0))
    summary = summarise(score_published([predict(1.0, 7, offset_m=(0.0, distance_m))], recording))
    assert summary.inside == inside


def test_trajectories_without_complete_ground_truth_do_not_count() -> None:
    recording = walk(*every(0.1, 2.0))
    predictions = [
        predict(0.5, 7),  # until 1.7 s: known
        predict(0.9, 7, offset_m=(9.0, 9.0)),  # until 2.1 s: beyond the last observation
        predict(0.5, 8, offset_m=(9.0, 9.0)),  # agent 8 is not in the recording
    ]
    summary = summarise(score_published(predictions, recording))
    assert (summary.n_agents, summary.n_predictions, summary.n_scored) == (2, 3, 1)
    assert summary.ade_m == pytest.approx(0.0, abs=1e-9)


def test_metrics_are_nan_if_nothing_is_scored() -> None:
    for predictions in ([], [predict(1.0)], [predict(1.0, 8)]):
        summary = summarise(score_published(predictions, walk(0.0, 0.4)))
        assert summary.n_scored == 0
        assert np.isnan([summary.ade_m, summary.fde_m, summary.inside]).all()
