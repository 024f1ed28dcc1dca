"""A jump that all people share is a correction of the localisation, and not motion."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest

from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.frames.transform_buffer import TransformBuffer
from social_implicit_ros.types import Tracks

S = 1_000_000_000
#: Five people around the origin, who walk in all directions; one stands.
PLACES_M = np.array([[4.0, 0.0], [0.0, 3.0], [-5.0, 1.0], [1.0, -4.0], [2.0, 2.0]])
VELOCITIES_M_S = np.array([[0.0, 1.2], [1.0, 0.3], [0.8, -0.8], [-1.3, 0.1], [0.0, 0.0]])
NORTH_M = np.array([0.0, 1.0])

Places = Callable[[float], np.ndarray]


def walking(time_s: float) -> np.ndarray:
    return PLACES_M + VELOCITIES_M_S * time_s


def rotation(turn_rad: float) -> np.ndarray:
    return np.array([[np.cos(turn_rad), -np.sin(turn_rad)], [np.sin(turn_rad), np.cos(turn_rad)]])


def predictor() -> Predictor:
    config = PredictorConfig(tick_rate_hz=0.0, fixed_frame="map")
    return Predictor(ConstantVelocity(), config, TransformBuffer())


def tell(target: Predictor, places: Places, times_s: Iterable[float]) -> list[str]:
    """Adds positions of people to a predictor; returns the log texts on corrections."""
    texts = []
    for time_s in times_s:
        places_m = places(time_s)
        ids = tuple(f"p{n}" for n in range(len(places_m)))
        stamp_ns = round(time_s * S)
        texts += target.add_tracks(Tracks(stamp_ns, ids, places_m), "map", stamp_ns).corrections
    return texts


def every(period_s: float, start_s: float, end_s: float) -> np.ndarray:
    return np.arange(round((end_s - start_s) / period_s)) * period_s + start_s


@pytest.mark.parametrize("period_s", [0.04, 0.1])
@pytest.mark.parametrize(("shift_m", "turn_rad"), [((0.3, 0.4), 0.0), ((1.0, -3.0), 0.15)])
def test_predictions_stay_straight_in_the_corrected_frame(period_s, shift_m, turn_rad) -> None:
    def corrected(time_s: float) -> np.ndarray:
        return walking(time_s) @ rotation(turn_rad).T + shift_m

    target = predictor()
    assert tell(target, walking, every(period_s, 1.0, 6.0)) == []
    (text,) = tell(target, corrected, every(period_s, 6.0, 6.0 + 1.5 * period_s))

    assert text.startswith("5 people moved by the same")
    assert target.counters()["frame_corrections"] == 1
    forecast, _ = target.published(target.tick(target.newest_ns))
    assert forecast.frame_id == "map"
    expected_m = corrected(target.newest_ns / S + 4.8)
    # The jump is found to a millimetre, as velocities are estimated.
    np.testing.assert_allclose(forecast.prediction.mean[:, -1], expected_m, atol=0.05)
    np.testing.assert_allclose(forecast.present_m, corrected(target.newest_ns / S), atol=1e-3)


def test_several_jumps_are_removed_one_after_the_other() -> None:
    target = predictor()
    for n in range(4):
        tell(
            target,
            lambda t, n=n: walking(t) + np.array([n, 0.5 * n]),
            every(0.1, 1.0 + 5 * n, 6.0 + 5 * n),
        )

    assert target.counters()["frame_corrections"] == 3
    forecast, _ = target.published(target.tick(target.newest_ns))
    expected_m = walking(target.newest_ns / S + 4.8) + np.array([3.0, 1.5])
    np.testing.assert_allclose(forecast.prediction.mean[:, -1], expected_m, atol=0.05)


def test_a_late_message_from_before_the_jump_is_not_shifted() -> None:
    target = predictor()
    tell(target, walking, every(0.1, 1.0, 5.0))
    tell(target, lambda t: walking(t) + NORTH_M, [5.1])
    tell(target, walking, [5.0])

    assert target.counters()["frame_corrections"] == 1
    tell(target, lambda t: walking(t) + NORTH_M, [5.2])
    forecast, _ = target.published(target.tick(target.newest_ns))
    expected_m = walking(10.0) + NORTH_M
    np.testing.assert_allclose(forecast.prediction.mean[:, -1], expected_m, atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("period_s", [0.04, 0.1, 0.2, 0.4, 0.5])
@pytest.mark.parametrize("speed_m_s", [1.5, -1.5, 2.0])
def test_people_who_start_and_stop_together_are_not_a_correction(
    period_s: float, speed_m_s: float
) -> None:
    """Within half a second, which is as fast as people can."""

    def places(time_s: float) -> np.ndarray:
        moving_s = np.clip(time_s - 5.0, 0.0, 4.0)
        way_m = speed_m_s * (moving_s - 0.25) if moving_s > 0.5 else speed_m_s * moving_s**2
        return PLACES_M + np.array([way_m, 0.0])

    target = predictor()
    assert tell(target, places, every(period_s, 1.0, 14.0)) == []


def test_a_jump_of_some_people_is_not_a_correction() -> None:
    def some(time_s: float) -> np.ndarray:
        return walking(time_s) + np.array([[1.0, 0.0]] * 3 + [[0.0, 0.0]] * 2) * (time_s > 5.0)

    assert tell(predictor(), some, every(0.1, 1.0, 7.0)) == []


def test_swapped_ids_are_not_a_correction() -> None:
    def swapped(time_s: float) -> np.ndarray:
        order = [1, 0, 3, 2, 4] if time_s > 5.0 else [0, 1, 2, 3, 4]
        return walking(time_s)[order]

    assert tell(predictor(), swapped, every(0.1, 1.0, 7.0)) == []


def test_a_jump_of_a_single_person_is_not_a_correction() -> None:
    assert tell(predictor(), lambda t: walking(t)[:1] + (t > 5.0), every(0.1, 1.0, 7.0)) == []


@pytest.mark.slow
@pytest.mark.parametrize(("n_people", "noise_m"), [(2, 1.0), (5, 0.2)])
def test_noise_is_not_a_correction(n_people: int, noise_m: float) -> None:
    rng = np.random.default_rng(0)

    def noisy(time_s: float) -> np.ndarray:
        return walking(time_s)[:n_people] + rng.normal(scale=noise_m, size=(n_people, 2))

    assert tell(predictor(), noisy, every(0.1, 1.0, 61.0)) == []


def test_outliers_of_one_person_after_another_are_not_a_correction() -> None:
    """One returns when the other jumps, by about the same distance in the other direction."""
    rng = np.random.default_rng(0)
    off_m = {5.0: [[0.0, 0.6], [0.0, 0.0]], 5.1: [[0.0, 0.0], [0.0, -0.6]]}

    def noisy(time_s: float) -> np.ndarray:
        noise_m = rng.normal(scale=0.05, size=(2, 2))
        return walking(time_s)[3:] + noise_m + off_m.get(round(time_s, 3), 0.0)

    assert tell(predictor(), noisy, every(0.1, 1.0, 6.0)) == []


def test_after_a_pause_no_correction_is_found() -> None:
    target = predictor()
    tell(target, walking, every(0.1, 1.0, 5.0))
    assert tell(target, lambda t: walking(t) + 1.0, [6.0]) == []


def test_a_reset_forgets_the_jumps() -> None:
    target = predictor()
    tell(target, walking, every(0.1, 1.0, 5.0))
    tell(target, lambda t: walking(t) + 1.0, [5.0, 5.1])
    target.reset()
    tell(target, walking, every(0.1, 6.0, 8.0))

    forecast = target.tick(target.newest_ns)
    assert target.published(forecast)[0] is forecast
