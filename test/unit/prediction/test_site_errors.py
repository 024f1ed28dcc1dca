"""Mean trajectories are corrected by errors of earlier predictions with similar motion nearby."""

from __future__ import annotations

import numpy as np
import pytest

from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.prediction.pipeline import Tick
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.prediction.site_errors import SiteErrors
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.types import FloatArray, Prediction, Tracks
from social_implicit_ros.uncertainty.adaptive import AdaptiveCalibration

S = 1_000_000_000
N_STEPS = 12
SPEED_M_S = 1.2
#: Time between two people who enter, seconds.
PAUSE_S = 4.0


def corner(way_m: float) -> list[float]:
    """Position after a walked distance; everybody turns left at (5, 0)."""
    return [min(way_m, 5.0), max(way_m - 5.0, 0.0)]


def walked(n_people: int, *, adapts: bool = True) -> tuple[Predictor, Tick]:
    """People walk round a corner, one after the other; the last one is 2 m before it."""
    model = ConstantVelocity()
    adaptive = AdaptiveCalibration(model.n_predicted) if adapts else None
    predictor = Predictor(model, PredictorConfig(), TransformBuffer(), adaptive=adaptive)
    last_s = 100.0 + (n_people - 1) * PAUSE_S + 3.0 / SPEED_M_S
    for stamp_ns in range(100 * S, round(last_s * S) + 1, S // 10):
        ways_m = SPEED_M_S * (stamp_ns / S - 100.0 - PAUSE_S * np.arange(n_people))
        here = np.flatnonzero((ways_m >= 0.0) & (ways_m < 14.0))
        places_m = np.array([corner(way_m) for way_m in ways_m[here]])
        tracks = Tracks(stamp_ns, tuple(f"{n:03}" for n in here), places_m)
        predictor.add_tracks(tracks, "odom", stamp_ns)
        if stamp_ns % (S // 5) == 0:
            predictor.tick(stamp_ns)
            predictor.evaluate()
    assert predictor.last_tick is not None
    return predictor, predictor.last_tick


def end_error_m(tick: Tick) -> float:
    """Error of the end point of the last person who entered."""
    row = int(np.argmax(tick.window.ids))
    end_m = corner(3.0 + SPEED_M_S * 4.8)
    return float(np.hypot(*(tick.prediction.mean[row, -1] - end_m)))


@pytest.mark.slow
def test_people_are_predicted_round_a_corner_where_others_turned_until_a_reset() -> None:
    first_m = end_error_m(walked(1)[1])
    predictor, tick = walked(20)
    assert first_m > 3.0
    assert end_error_m(tick) < 0.3 * first_m

    predictor.reset()
    stamps_ns = range(500 * S, 502 * S, S // 10)
    for stamp_ns in stamps_ns:
        place_m = [[SPEED_M_S * (stamp_ns / S - 500.0), 0.0]]
        predictor.add_tracks(Tracks(stamp_ns, ("x",), np.array(place_m)), "odom", stamp_ns)
    tick = predictor.last_tick = predictor.pipeline.tick(stamps_ns[-1])
    assert tick.uncorrected is not None
    np.testing.assert_array_equal(tick.prediction.mean, tick.uncorrected.mean_m)


@pytest.mark.slow
def test_without_adaptive_calibration_predictions_are_not_corrected() -> None:
    tick = walked(10, adapts=False)[1]
    assert tick.uncorrected is None
    assert end_error_m(tick) > 3.0


def prediction_of(places_m: FloatArray, velocities_m_s: FloatArray) -> Prediction:
    times_s = 0.4 * np.arange(1, N_STEPS + 1)
    mean_m = places_m[:, None] + velocities_m_s[:, None] * times_s[:, None]
    shape = (len(places_m), N_STEPS, 2, 2)
    return Prediction(
        samples=np.stack([mean_m - 0.5, mean_m + 0.5]),
        probabilities=np.full((2, len(places_m)), 0.5),
        mean=mean_m,
        covariance=np.broadcast_to(np.eye(2), shape),
        step_s=0.4,
    )


@pytest.mark.parametrize(
    ("learnt_m_s", "place_m", "velocity_m_s", "is_corrected"),
    [
        (1.2, (0.5, 0.0), (1.2, 0.1), True),
        (1.2, (9.0, 0.0), (1.2, 0.0), False),
        (1.2, (0.5, 0.0), (-1.2, 0.0), False),
        (0.5, (0.0, 0.0), (0.39, 0.0), False),
    ],
    ids=["alike", "elsewhere", "backwards", "stands"],
)
def test_only_people_with_similar_position_and_velocity_are_corrected(
    learnt_m_s, place_m, velocity_m_s, is_corrected
) -> None:
    errors = SiteErrors()
    place, velocity = np.array([[0.0, 0.0]]), np.array([[learnt_m_s, 0.0]])
    for n in range(200):
        made = prediction_of(place, velocity)
        _, before = errors.correct(made, place)
        ground_truth_m = made.mean + np.array([0.0, 1.0])
        # The tracks of half of them end early.
        ground_truth_m[:, 6 + 6 * (n // 2 % 2) :] = np.nan
        errors.learn(before, ground_truth_m)

    made = prediction_of(np.array([place_m]), np.array([velocity_m_s]))
    found, _ = errors.correct(made, np.array([place_m]))
    north_m = (found.mean - made.mean)[0, :, 1]
    np.testing.assert_allclose(found.samples.mean(axis=0), found.mean, atol=1e-9)
    assert (north_m > 0.7).all() if is_corrected else (np.abs(north_m) < 0.05).all()


def test_random_errors_lead_to_no_correction() -> None:
    errors, rng = SiteErrors(), np.random.default_rng(0)
    place, velocity = np.array([[0.0, 0.0]]), np.array([[1.2, 0.0]])
    for _ in range(300):
        made = prediction_of(place, velocity)
        _, before = errors.correct(made, place)
        errors.learn(before, made.mean + rng.normal(size=2))
    found, _ = errors.correct(made, place)
    np.testing.assert_allclose(found.mean, made.mean, atol=0.1)


def learn(errors: SiteErrors, place_m: tuple[float, float], error_m: float, n_ticks: int) -> None:
    """Learns from people who walk east at a place and end north of their predictions."""
    place, velocity = np.array([place_m]), np.array([[1.2, 0.0]])
    for _ in range(n_ticks):
        made = prediction_of(place, velocity)
        _, before = errors.correct(made, place)
        errors.learn(before, made.mean + np.array([0.0, error_m]))


def correction_m(errors: SiteErrors, place_m: tuple[float, float]) -> float:
    """Correction to the north of the end point of a person who walks east, metres."""
    place = np.array([place_m])
    made = prediction_of(place, np.array([[1.2, 0.0]]))
    return float((errors.correct(made, place)[0].mean - made.mean)[0, -1, 1])


@pytest.mark.slow
def test_rare_places_are_remembered_when_many_walk_elsewhere() -> None:
    errors = SiteErrors()
    learn(errors, (0.0, 0.0), 1.0, 50)
    learn(errors, (20.0, 0.0), 0.5, 3000)
    assert correction_m(errors, (0.0, 0.0)) > 0.7


def test_a_place_where_people_change_their_behaviour_is_learned_again() -> None:
    errors = SiteErrors()
    learn(errors, (0.0, 0.0), 1.0, 1000)
    learn(errors, (0.0, 0.0), -1.0, 200)
    assert correction_m(errors, (0.0, 0.0)) < -0.5
