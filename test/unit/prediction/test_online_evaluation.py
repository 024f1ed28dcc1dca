"""Predictions are scored where their ground truth is known, and only there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pytest

from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.prediction.pipeline import PipelineConfig, PredictionPipeline
from social_implicit_ros.prediction.scoring.online_evaluation import (
    MAX_GAP_S,
    PendingPredictions,
    SelfEvaluation,
)
from social_implicit_ros.settings import HistoryLimits
from social_implicit_ros.tracks.history import TrackHistory
from social_implicit_ros.types import ROBOT_ID, Tracks
from social_implicit_ros.uncertainty.adaptive import AdaptiveCalibration, ScoredPositions

S = 1_000_000_000

#: Time in seconds -> position of a person, or None.
Walk = Callable[[float], tuple[float, float] | None]


def straight(t: float) -> tuple[float, float]:
    return (t, 0.0)


def tracks_of(walks: dict[str, Walk], time_s: float) -> Tracks:
    places = {agent: walk(time_s) for agent, walk in walks.items()}
    seen = {agent: place for agent, place in places.items() if place is not None}
    return Tracks(round(time_s * S), tuple(seen), np.array(list(seen.values())).reshape(-1, 2))


class Watched:
    """A pipeline with self-evaluation while people walk."""

    def __init__(self, *, adaptive: bool = False, window_s: float = 60.0) -> None:
        calibration = AdaptiveCalibration(12) if adaptive else None
        self.pipeline = PredictionPipeline(
            ConstantVelocity(), PipelineConfig(n_samples=1, position_noise_m=0.0), calibration
        )
        self.evaluation = SelfEvaluation(self.pipeline, window_s=window_s)

    def walk(self, walks: dict[str, Walk], times_s: Iterable[float]) -> list[ScoredPositions]:
        found = []
        for time_s in times_s:
            self.pipeline.history.insert(tracks_of(walks, time_s))
            scored = self.evaluation.observe(self.pipeline.tick(round(time_s * S)))
            found += [] if scored is None else [scored]
        return found


def every(period_s: float, until_s: float, from_s: float = 0.0) -> Sequence[float]:
    return [from_s + n * period_s for n in range(round((until_s - from_s) / period_s) + 1)]


def n_by_step(found: list[ScoredPositions]) -> list[int]:
    steps = np.concatenate([scored.steps for scored in found]) if found else np.empty(0, int)
    return np.bincount(steps.astype(int), minlength=12).tolist()


def test_a_correct_prediction_has_no_error_at_any_step() -> None:
    watched = Watched()
    found = watched.walk({"a": straight, "b": lambda t: (0.0, -t)}, every(0.1, 20.0))
    scores = watched.evaluation.recent()
    assert min(n_by_step(found)) > 50
    np.testing.assert_allclose(scores.error_m, 0.0, atol=1e-9)
    assert scores.ade_m == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(scores.times_s, 0.4 * np.arange(1, 13))
    assert scores.n_positions == sum(n_by_step(found))


def test_the_error_of_somebody_who_stops_is_the_predicted_displacement() -> None:
    watched = Watched()
    # Predictions of the last seconds before the stop continue at 1 m/s.
    watched.walk({"a": lambda t: (min(t, 10.0), 0.0)}, every(0.1, 15.3))
    scores = watched.evaluation.recent()
    assert 0.3 < scores.ade_m < scores.fde_m < 4.8
    assert scores.error_m[0] < 0.1
    assert (np.diff(scores.error_m) > 0.0).all()


def test_a_position_is_scored_once_max_gap_s_after_its_time() -> None:
    watched = Watched()
    found = watched.walk({"a": straight}, every(0.1, 12.0))
    for scored in found:
        assert scored.stamp_ns > round(MAX_GAP_S * S)
    # The first tick that predicts anybody is the second message; one tick in 0.4 s is pending.
    first_ns = found[0].stamp_ns
    assert first_ns == pytest.approx(0.1 * S + 0.4 * S + MAX_GAP_S * S, abs=0.11 * S)
    assert n_by_step(found)[0] == pytest.approx(12.0 / 0.4, abs=4)


@pytest.mark.slow
def test_a_fast_tracker_does_not_make_scores_more_frequent() -> None:
    found = Watched().walk({"a": straight}, every(0.02, 20.0))
    assert min(n_by_step(found)) > 30
    assert np.diff([scored.stamp_ns for scored in found]).min() >= 0.36 * S


def test_ground_truth_between_two_observations_is_interpolated() -> None:
    # A tracker at 3 Hz never observes at the time of a predicted step.
    watched = Watched()
    found = watched.walk({"a": straight}, every(1.0 / 3.0, 20.0))
    assert min(n_by_step(found)) > 10
    assert max(float(scored.error_m.max()) for scored in found) < 1e-6


def test_unobserved_steps_are_not_scored() -> None:
    def hidden(t: float) -> tuple[float, float] | None:
        return None if 5.0 < t < 5.9 else (t, 0.0)

    seen = Watched().walk({"a": straight, "b": lambda t: (t, 3.0)}, every(0.1, 11.0))
    part = Watched().walk({"a": hidden, "b": lambda t: (t, 3.0)}, every(0.1, 11.0))
    assert sum(n_by_step(part)) < sum(n_by_step(seen))
    assert max(float(scored.error_m.max()) for scored in part) < 1e-9


def test_a_recycled_id_is_not_the_predicted_agent() -> None:
    def jumps(t: float) -> tuple[float, float]:
        return (t, 0.0) if t < 6.0 else (t, 100.0)

    found = Watched().walk({"a": jumps}, every(0.1, 14.0))
    assert found
    assert max(float(scored.error_m.max()) for scored in found) < 1e-6


def test_an_agent_that_leaves_is_scored_until_then() -> None:
    def leaves(t: float) -> tuple[float, float] | None:
        return (t, 0.0) if t <= 6.0 else None

    found = Watched().walk({"a": leaves, "b": lambda t: (0.0, t)}, every(0.1, 20.0))
    alone = Watched().walk({"b": lambda t: (0.0, t)}, every(0.1, 20.0))
    extra = np.array(n_by_step(found)) - np.array(n_by_step(alone))
    assert extra[0] > extra[11] > 0


def test_the_robot_is_not_scored() -> None:
    found = Watched().walk({ROBOT_ID: straight}, every(0.1, 10.0))
    assert found == []


def test_old_scores_leave_the_window_and_a_reset_empties_it() -> None:
    watched = Watched(window_s=2.0)
    watched.walk({"a": straight}, every(0.1, 20.0))
    recent = watched.evaluation.recent()
    assert 0 < recent.n_positions <= 12 * 6
    watched.evaluation.reset()
    empty = watched.evaluation.recent()
    assert empty.n_positions == 0
    assert np.isnan(empty.coverage) and np.isnan(empty.ade_m) and np.isnan(empty.fde_m)


def test_memory_is_bounded_for_any_ticks() -> None:
    watched = Watched()
    # Ticks far apart, with observations that never catch up with them.
    for n in range(500):
        watched.pipeline.history.insert(tracks_of({"a": straight}, 0.01 * n))
        watched.evaluation.observe(watched.pipeline.tick(n * S // 2))
    assert len(watched.evaluation._pending) <= 32
    assert len(watched.evaluation.window._rounds) <= 200


def test_scores_continue_after_time_jumps_back() -> None:
    watched = Watched(adaptive=True)
    watched.walk({"a": straight}, every(0.1, 8.0, 1000.0))
    watched.pipeline.history.reset()
    watched.evaluation.reset()
    found = watched.walk({"a": straight}, every(0.1, 8.0))
    assert max(float(scored.error_m.max()) for scored in found) < 1e-9


@pytest.mark.slow
def test_adaptive_ellipses_reach_nominal_coverage_of_random_walks() -> None:
    rng = np.random.default_rng(4)
    ways = {
        f"p{n}": np.cumsum(rng.normal(0.0, 0.01, (2000, 2)), axis=0) + 8.0 * n for n in range(12)
    }

    def walk_of(way: np.ndarray) -> Walk:
        return lambda t: tuple(way[round(t * 10)])

    walks = {agent: walk_of(way) for agent, way in ways.items()}
    watched = Watched(adaptive=True)
    watched.walk(walks, every(0.1, 40.0))
    watched.evaluation.reset()
    watched.walk(walks, every(0.1, 160.0, 40.1))
    scores = watched.evaluation.recent()
    assert scores.confidence == 0.95
    assert scores.coverage == pytest.approx(0.95, abs=0.02)
    np.testing.assert_allclose(scores.inside, 0.95, atol=0.06)


def test_a_prediction_is_scored_with_the_ellipse_that_was_published_then() -> None:
    watched = Watched(adaptive=True)
    adaptive = watched.pipeline.adaptive
    assert adaptive is not None
    scored = watched.walk({"a": straight}, every(0.1, 3.0))
    # From here on, new ellipses have the largest radius; those already published stay small.
    far = np.full(12, 1e6)
    huge = ScoredPositions(
        5 * S, np.arange(12), np.ones(12), np.ones(12), far, np.ones(12), weight=np.ones(12)
    )
    for _ in range(500):
        adaptive.learn(huge)
    turned = watched.walk({"a": lambda t: (3.0, t - 3.0)}, every(0.1, 4.4, 3.1))
    assert scored and turned
    assert max(float(one.levels.max()) for one in turned) > 0.999999


class TestPendingPredictions:
    """One agent, `a`, seen ten times a second on a straight walk, and predicted now and then."""

    STEPS_S = np.array([0.4, 0.8, 1.2])

    def pending(self, history: TrackHistory, **options: float | bool) -> PendingPredictions[str]:
        return PendingPredictions(history, self.STEPS_S, max_gap_s=0.5, **options)  # type: ignore[arg-type]

    def add(self, pending: PendingPredictions[str], time_s: float, name: str = "") -> None:
        pending.add(round(time_s * S), round(time_s * S), ("a",), name)

    def see(self, history: TrackHistory, from_s: float, until_s: float, x_m: float = 0.0) -> None:
        for time_s in every(0.1, until_s, from_s):
            place = np.array([[x_m + time_s, 0.0]])
            history.insert(Tracks(round(time_s * S), ("a",), place))

    def test_a_step_is_final_max_gap_s_after_its_time_and_not_before(self) -> None:
        history = TrackHistory(HistoryLimits(position_noise_m=0.0))
        pending = self.pending(history)
        self.see(history, 0.0, 1.0)
        self.add(pending, 1.0)
        self.see(history, 1.1, 1.8)
        assert pending.update(round(1.8 * S)) == []
        self.see(history, 1.9, 1.9)
        ((entry, steps),) = pending.update(round(1.9 * S))
        assert list(steps) == [0]
        np.testing.assert_allclose(entry.ground_truth_m[0, 0], [1.4, 0.0])
        assert pending.pop_complete() == []

    def test_complete_predictions_come_in_order_with_their_ground_truth(self) -> None:
        history = TrackHistory(HistoryLimits(position_noise_m=0.0))
        pending = self.pending(history)
        self.see(history, 0.0, 1.0)
        for time_s, name in ((0.8, "first"), (1.0, "second")):
            self.add(pending, time_s, name)
        self.see(history, 1.1, 3.0)
        pending.update(3 * S)
        first, second = pending.pop_complete()
        assert (first.content, second.content) == ("first", "second")
        np.testing.assert_allclose(second.ground_truth_m[0, :, 0], 1.0 + self.STEPS_S)
        np.testing.assert_allclose(first.ground_truth_m[0, :, 0], 0.8 + self.STEPS_S)
        assert len(pending) == 0

    def test_finishing_reads_what_is_known_and_leaves_the_rest_unknown(self) -> None:
        history = TrackHistory(HistoryLimits(position_noise_m=0.0))
        pending = self.pending(history)
        self.see(history, 0.0, 1.0)
        self.add(pending, 1.0)
        self.see(history, 1.1, 1.9)
        pending.finish()
        (entry,) = pending.pop_complete()
        assert np.isfinite(entry.ground_truth_m[0, :, 0]).tolist() == [True, True, False]

    @pytest.mark.parametrize("ends", ["leaves", "jumps", "pauses", "reset"])
    @pytest.mark.parametrize("reads_forgotten", [True, False])
    def test_reads_forgotten_reads_a_track_to_its_end(
        self, ends: str, reads_forgotten: bool
    ) -> None:
        history = TrackHistory(HistoryLimits(position_noise_m=0.0))
        pending = self.pending(history, reads_forgotten=reads_forgotten)
        self.see(history, 0.0, 1.0)
        self.add(pending, 1.0)
        self.see(history, 1.1, 1.8)
        pending.update(round(1.8 * S))
        if ends == "leaves":
            history.window(9 * S)
        elif ends == "jumps":
            self.see(history, 1.9, 3.0, x_m=50.0)
        elif ends == "pauses":
            self.see(history, 2.9, 4.0)
        else:
            history.reset()
        pending.finish()
        (entry,) = pending.pop_complete()
        known = np.isfinite(entry.ground_truth_m[0, :, 0]).tolist()
        assert known == [reads_forgotten, reads_forgotten, False]

    def test_another_person_in_a_reused_row_is_not_the_ground_truth(self) -> None:
        history = TrackHistory(HistoryLimits(position_noise_m=0.0))
        pending = self.pending(history, reads_forgotten=True)
        self.see(history, 0.0, 1.0)
        self.add(pending, 1.0)
        history.window(round(2.1 * S))
        assert len(history) == 0
        for time_s in every(0.1, 3.0, 1.1):
            history.insert(Tracks(round(time_s * S), ("b",), np.array([[9.0, 9.0]])))
        pending.finish()
        (entry,) = pending.pop_complete()
        assert np.isnan(entry.ground_truth_m).all()

    def test_reading_later_reads_the_same(self) -> None:
        history = TrackHistory(HistoryLimits(position_noise_m=0.0))
        pending = self.pending(history, period_s=0.6)
        self.see(history, 0.0, 1.0)
        self.add(pending, 1.0)
        n_reads = 0
        for time_s in every(0.1, 4.0, 1.1):
            self.see(history, time_s, time_s)
            n_reads += bool(pending.update(round(time_s * S)))
        assert n_reads == 2
        (entry,) = pending.pop_complete()
        np.testing.assert_allclose(entry.ground_truth_m[0, :, 0], 1.0 + self.STEPS_S)

    def test_beyond_max_pending_the_oldest_are_dropped(self) -> None:
        history = TrackHistory(HistoryLimits(position_noise_m=0.0))
        pending = self.pending(history, max_pending=2)
        self.see(history, 0.0, 1.0)
        for name in ("one", "two", "three"):
            self.add(pending, 1.0, name)
        pending.finish()
        assert [entry.content for entry in pending.pop_complete()] == ["two", "three"]


def history_of(times_s: Iterable[float]) -> TrackHistory:
    history = TrackHistory(HistoryLimits(position_noise_m=0.0))
    for time_s in times_s:
        history.insert(tracks_of({"a": straight}, time_s))
    return history


def test_the_history_knows_between_observations_and_not_beyond() -> None:
    history = history_of([1.0, 1.4, 1.8, 2.6, 3.0])
    stamps = np.array([0.9, 1.0, 1.3, 1.8, 2.2, 3.0, 3.1]) * S
    found = history.observed_m(stamps.astype(np.int64), np.full(7, 2 * S), 0.5)
    row = history.rows_of(("a",))[0]
    expected = [np.nan, 1.0, 1.3, 1.8, np.nan, 3.0, np.nan]
    np.testing.assert_allclose(found[row, :, 0], expected, atol=1e-9)


def test_the_history_does_not_return_a_later_track() -> None:
    history = history_of([1.0, 1.4, 1.8])
    stamps = np.array([1.2, 1.2]) * S
    since = np.array([0.9, 1.0]) * S
    found = history.observed_m(stamps.astype(np.int64), since.astype(np.int64), 0.5)
    row = history.rows_of(("a",))[0]
    assert np.isnan(found[row, 0]).all() and found[row, 1, 0] == pytest.approx(1.2)


def test_an_empty_history_has_no_ground_truth() -> None:
    history = TrackHistory(HistoryLimits(position_noise_m=0.0))
    assert history.observed_m(np.array([S]), np.array([S]), 0.5).shape == (0, 1, 2)
    with pytest.raises(KeyError):
        history.rows_of(("a",))
