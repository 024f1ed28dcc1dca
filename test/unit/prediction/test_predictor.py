"""The predictor accepts messages with valid stamps and known frames; it gives reasons otherwise."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from social_implicit_ros.models.constant_velocity import ConstantVelocity
from social_implicit_ros.prediction.pipeline import PipelineConfig
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.prediction.update import Update
from social_implicit_ros.settings import PredictorConfig
from social_implicit_ros.tracks.frames.transforms import RigidTransform, TransformUnavailableError
from social_implicit_ros.types import ROBOT_ID, FloatArray, Prediction, SkipReason, Tracks
from social_implicit_ros.uncertainty.adaptive import AdaptiveCalibration

S = 1_000_000_000
VELOCITY_M_S = np.array([[1.0, 0.0], [0.0, -0.5]])


class Transforms:
    """A lookup in which `camera` is 1 m along x, known from given times on."""

    def __init__(self, known_until_ns: int = 0) -> None:
        self.known_until_ns = known_until_ns
        self.robot_at_m = np.array([5.0, 1.0, 0.0])

    def lookup(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        if source != "camera" or stamp_ns > self.known_until_ns:
            raise TransformUnavailableError(f"no {source} in {target}", may_come=True)
        return RigidTransform(np.eye(3), np.array([1.0, 0.0, 0.0]))

    def latest(self, target: str, source: str) -> tuple[RigidTransform, int]:
        if self.known_until_ns == 0:
            raise TransformUnavailableError(f"no {source} in {target}", may_come=True)
        return RigidTransform(np.eye(3), self.robot_at_m), self.known_until_ns

    def path(self, target: str, source: str) -> list[str]:
        return [source, target]

    def clear(self) -> None:
        """Keeps what is known."""


def predictor_of(
    transforms: Transforms | None = None,
    *,
    adaptive: AdaptiveCalibration | None = None,
    **options: object,
) -> Predictor:
    exact = PipelineConfig(position_noise_m=0.0)
    values = {"tick_rate_hz": 0.0, "pipeline": exact, **options}
    return Predictor(
        ConstantVelocity(),
        PredictorConfig(**values),  # type: ignore[arg-type]
        transforms or Transforms(),
        adaptive=adaptive,
    )


def walkers(time_s: float) -> Tracks:
    return Tracks(round(time_s * S), ("a", "b"), VELOCITY_M_S * time_s)


def walk(
    predictor: Predictor, from_s: float, until_s: float, *, frame_id: str = "odom"
) -> list[Update]:
    """Adds a message every tenth of a second, each at the time of its stamp."""
    times_s = np.arange(round(from_s * 10), round(until_s * 10) + 1) / 10
    return [
        predictor.add_tracks(walkers(time_s), frame_id, round(time_s * S))
        for time_s in times_s.tolist()
    ]


def robot(time_s: float, x_m: float = 3.0) -> Tracks:
    return Tracks(round(time_s * S), (ROBOT_ID,), np.array([[x_m, 0.0]]))


def mean_at(predictor: Predictor, time_s: float) -> FloatArray:
    forecast = predictor.tick(round(time_s * S))
    assert forecast.ids == ("a", "b")
    return forecast.prediction.mean


def test_straight_walkers_are_predicted_at_their_velocity() -> None:
    predictor = predictor_of()
    updates = walk(predictor, 1.0, 5.0)
    assert all(update.is_accepted and update.n_entered == 2 for update in updates)
    steps_s = 5.0 + 0.4 * np.arange(1, 13)
    expected = VELOCITY_M_S[:, None] * steps_s[:, None]
    np.testing.assert_allclose(mean_at(predictor, 5.0), expected, atol=1e-9)


def test_the_model_is_freed_with_its_predictor_without_garbage_collection() -> None:
    """A session of onnxruntime takes megabytes, and the node collects garbage seldom."""
    predictor = predictor_of()
    gone = weakref.ref(predictor.model)
    gc.disable()
    try:
        del predictor
        assert gone() is None
    finally:
        gc.enable()


def test_steps_and_horizon_are_those_of_the_configuration() -> None:
    predictor = predictor_of(time_step_s=0.5, horizon_s=2.0)
    walk(predictor, 1.0, 5.0)
    np.testing.assert_allclose(predictor.tick(5 * S).times_s, [0.5, 1.0, 1.5, 2.0])
    with pytest.raises(ValueError, match="beyond the model's"):
        predictor_of(horizon_s=60.0)


class TestStamps:
    @pytest.mark.parametrize(
        ("stamp_s", "now_s", "reason"),
        [
            (0.0, 5.0, SkipReason.NO_STAMP),
            (7.0, 5.0, SkipReason.FUTURE_STAMP),
            (3.0, 5.0, SkipReason.OUT_OF_ORDER),
        ],
    )
    def test_a_message_with_an_invalid_stamp_is_refused_with_the_reason(
        self, stamp_s: float, now_s: float, reason: SkipReason
    ) -> None:
        predictor = predictor_of()
        walk(predictor, 1.0, 5.0)
        before = mean_at(predictor, 5.0)
        update = predictor.add_tracks(walkers(stamp_s), "odom", round(now_s * S))
        assert not update.is_accepted and update.tick_ns is None and update.n_entered == 0
        assert update.skipped == {reason: 2}
        (refusal,) = update.refusals
        assert refusal.kind == reason.value and refusal.text.startswith("tracks ")
        np.testing.assert_array_equal(mean_at(predictor, 5.0), before)

    def test_entries_that_the_history_rejects_are_counted(self) -> None:
        tracks = Tracks(S, ("a", "", "a"), np.eye(3, 2))
        update = predictor_of().add_tracks(tracks, "odom", S)
        assert update.n_entered == 1
        assert update.skipped == {SkipReason.EMPTY_ID: 1, SkipReason.DUPLICATE_ID: 1}

    def test_time_that_jumps_back_forgets_everybody(self) -> None:
        forgotten: list[int] = []
        predictor = predictor_of()
        predictor.history.before_forgetting.append(forgotten.append)
        walk(predictor, 100.0, 105.0)
        first, second, third, *others = walk(predictor, 1.0, 4.0)
        assert not first.is_accepted and not second.is_accepted
        assert third.jumped_back and third.is_accepted and third.tick_ns == round(1.2 * S)
        assert not any(update.jumped_back for update in others)
        assert forgotten == [105 * S]
        steps_s = 4.0 + 0.4 * np.arange(1, 13)
        expected = VELOCITY_M_S[:, None] * steps_s[:, None]
        np.testing.assert_allclose(mean_at(predictor, 4.0), expected, atol=1e-9)

    def test_after_a_reset_any_stamp_is_accepted(self) -> None:
        predictor = predictor_of()
        walk(predictor, 100.0, 105.0)
        assert not predictor.clock_jumped_back(105 * S) and predictor.clock_jumped_back(5 * S)
        predictor.reset()
        assert len(predictor.history) == 0
        assert not predictor.clock_jumped_back(5 * S)
        assert all(update.is_accepted for update in walk(predictor, 1.0, 2.0))

    def test_a_new_timeout_applies_at_once(self) -> None:
        predictor = predictor_of()
        walk(predictor, 1.0, 5.0)
        config = PredictorConfig(pipeline=PipelineConfig(track_timeout_s=3.0), tick_rate_hz=0.0)
        predictor.reconfigure(config)
        assert predictor.add_tracks(walkers(2.5), "odom", 5 * S).is_accepted
        assert len(predictor.history) == 2


class TestTransforms:
    def test_tracks_are_transformed_at_their_own_stamp(self) -> None:
        predictor = predictor_of(Transforms(known_until_ns=9 * S))
        walk(predictor, 1.0, 5.0, frame_id="camera")
        steps_s = 5.0 + 0.4 * np.arange(1, 13)
        expected = VELOCITY_M_S[:, None] * steps_s[:, None] + np.array([1.0, 0.0])
        np.testing.assert_allclose(mean_at(predictor, 5.0), expected, atol=1e-9)

    def test_a_frame_with_the_slash_of_ros_1_is_the_same(self) -> None:
        predictor = predictor_of()
        assert walk(predictor, 1.0, 1.0, frame_id="/odom")[0].n_entered == 2

    def test_tracks_wait_for_their_transform(self) -> None:
        transforms = Transforms(known_until_ns=4 * S)
        predictor = predictor_of(transforms, transform_wait_s=0.5)
        walk(predictor, 1.0, 4.0, frame_id="camera")
        late = predictor.add_tracks(walkers(4.1), "camera", round(4.1 * S))
        assert late.is_accepted and late.n_entered == 0 and late.tick_ns is None
        assert predictor.n_waiting == 1
        assert predictor.poll(round(4.3 * S)) == Update()
        transforms.known_until_ns = 5 * S
        update = predictor.poll(round(4.5 * S))
        assert update.n_entered == 2 and update.tick_ns == round(4.1 * S)
        assert predictor.n_waiting == 0

    def test_without_a_transform_they_are_left_out_with_the_reason(self) -> None:
        predictor = predictor_of(transform_wait_s=0.5)
        predictor.add_tracks(walkers(1.0), "camera", S)
        update = predictor.poll(round(1.5 * S))
        assert update.skipped == {SkipReason.NO_TRANSFORM: 2}
        assert [refusal.text for refusal in update.refusals] == [
            "tracks without a transform are skipped: no camera in odom"
        ]
        assert predictor.n_waiting == 0 and len(predictor.history) == 0

    def test_tracks_of_the_fixed_frame_do_not_wait_for_others(self) -> None:
        predictor = predictor_of()
        predictor.add_tracks(walkers(1.0), "camera", S)
        assert walk(predictor, 1.1, 1.1)[0].n_entered == 2

    def test_a_reset_drops_waiting_tracks(self) -> None:
        predictor = predictor_of()
        predictor.add_tracks(walkers(1.0), "camera", S)
        predictor.reset()
        assert predictor.n_waiting == 0


class TestSchedule:
    def test_a_forecast_is_due_at_every_newest_message(self) -> None:
        predictor = predictor_of()
        assert [update.tick_ns for update in walk(predictor, 1.0, 1.3)] == [
            S + n * S // 10 for n in range(4)
        ]
        # A late message within the tolerance is added to the history, but triggers no forecast.
        late = predictor.add_tracks(walkers(1.25), "odom", round(1.3 * S))
        assert late.n_entered == 2 and late.tick_ns is None

    def test_several_messages_that_enter_together_trigger_one_forecast(self) -> None:
        transforms = Transforms(known_until_ns=S)
        predictor = predictor_of(transforms, transform_wait_s=9.0)
        walk(predictor, 1.1, 1.3, frame_id="camera")
        transforms.known_until_ns = 2 * S
        assert predictor.poll(round(1.4 * S)).tick_ns == round(1.3 * S)

    def test_a_waiting_message_does_not_block_forecasts_of_others(self) -> None:
        transforms = Transforms(known_until_ns=S)
        predictor = predictor_of(transforms, transform_wait_s=9.0)
        walk(predictor, 1.1, 1.3, frame_id="camera")
        transforms.known_until_ns = round(1.2 * S)
        assert predictor.poll(round(1.4 * S)).tick_ns == round(1.2 * S)

    def test_with_a_tick_rate_no_message_triggers_a_forecast(self) -> None:
        predictor = predictor_of(tick_rate_hz=10.0)
        assert all(update.tick_ns is None for update in walk(predictor, 1.0, 2.0))


@pytest.mark.filterwarnings("error")
def test_positions_out_of_range_do_not_affect_identities() -> None:
    predictor = predictor_of()
    for n in range(10, 40):
        at_m = np.array([[0.1 * n, 0.0], [0.1 * n, 0.4], [1e308, -1e308], [np.nan, 0.0]])
        tracks = Tracks(n * S // 10, ("a", "b", "far", "lost"), at_m)
        update = predictor.add_tracks(tracks, "odom", n * S // 10)
        assert update.skipped == {SkipReason.OUT_OF_RANGE: 1, SkipReason.NOT_FINITE: 1}
    assert predictor.tick(39 * S // 10).ids == ("a", "b")


class TestRobot:
    def test_the_robot_is_a_neighbour_and_not_predicted(self) -> None:
        predictor = predictor_of(robot="odometry")
        for n in range(10, 31):
            predictor.add_robot(robot(n / 10), "odom", n * S // 10)
            predictor.add_tracks(walkers(1.0 + n / 10), "odom", n * S // 10)
        forecast = predictor.tick(3 * S)
        assert predictor.last_tick is not None and len(predictor.last_tick.window.ids) == 3
        assert forecast.ids == ("a", "b")
        np.testing.assert_allclose(forecast.robot_m, [3.0, 0.0])

    def test_a_track_that_stays_at_the_robot_is_the_robot(self) -> None:
        """Until it leaves. People who walk beside the robot or pass it are not the robot."""
        predictor = predictor_of(robot="odometry")
        predicted: list[tuple[str, ...]] = []
        texts: list[str] = []
        for n in range(10, 61):
            time_s, stamp_ns = n / 10, n * S // 10
            x_m = min(time_s, 3.0)
            predictor.add_robot(robot(time_s, x_m), "odom", stamp_ns)
            places_m = [[max(time_s - 1.0, x_m + 0.2), 0.0], [x_m, 0.6], [4.0 - time_s, 0.1]]
            tracks = Tracks(stamp_ns, ("robot", "guide", "passer"), np.array(places_m))
            texts += predictor.add_tracks(tracks, "odom", stamp_ns).corrections
            predicted.append(predictor.tick(stamp_ns).ids)
        assert predicted[9] == predicted[-1] == ("robot", "guide", "passer")
        assert set(predicted[11:31]) == {("guide", "passer")}
        assert len(texts) == 1 and "track 'robot' stays within 0.3 m of the robot" in texts[0]
        assert predictor.last_tick is not None and predictor.last_tick.skipped == {}

    def test_odometry_triggers_no_forecast_and_is_not_counted_as_an_entry(self) -> None:
        update = predictor_of(robot="odometry").add_robot(robot(1.0), "odom", S)
        assert update.is_accepted
        assert update.tick_ns is None and update.n_entered == 0

    def test_rejected_odometry_is_counted_separately(self) -> None:
        predictor = predictor_of(robot="odometry")
        update = predictor.add_robot(robot(1.0, x_m=np.nan), "odom", S)
        assert update.robot_skipped == {SkipReason.NOT_FINITE: 1}
        assert not update.skipped

    def test_odometry_with_an_invalid_stamp_is_refused_and_resets_nothing(self) -> None:
        predictor = predictor_of(robot="odometry")
        walk(predictor, 4.0, 5.0)
        predictor.add_robot(robot(5.0), "odom", 5 * S)
        for time_s in (0.0, 9.0, 1.0):
            update = predictor.add_robot(robot(time_s), "odom", 5 * S)
            assert not update.is_accepted and not update.skipped
            assert update.refusals[0].text.startswith("odometry ")
            assert update.refusals[0].kind.startswith("odometry.")
        assert len(predictor.history) == 3

    def test_odometry_of_another_frame_waits_as_tracks_do(self) -> None:
        transforms = Transforms(known_until_ns=S)
        predictor = predictor_of(transforms, robot="odometry", transform_wait_s=1.0)
        predictor.add_robot(robot(1.5), "camera", round(1.5 * S))
        assert predictor.n_waiting == 1
        transforms.known_until_ns = 2 * S
        predictor.poll(round(1.6 * S))
        assert predictor.n_waiting == 0 and len(predictor.history) == 1
        predictor.add_robot(robot(2.5), "camera", round(2.5 * S))
        (refusal,) = predictor.poll(4 * S).refusals
        assert refusal.text.startswith("odometry without a transform")

    def test_its_newest_pose_comes_from_the_transforms(self) -> None:
        transforms = Transforms(known_until_ns=S)
        predictor = predictor_of(transforms, robot="tf")
        for n in range(11, 31):
            transforms.known_until_ns = n * S // 10
            walk(predictor, n / 10, n / 10)
            forecast = predictor.tick(n * S // 10)
        np.testing.assert_allclose(forecast.robot_m, [5.0, 1.0])
        assert predictor.refusals == []
        predictor.tick(5 * S)
        [refusal] = predictor.refusals
        assert "the robot's pose is 2.0 s old" in refusal.text

    def test_people_are_predicted_if_the_pose_of_the_robot_is_unknown(self) -> None:
        transforms = Transforms()
        predictor = predictor_of(transforms, robot="tf")
        walk(predictor, 1.0, 2.0)
        forecast = predictor.tick(2 * S)
        assert forecast.ids == ("a", "b") and forecast.robot_m is None
        [refusal] = predictor.refusals
        assert "the robot's pose is not known" in refusal.text
        transforms.known_until_ns = 2 * S
        predictor.tick(2 * S)
        assert predictor.refusals == []


class TestEvaluation:
    def walk(self, predictor: Predictor, from_s: float, until_s: float) -> None:
        for n in range(round(from_s * 10), round(until_s * 10) + 1):
            walk(predictor, n / 10, n / 10)
            predictor.tick(n * S // 10)
            predictor.evaluate()

    def test_its_own_predictions_are_scored_and_the_calibration_learns(self) -> None:
        adaptive = AdaptiveCalibration(12)
        predictor = predictor_of(adaptive=adaptive)
        self.walk(predictor, 1.0, 12.0)
        assert predictor.evaluation.recent().ade_m == pytest.approx(0.0, abs=1e-9)
        assert adaptive.learnt.seconds.max() > 5.0

    def test_a_reset_drops_scores_and_keeps_what_was_learnt(self) -> None:
        adaptive = AdaptiveCalibration(12)
        predictor = predictor_of(adaptive=adaptive)
        self.walk(predictor, 1.0, 12.0)
        learnt = adaptive.learnt
        predictor.reset()
        assert predictor.evaluate() is None
        assert predictor.evaluation.recent().n_positions == 0
        assert adaptive.learnt is learnt

    def test_a_failing_model_raises_and_leaves_the_predictor_usable(self) -> None:
        class Fails(ConstantVelocity):
            def predict(
                self,
                observed: FloatArray,
                *,
                n_samples: int = 20,
                seed: int = 0,
                planned_m: FloatArray | None = None,
            ) -> Prediction:
                raise ValueError("out of memory")

        predictor = Predictor(Fails(), PredictorConfig(tick_rate_hz=0.0), Transforms())
        walk(predictor, 1.0, 2.0)
        with pytest.raises(ValueError, match="out of memory"):
            predictor.tick(2 * S)
        assert len(predictor.history) == 2


@pytest.mark.parametrize("rate_hz", [0.9, 1.0, 2.0])
@pytest.mark.parametrize("latency_s", [0.3, 0.8])
def test_people_of_a_slow_tracker_are_predicted_at_every_tick(
    rate_hz: float, latency_s: float
) -> None:
    predictor = predictor_of(tick_rate_hz=10.0)
    n_messages, n_predicted, n_ticks = 0, 0, 0
    for tenth in range(200):
        now_s = 1.0 + tenth / 10
        while 1.0 + n_messages / rate_hz + latency_s <= now_s:
            stamp_s = 1.0 + n_messages / rate_hz
            predictor.add_tracks(walkers(stamp_s), "odom", round((stamp_s + latency_s) * S))
            n_messages += 1
        if n_messages > 5:
            n_ticks += 1
            n_predicted += len(predictor.tick(round(now_s * S)).ids)
    assert n_predicted == 2 * n_ticks


@pytest.mark.parametrize("rate_hz", [0.9, 1.5])
def test_predictions_of_a_slow_trackers_people_are_scored_at_all_steps(rate_hz: float) -> None:
    predictor = predictor_of(tick_rate_hz=10.0, adaptive=AdaptiveCalibration(12))
    n_messages, n_by_step = 0, np.zeros(12)
    for tenth in range(300):
        now_s = 1.0 + tenth / 10
        while 1.0 + n_messages / rate_hz <= now_s:
            stamp_s = 1.0 + n_messages / rate_hz
            predictor.add_tracks(walkers(stamp_s), "odom", round(now_s * S))
            n_messages += 1
        predictor.tick(round(now_s * S))
        scored = predictor.evaluate()
        if scored is not None:
            n_by_step += np.bincount(scored.steps.astype(int), minlength=12)
            assert scored.error_m.max() < 0.01 or n_messages < 8
    assert n_by_step.min() > 20


def test_the_timeout_follows_the_tracker_within_its_limits() -> None:
    predictor = predictor_of()
    walk(predictor, 1.0, 3.0)
    assert predictor.track_timeout_s == 1.0
    for n in range(20):  # 0.5 Hz
        predictor.add_tracks(walkers(5.0 + 2.0 * n), "odom", round((5.0 + 2.0 * n) * S))
    assert predictor.track_timeout_s == 3.0
    predictor.reconfigure(
        replace(predictor.config, pipeline=PipelineConfig(max_track_timeout_s=2.0))
    )
    assert predictor.track_timeout_s == 2.0
    predictor.reset()
    assert predictor.track_timeout_s == 1.0


def test_people_are_predicted_between_bursts_of_messages() -> None:
    """Of a tracker at 10 Hz whose messages arrive once a second, as over a bad network."""
    predictor = predictor_of(tick_rate_hz=10.0)
    n_predicted = []
    for tenth in range(10, 200):
        if tenth % 10 == 0:
            for stamp in range(tenth - 10, tenth):
                predictor.add_tracks(walkers(stamp / 10), "odom", tenth * S // 10)
        n_predicted.append(len(predictor.tick(tenth * S // 10 + S // 20).ids))
    assert set(n_predicted[-150:]) == {2}


def test_people_of_a_slow_camera_on_the_topic_of_a_fast_one_are_predicted() -> None:
    predictor = predictor_of(tick_rate_hz=10.0)
    n_predicted = []
    for tenth in range(10, 210):
        time_s, stamp_ns = tenth / 10, tenth * S // 10
        predictor.add_tracks(Tracks(stamp_ns, ("a",), np.array([[time_s, 0.0]])), "odom", stamp_ns)
        if tenth % 14 == 0:
            slow = Tracks(stamp_ns + 1, ("b",), np.array([[time_s, 5.0]]))
            predictor.add_tracks(slow, "odom", stamp_ns + 1)
        n_predicted.append(len(predictor.tick(stamp_ns).ids))
    assert predictor.track_timeout_s == 3.0
    assert set(n_predicted[-100:]) == {2}


def test_one_pause_does_not_make_a_tracker_slow() -> None:
    predictor = predictor_of()
    walk(predictor, 1.0, 1.3)
    walk(predictor, 3.3, 3.6)
    assert predictor.track_timeout_s == 1.0


def test_people_of_a_tracker_that_slows_down_are_soon_predicted_again() -> None:
    """From 20 Hz to 1 Hz with 0.4 s of latency, as under load."""
    predictor = predictor_of(tick_rate_hz=10.0)
    stamps_s = [*np.arange(1.0, 5.0, 0.05), *np.arange(5.0, 20.0, 1.0)]
    n_predicted = {}
    for tenth in range(10, 200):
        while stamps_s and stamps_s[0] + 0.4 <= tenth / 10:
            stamp_s = float(stamps_s.pop(0))
            predictor.add_tracks(walkers(stamp_s), "odom", round((stamp_s + 0.4) * S))
        n_predicted[tenth] = len(predictor.tick(tenth * S // 10).ids)
    # After two long periods the timeout grows; the next observation is the second of its track.
    assert all(n == 2 for tenth, n in n_predicted.items() if tenth >= 84)


def test_a_second_camera_with_another_clock_on_the_same_topic_resets_nothing() -> None:
    """It sends three messages between two of the first camera, with stamps since its start."""
    predictor = predictor_of(tick_rate_hz=10.0)
    for fifth in range(50):
        time_s = 1000.0 + fifth / 5.0
        update = predictor.add_tracks(walkers(time_s), "odom", round(time_s * S))
        assert update.is_accepted
        for late in range(1, 4):
            stamp_s = time_s - 900.0 + late / 20.0
            now_ns = round((time_s + late / 20.0) * S)
            update = predictor.add_tracks(walkers(stamp_s), "odom", now_ns)
            assert not update.jumped_back
            assert update.skipped == {SkipReason.OUT_OF_ORDER: 2}
        assert len(predictor.tick(now_ns).ids) == (2 if fifth else 0)


def test_latency_does_not_matter_without_a_tick_rate() -> None:
    predictor = predictor_of(tick_rate_hz=0.0)
    for n in range(20):
        predictor.add_tracks(walkers(1.0 + n / 10), "odom", 1000 * S)
    assert predictor.track_timeout_s == 1.0


def test_a_leading_slash_of_a_frame_is_removed() -> None:
    predictor = predictor_of(Transforms(10 * S), fixed_frame="/odom")
    walk(predictor, 1.0, 3.0)
    walk(predictor, 3.1, 5.0, frame_id="/odom")
    assert predictor.tick(5 * S).frame_id == "odom"
    # The lookup of the test knows the frame only without its slash.
    update = predictor.add_tracks(walkers(5.1), "/camera", round(5.1 * S))
    assert update.n_entered == 2


class TestCounts:
    """Counters count entries of messages, not ids."""

    def test_five_entries_with_one_id_count_as_four_duplicates(self) -> None:
        tracks = Tracks(S, ("a",) * 5 + ("b",), np.eye(6, 2))
        update = predictor_of().add_tracks(tracks, "odom", S)
        assert update.n_entered == 2
        assert update.skipped == {SkipReason.DUPLICATE_ID: 4}

    @pytest.mark.parametrize("x_m", [[np.nan, 1.0], [1.0, np.nan], [np.nan, np.nan]])
    def test_every_entry_is_counted_once(self, x_m: list[float]) -> None:
        tracks = Tracks(S, ("a", "a"), np.column_stack([x_m, np.zeros(2)]))
        update = predictor_of().add_tracks(tracks, "odom", S)
        assert update.n_entered == int(np.isfinite(x_m).any())
        assert update.n_entered + sum(update.skipped.values()) == 2

    def test_losses_are_counted_by_tracker_with_an_example(self) -> None:
        tracks = Tracks(S, ("0/a", "0/a", "0/b"), np.eye(3, 2))
        update = predictor_of().add_tracks(tracks, "odom", S, source="0/")
        assert update.skipped_of == {"0/": {SkipReason.DUPLICATE_ID: 1}}
        assert update.examples == {SkipReason.DUPLICATE_ID: "0/a"}

    def test_the_robot_does_not_count_as_a_tracked_person(self) -> None:
        predictor = predictor_of(robot="odometry")
        predictor.add_robot(Tracks(S, (ROBOT_ID,), np.zeros((1, 2))), "odom", S)
        assert predictor.n_tracked == 0
        predictor.add_tracks(Tracks(S, ("a",), np.ones((1, 2))), "odom", S)
        assert predictor.n_tracked == 1

    def test_several_entries_without_an_id_are_each_counted(self) -> None:
        tracks = Tracks(S, ("", "", "b"), np.eye(3, 2))
        update = predictor_of().add_tracks(tracks, "odom", S)
        assert (update.n_entered, update.skipped) == (1, {SkipReason.EMPTY_ID: 2})

    def test_people_forgotten_for_nearer_ones_do_not_count_as_entries(self) -> None:
        predictor = predictor_of(pipeline=PipelineConfig(max_agents=1))
        predictor.add_tracks(Tracks(S, ("far",), np.array([[9.0, 0.0]])), "odom", S)
        near = Tracks(S + 1, ("near",), np.array([[1.0, 0.0]]))
        update = predictor.add_tracks(near, "odom", S + 1)
        assert (update.n_entered, sum(update.skipped.values())) == (1, 0)


class TestSources:
    """Each tracker has its own latency and clock."""

    @staticmethod
    def add(predictor: Predictor, source: str, stamp_s: float, now_s: float) -> Update:
        tracks = Tracks(round(stamp_s * S), (f"{source}a",), np.array([[stamp_s, 0.0]]))
        return predictor.add_tracks(tracks, "odom", round(now_s * S), source=source)

    def test_a_lag_between_trackers_is_not_taken_for_a_jump_back(self) -> None:
        predictor = predictor_of()
        for n in range(100, 300):
            updates = [self.add(predictor, "0/slow/", n / 20 - 1.3, n / 20)]
            if n % 4 == 0:
                updates.append(self.add(predictor, "1/fast/", n / 20, n / 20))
            assert all(u.is_accepted and u.n_entered and not u.jumped_back for u in updates)
        assert "1/fast/a" in predictor.tick(round(14.8 * S)).ids

    @pytest.mark.parametrize("back_s", [5.9, 1.1])
    def test_a_jump_back_of_one_tracker_forgets_its_tracks_alone(self, back_s: float) -> None:
        """A jump of little more than the timeout may be messages that were late in a row."""
        predictor = predictor_of()
        for n in range(50, 80):
            self.add(predictor, "0/a/", n / 10, n / 10)
            self.add(predictor, "1/b/", n / 10, n / 10)
        updates = [
            self.add(predictor, "0/a/", 7.9 - back_s + n / 100, 8.0 + n / 100) for n in range(3)
        ]
        assert [update.is_accepted for update in updates] == [False, False, True]
        assert not updates[-1].jumped_back
        assert "0/a/" in updates[-1].refusals[0].text
        assert predictor.tick(8 * S).ids == ("1/b/a",)

    def test_a_jump_back_of_all_trackers_resets_everything(self) -> None:
        predictor = predictor_of()
        for n in range(50, 80):
            self.add(predictor, "0/a/", n / 10, n / 10)
            self.add(predictor, "1/b/", n / 10, n / 10)
        updates = [
            self.add(predictor, source, 1.0 + n / 10, 8.0)
            for n in range(6)
            for source in ("0/a/", "1/b/")
        ]
        assert sum(update.jumped_back for update in updates) == 1
        assert updates[-1].tick_ns is not None
        assert set(predictor.tick(round(1.5 * S)).ids) == {"0/a/a", "1/b/a"}


class TestGhosts:
    def test_people_who_are_gone_are_not_predicted_but_remembered(self) -> None:
        predictor = predictor_of()
        for n in range(20):
            predictor.add_tracks(walkers(1.0 + n / 10), "odom", 0)
        alone = np.array([True, False])
        for n in range(20, 29):
            predictor.add_tracks(walkers(1.0 + n / 10).of_agents(alone), "odom", 0)
        forecast = predictor.tick(round(3.8 * S))
        assert forecast.ids == ("a",)
        assert forecast.skipped == {"b": SkipReason.VANISHED}
        predictor.add_tracks(walkers(3.9), "odom", 0)
        assert predictor.tick(round(3.9 * S)).ids == ("a", "b")
        assert predictor.last_tick is not None
        assert predictor.last_tick.window.n_observed.tolist() == [8, 8]

    def test_if_the_tracker_pauses_nobody_is_gone(self) -> None:
        predictor = predictor_of()
        for n in range(20):
            predictor.add_tracks(walkers(1.0 + n / 10), "odom", 0)
        assert predictor.tick(round(3.8 * S)).ids == ("a", "b")

    def test_tracks_below_min_track_age_s_are_counted_but_not_predicted(self) -> None:
        predictor = predictor_of(pipeline=PipelineConfig(min_track_age_s=0.5))
        for n in range(5):
            predictor.add_tracks(walkers(1.0 + n / 10), "odom", 0)
        skipped = predictor.tick(round(1.4 * S)).skipped
        assert skipped == dict.fromkeys(("a", "b"), SkipReason.TOO_YOUNG)
        predictor.add_tracks(walkers(1.5), "odom", 0)
        assert predictor.tick(round(1.5 * S)).ids == ("a", "b")
