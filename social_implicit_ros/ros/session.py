"""What the node does from configure to cleanup: messages in, predictions out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.lifecycle import LifecyclePublisher
from rclpy.subscription import Subscription
from rclpy.timer import Timer

from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.prediction.robot_plan import PlanDecoder
from social_implicit_ros.prediction.update import Update
from social_implicit_ros.prediction.walls import floor_plan_from_grid
from social_implicit_ros.ros.bond import Bond
from social_implicit_ros.ros.calibration_keeper import CalibrationKeeper
from social_implicit_ros.ros.online_evaluation_messages import (
    metrics_to_msg,
    radius_factors,
    scores_to_status,
)
from social_implicit_ros.ros.outputs.base import Output
from social_implicit_ros.ros.preparation import NewestJob, Preparation
from social_implicit_ros.ros.reporting.reporter import Reporter
from social_implicit_ros.ros.timers import TickTimer
from social_implicit_ros.ros.trackers import Tracker
from social_implicit_ros.settings import NodeConfig
from social_implicit_ros.tracks.frames.transforms import TransformUnavailableError
from social_implicit_ros.tracks.messages.decoder import robot_from_odometry


@dataclass
class Session:
    """Predicts from messages at every tick, and publishes the outputs with subscribers.

    Attributes:
        reporter: logs and counts.
        now_ns: the node's clock, integer nanoseconds.
        changed_config: returns the parameters if they changed since the last call, else None.
        tick_timer: ticks, unless messages trigger them.
        transform_timer: runs while messages wait for a transform.
        is_active: messages are used only while it is True.
        shown_s: steady time of the last prediction with people; None if the newest has none.
    """

    reporter: Reporter
    now_ns: Callable[[], int]
    changed_config: Callable[[], NodeConfig | None]
    config: NodeConfig
    trackers: list[Tracker]
    predictor: Predictor
    outputs: dict[str, Output]
    keeper: CalibrationKeeper | None
    preparation: Preparation
    # Endpoints and timers, which `session_setup` creates and destroys.
    metrics: LifecyclePublisher = field(init=False)
    publishers: dict[str, LifecyclePublisher] = field(default_factory=dict)
    subscriptions: list[Subscription] = field(default_factory=list)
    bond: Bond | None = None
    tick_timer: TickTimer = field(init=False)
    transform_timer: Timer = field(init=False)
    is_active: bool = False
    shown_s: float | None = None
    maps: NewestJob = field(default_factory=lambda: NewestJob("map"))

    def start(self) -> None:
        """Starts predicting."""
        self.is_active = True
        self.tick_timer.restart(self.config.predictor.tick_rate_hz)
        self.apply_changed_parameters(wait=True)
        self.clear()

    def stop(self) -> None:
        """Stops predicting: clears the outputs and all histories, and saves what was learned."""
        was_active, self.is_active = self.is_active, False
        if was_active:
            # The session ends even if any of these steps fails.
            self._try_to_clear()
            with self.reporter.contained("calibration", "the calibration cannot be saved"):
                self._save_calibration()
            if self.bond is not None:
                self.bond.send(self.now_ns(), is_active=False)
        self.tick_timer.stop()
        self.predictor.reset()

    def apply_changed_parameters(self, *, wait: bool = False) -> None:
        """Applies changed parameters once they are prepared; they were checked when set."""
        with self.reporter.contained("parameters", "changed parameters cannot take effect"):
            changed = self.changed_config()
            if changed is not None:
                self.preparation.begin(changed, self.config)
            prepared = self.preparation.take(wait=wait)
            if prepared is None:
                return
            before, (config, outputs) = self.config, prepared
            self.config = config
            self.predictor.reconfigure(config.predictor)
            self.reporter.state = self.reporter.state.with_config(config)
            if config.predictor.tick_rate_hz != before.predictor.tick_rate_hz:
                self.tick_timer.restart(config.predictor.tick_rate_hz)
            if outputs is not None and config.for_outputs != before.for_outputs:
                self.clear()
                self.outputs = outputs

    # Messages

    def on_tracks(self, tracker: Tracker, message: Any) -> None:
        """Adds a serialised message of a tracker."""
        if self.is_active:
            with self.reporter.contained("unreadable", "tracks cannot be read"):
                self._add_tracks(tracker, message)

    def _add_tracks(self, tracker: Tracker, message: Any) -> None:
        started_s, now_ns, source = time.perf_counter(), self.now_ns(), tracker.source
        log = self.reporter.log
        log.add_arrival(source, time.monotonic())
        decoded = tracker.decode(message)
        log.add_decoded(source, decoded)
        if decoded.tracks is None:
            return
        self.reporter.log_slash(decoded.frame_id)
        tracks = decoded.tracks
        if self.config.predictor.stamp_source == "arrival":
            tracks = replace(tracks, stamp_ns=now_ns)
        update = self.predictor.add_tracks(tracks, decoded.frame_id, now_ns, source=source)
        if update.is_accepted:
            log.add_message(source, tracks)
        self._handle_update(update, started_s)

    def on_odometry(self, message: Odometry) -> None:
        """Adds the robot's position."""
        if self.is_active:
            with self.reporter.contained("odometry", "odometry cannot be read"):
                started_s, frame_id = time.perf_counter(), message.header.frame_id
                robot = robot_from_odometry(message)
                self.reporter.log_slash(frame_id)
                update = self.predictor.add_robot(robot, frame_id, self.now_ns())
                self._handle_update(update, started_s)

    def on_map(self, message: OccupancyGrid) -> None:
        """Loads a map in the background."""

        def load() -> None:
            with self.reporter.contained("map", "the map cannot be used"):
                self.predictor.floor_plan = floor_plan_from_grid(message).prepare()

        # The distances from the walls of a large map take longer than a tick.
        self.maps.begin(load)

    def on_plan(self, decoder: PlanDecoder, message: bytes) -> None:
        """Takes over the robot's plan, a serialised path."""
        if self.is_active:
            self.predictor.robot_plan = None
            with self.reporter.contained("plan", "the robot's plan cannot be used"):
                self.predictor.robot_plan = decoder.decode(message, self.now_ns())

    def add_waiting(self) -> None:
        """Adds the tracks whose transform has become known."""
        if self.is_active:
            with self.reporter.contained("transform", "waiting tracks cannot be transformed"):
                started_s = time.perf_counter()
                self._handle_update(self.predictor.poll(self.now_ns()), started_s)

    def _handle_update(self, update: Update, started_s: float) -> None:
        """Reports the outcome of messages, and publishes a forecast if one is due."""
        if update.jumped_back:
            self._report_reset("time jumped back in the tracks' stamps")
        self.reporter.log.add_update(update)
        self.reporter.pass_on(update.refusals, update.corrections)
        if update.tick_ns is not None:
            self.tick(update.tick_ns, started_s)
        if self.predictor.n_waiting:
            self.transform_timer.reset()
        else:
            self.transform_timer.cancel()

    # Predictions

    def on_timer(self) -> None:
        """Ticks at the current time."""
        self.tick(self.now_ns(), time.perf_counter())

    def tick(self, stamp_ns: int, started_s: float) -> None:
        """Predicts and publishes.

        Args:
            stamp_ns: current time, integer nanoseconds.
            started_s: when its computation began, by `time.perf_counter`.
        """
        predictor, reporter = self.predictor, self.reporter
        self.apply_changed_parameters()
        try:
            forecast, corrections = predictor.published(predictor.tick(stamp_ns))
            self.shown_s = time.monotonic() if forecast.ids else None
            for name, publisher in self.publishers.items():
                if publisher.get_subscription_count() > 0:
                    publisher.publish(self.outputs[name].render(forecast))
        except TransformUnavailableError as error:
            # Without the transform, positions in the published frame are unknown.
            reason = f"nothing is published in frame {predictor.published_frame}: {error}"
            reporter.refuse("publish_frame", reason)
            self._try_to_clear()
            return
        except Exception as error:  # noqa: BLE001 (onnxruntime has exceptions of its own)
            reason = f"nobody is predicted: {reporter.reason_of(error)}"
            reporter.log.add_failed_tick(reason)
            reporter.warn("tick", reason)
            # Planners must not keep using the previous predictions.
            self._try_to_clear()
            return
        reporter.pass_on(predictor.refusals, corrections)
        if self.config.predictor.robot != "none" and forecast.robot_m is None:
            reporter.log.events.robot_lost = True
        duration_s = time.perf_counter() - started_s
        reporter.log.add_tick(
            duration_s, predictor.n_tracked, forecast.skipped.values(), len(forecast.ids)
        )
        # After publishing, so that the evaluation does not delay it.
        with reporter.contained("evaluation", "predictions cannot be evaluated"):
            predictor.evaluate()

    def clear(self) -> None:
        """Clears the outputs at their consumers: planners keep the last message."""
        self.shown_s, stamp_ns = None, self.now_ns()
        for name, publisher in self.publishers.items():
            publisher.publish(self.outputs[name].clear(stamp_ns))

    def clear_outdated(self) -> None:
        """If messages trigger the ticks, clears the outputs once the messages stop."""
        if self.shown_s is None or self.tick_timer.is_running:
            return
        if time.monotonic() - self.shown_s > self.predictor.track_timeout_s:
            self._try_to_clear()

    def _try_to_clear(self) -> None:
        """Clears the outputs; a failure is logged."""
        with self.reporter.contained("clear", "outputs cannot be cleared"):
            self.clear()

    def reset(self, reason: str = "") -> None:
        """Forgets all histories, for a reason that is logged, or on request."""
        self.predictor.reset()
        self._report_reset(reason)

    def _report_reset(self, reason: str) -> None:
        """Counts a reset of all histories, and clears the outputs."""
        if reason:
            self.reporter.logger.warning(f"{reason}: all histories are cleared")
        self.reporter.log.add_reset()
        self.clear()

    def send_heartbeat(self) -> None:
        """Sends a heartbeat of the bond."""
        if self.is_active and self.bond is not None:
            self.bond.send(self.now_ns(), is_active=True)

    # Self-evaluation

    def reset_calibration(self) -> str:
        """Forgets what was learned; returns the reason of a failure, or ''."""
        if self.keeper is None:
            return "nothing to reset: the parameter adaptive_calibration is false"
        problem = self.keeper.reset()
        # Predictions made with the old calibration must not be scored for the new one.
        self.predictor.evaluation.reset()
        return problem

    def self_evaluation(self, node: str) -> DiagnosticStatus:
        """Publishes the scores of recent predictions; returns them as a status of `node`."""
        if self.keeper is not None and self.keeper.is_due(time.monotonic()):
            self._save_calibration()
        scores = self.predictor.evaluation.recent()
        factors = radius_factors(self.predictor.adaptive, len(scores.times_s), scores.confidence)
        if self.metrics.get_subscription_count() > 0:
            self.metrics.publish(metrics_to_msg(scores, factors))
        return scores_to_status(
            node,
            scores,
            factors,
            tolerance=self.config.coverage_tolerance,
            window_s=self.config.predictor.self_evaluation_window_s,
            calibration="off" if self.keeper is None else self.keeper.state,
        )

    def _save_calibration(self) -> None:
        """Writes the adaptive calibration if it changed; a failure is logged."""
        problem = "" if self.keeper is None else self.keeper.save(time.monotonic())
        if problem:
            self.reporter.logger.warning(problem)
