"""The lifecycle node: subscribes to tracks and publishes predictions."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from std_srvs.srv import Trigger

from social_implicit_ros.prediction.health.snapshot import NodeState, Surroundings
from social_implicit_ros.prediction.health.tracker_log import TrackerLog
from social_implicit_ros.prediction.replay_settings import NODE_NAME
from social_implicit_ros.prediction.robot_plan import PlanDecoder
from social_implicit_ros.prediction.update import Update
from social_implicit_ros.prediction.walls import floor_plan_from_grid
from social_implicit_ros.ros import bond, qos
from social_implicit_ros.ros.parameter_node import ParameterNode
from social_implicit_ros.ros.preparation import NewestJob
from social_implicit_ros.ros.reporting.connections import surroundings_of
from social_implicit_ros.ros.reporting.diagnostics import DiagnosticsLog
from social_implicit_ros.ros.reporting.reporter import Reporter
from social_implicit_ros.ros.session import Callbacks, Session, close_session, open_session
from social_implicit_ros.ros.tf import TransformListener
from social_implicit_ros.ros.timers import TickTimer, is_time_simulated, steady_timer
from social_implicit_ros.ros.trackers import Tracker
from social_implicit_ros.tracks.frames.transforms import TransformUnavailableError
from social_implicit_ros.tracks.messages.decoder import robot_from_odometry

_DIAGNOSTICS_PERIOD_S = 1.0
#: Period at which waiting tracks look up their transform again, seconds.
_TRANSFORM_PERIOD_S = 0.01


class PredictorNode(ParameterNode):
    """Subscribes to tracks, predicts at every tick, publishes the outputs with subscribers."""

    def __init__(self, **kwargs: Any) -> None:
        """Declares parameters; everything else waits for configure.

        Args:
            kwargs: arguments of `rclpy.node.Node`, such as its context.
        """
        super().__init__(NODE_NAME, **kwargs)
        self._session: Session | None = None
        self._maps = NewestJob("map")
        self._failure = ""  # why the last transition failed
        self.reporter = Reporter(
            self.get_fully_qualified_name(),
            self.get_logger(),
            self.create_publisher(DiagnosticArray, "/diagnostics", qos.diagnostics()),
        )
        self._tick_timer = TickTimer(self, self._on_timer)
        self._diagnostics_timer = steady_timer(
            self, _DIAGNOSTICS_PERIOD_S, self._on_diagnostics_timer
        )
        self._lookup = TransformListener(self).buffer
        self._transform_timer = steady_timer(self, _TRANSFORM_PERIOD_S, self._on_transform_timer)
        self._transform_timer.cancel()  # until something waits
        self._bond_timer = steady_timer(self, bond.PERIOD_S, self._on_bond_timer)
        self._reset_service = self.create_service(Trigger, "~/reset", self._on_reset)
        self._reset_calibration_service = self.create_service(
            Trigger, "~/reset_calibration", self._on_reset_calibration
        )
        never: Any = None  # valid, although Humble's annotation does not allow it
        self._jump_handle = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=never, min_backward=Duration(nanoseconds=-1)),
            post_callback=self._on_time_jump,
        )

    def autostart(self) -> None:
        """Configures and activates the node if the parameter `autostart` is true."""
        if not self.get_parameter("autostart").value:
            return
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def destroy_node(self) -> None:
        """Clears the outputs, then destroys the node."""
        # After the shutdown of the context nothing can be published.
        if self.context.ok():
            self._close_session()
        super().destroy_node()

    def _apply_changed_parameters(self, session: Session, *, wait: bool = False) -> None:
        """Applies changed parameters once they are prepared; they were checked when set."""
        with self.reporter.contained("parameters", "changed parameters cannot take effect"):
            if self.parameters_changed:
                self.parameters_changed = False
                session.preparation.begin(self.read_config(), session.config)
            prepared = session.preparation.take(wait=wait)
            if prepared is None:
                return
            before, (config, outputs) = session.config, prepared
            session.config = config
            session.predictor.reconfigure(config.predictor)
            self.reporter.state = self.reporter.state.with_config(config)
            if config.predictor.tick_rate_hz != before.predictor.tick_rate_hz:
                self._tick_timer.restart(config.predictor.tick_rate_hz)
            if outputs is not None and config.for_outputs != before.for_outputs:
                session.clear(self._now_ns())
                session.outputs = outputs

    # Transitions

    def on_configure(self, previous: LifecycleState) -> TransitionCallbackReturn:
        """Loads and warms up the model; fails with a reason that names the fix."""
        with self._reported("configure"):
            try:
                callbacks = Callbacks(
                    self._on_tracks, self._on_odometry, self._on_map, self._on_plan
                )
                session = open_session(self, self.read_config(), self._lookup, callbacks)
            except Exception as error:  # noqa: BLE001 (libraries raise errors of many kinds)
                reason = self.reporter.reason_of(error)
                self.get_logger().error(f"cannot configure: {reason}")
                self.reporter.state = NodeState("unconfigured", problem=reason)
                return TransitionCallbackReturn.FAILURE
            self._session, self.is_configured = session, True
            self.parameters_changed = False
            for name in ("fixed_frame", "publish_frame", "robot_frame"):
                self.reporter.log_slash(self.get_parameter(name).value)
            logs = {
                t.source: TrackerLog(self.resolve_topic_name(t.topic), t.decoder.spec)
                for t in session.trackers
            }
            self.reporter.log = DiagnosticsLog(logs)
            state = NodeState("inactive", model=session.predictor.model.name)
            self.reporter.state = state.with_config(session.config)
            # Excludes all imported objects from garbage collection, which would else now and then
            # take longer than a tick.
            gc.freeze()
            return super().on_configure(previous)

    def on_activate(self, previous: LifecycleState) -> TransitionCallbackReturn:
        """Starts predicting."""
        with self._reported("activate"):
            session = self._configured()
            result = super().on_activate(previous)
            session.is_active = True
            self._tick_timer.restart(session.config.predictor.tick_rate_hz)
            self._apply_changed_parameters(session, wait=True)
            session.clear(self._now_ns())
            self.reporter.log.begin()
            self.reporter.state = replace(self.reporter.state, lifecycle="active")
            topics = ", ".join(log.topic for log in self.reporter.log.trackers.values())
            self.get_logger().info(
                f"predicting with {session.predictor.model.name} in frame "
                f"{session.predictor.published_frame}: tracks of {topics}"
            )
            return result

    def on_deactivate(self, previous: LifecycleState) -> TransitionCallbackReturn:
        """Stops predicting: clears the outputs and all histories."""
        with self._reported("deactivate"):
            session = self._configured()
            self._stop(session)
            self.reporter.state = replace(self.reporter.state, lifecycle="inactive")
            return super().on_deactivate(previous)

    def on_cleanup(self, previous: LifecycleState) -> TransitionCallbackReturn:
        """Destroys everything that configure created."""
        with self._reported("clean up"):
            self._close_session()
            return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, previous: LifecycleState) -> TransitionCallbackReturn:
        """As cleanup, from any state."""
        return self.on_cleanup(previous)

    def on_error(self, previous: LifecycleState) -> TransitionCallbackReturn:
        """Returns to unconfigured, so that a lifecycle manager can try again."""
        result = self.on_cleanup(previous)
        self.reporter.state = NodeState("unconfigured", problem=self._failure)
        return result

    def _close_session(self) -> None:
        session, self._session, self.is_configured = self._session, None, False
        self.reporter.state = NodeState("unconfigured")
        if session is None:
            return
        gc.unfreeze()
        self._stop(session)
        close_session(self, session)

    def _stop(self, session: Session) -> None:
        was_active, session.is_active = session.is_active, False
        if was_active:
            # The session ends even if any of these steps fails.
            self._clear_outputs(session)
            with self.reporter.contained("calibration", "the calibration cannot be saved"):
                self._save_calibration(session)
            if session.bond is not None:
                session.bond.send(self._now_ns(), is_active=False)
        self._tick_timer.stop()
        session.predictor.reset()

    def _configured(self) -> Session:
        if self._session is None:
            raise RuntimeError("not configured")
        return self._session

    @contextmanager
    def _reported(self, transition: str) -> Iterator[None]:
        """Logs exceptions of a transition, which rclpy's lifecycle would hide."""
        try:
            yield
        except Exception as error:
            self._failure = f"cannot {transition}: {self.reporter.reason_of(error)}"
            self.get_logger().error(self._failure)
            raise

    # Tracks, ticks, time

    def _on_tracks(self, tracker: Tracker, message: Any) -> None:
        session = self._active_session()
        if session is not None:
            with self.reporter.contained("unreadable", "tracks cannot be read"):
                self._add_tracks(session, tracker, message)

    def _add_tracks(self, session: Session, tracker: Tracker, message: Any) -> None:
        started_s, now_ns, source = time.perf_counter(), self._now_ns(), tracker.source
        self.reporter.log.add_arrival(source, time.monotonic())
        decoded = tracker.decode(message)
        self.reporter.log.add_decoded(source, decoded)
        if decoded.tracks is None:
            return
        self.reporter.log_slash(decoded.frame_id)
        tracks = decoded.tracks
        if session.config.predictor.stamp_source == "arrival":
            tracks = replace(tracks, stamp_ns=now_ns)
        update = session.predictor.add_tracks(tracks, decoded.frame_id, now_ns, source=source)
        if update.is_accepted:
            self.reporter.log.add_message(source, tracks)
        self._handle_update(session, update, started_s)

    def _on_odometry(self, message: Odometry) -> None:
        session = self._active_session()
        if session is not None:
            with self.reporter.contained("odometry", "odometry cannot be read"):
                started_s, robot = time.perf_counter(), robot_from_odometry(message)
                self.reporter.log_slash(message.header.frame_id)
                update = session.predictor.add_robot(robot, message.header.frame_id, self._now_ns())
                self._handle_update(session, update, started_s)

    def _on_map(self, message: OccupancyGrid) -> None:
        session = self._session
        if session is None:
            return
        predictor = session.predictor

        def load() -> None:
            with self.reporter.contained("map", "the map cannot be used"):
                predictor.floor_plan = floor_plan_from_grid(message).prepare()

        # The distances from the walls of a large map take longer than a tick.
        self._maps.begin(load)

    def _on_plan(self, decoder: PlanDecoder, message: bytes) -> None:
        session = self._active_session()
        if session is not None:
            session.predictor.robot_plan = None
            with self.reporter.contained("plan", "the robot's plan cannot be used"):
                session.predictor.robot_plan = decoder.decode(message, self._now_ns())

    def _on_transform_timer(self) -> None:
        session = self._active_session()
        if session is not None:
            with self.reporter.contained("transform", "waiting tracks cannot be transformed"):
                started_s = time.perf_counter()
                self._handle_update(session, session.predictor.poll(self._now_ns()), started_s)

    def _on_bond_timer(self) -> None:
        session = self._active_session()
        if session is not None and session.bond is not None:
            session.bond.send(self._now_ns(), is_active=True)

    def _on_timer(self) -> None:
        self._tick(self._configured(), self._now_ns(), time.perf_counter())

    def _handle_update(self, session: Session, update: Update, started_s: float) -> None:
        """Reports the outcome of messages, and publishes a forecast if one is due."""
        if update.jumped_back:
            self._report_reset(session, "time jumped back in the tracks' stamps")
        self.reporter.log.add_update(update)
        self.reporter.pass_on(update.refusals, update.corrections)
        if update.tick_ns is not None:
            self._tick(session, update.tick_ns, started_s)
        if session.predictor.n_waiting:
            self._transform_timer.reset()
        else:
            self._transform_timer.cancel()

    def _tick(self, session: Session, stamp_ns: int, started_s: float) -> None:
        predictor = session.predictor
        self._apply_changed_parameters(session)
        try:
            forecast, corrections = predictor.published(predictor.tick(stamp_ns))
            session.publish(forecast)
        except TransformUnavailableError as error:
            # Without the transform, positions in the published frame are unknown.
            reason = f"nothing is published in frame {predictor.published_frame}: {error}"
            self.reporter.refuse("publish_frame", reason)
            self._clear_outputs(session)
            return
        except Exception as error:  # noqa: BLE001 (onnxruntime has exceptions of its own)
            reason = f"nobody is predicted: {self.reporter.reason_of(error)}"
            self.reporter.log.add_failed_tick(reason)
            self.reporter.warn("tick", reason)
            # Planners must not keep using the previous predictions.
            self._clear_outputs(session)
            return
        self.reporter.pass_on(predictor.refusals, corrections)
        if session.config.predictor.robot != "none" and forecast.robot_m is None:
            self.reporter.log.events.robot_lost = True
        duration_s = time.perf_counter() - started_s
        self.reporter.log.add_tick(
            duration_s, predictor.n_tracked, forecast.skipped.values(), len(forecast.ids)
        )
        # After publishing, so that the evaluation does not delay it.
        with self.reporter.contained("evaluation", "predictions cannot be evaluated"):
            predictor.evaluate()

    def _active_session(self) -> Session | None:
        session = self._session
        return session if session is not None and session.is_active else None

    def _now_ns(self) -> int:
        now_ns: int = self.get_clock().now().nanoseconds
        return now_ns

    def _on_time_jump(self, jump: TimeJump) -> None:
        session = self._session
        if session is None:
            return
        if self._tick_timer.is_running:  # use_sim_time may have changed
            self._tick_timer.restart(session.config.predictor.tick_rate_hz)
        if jump.delta.nanoseconds < 0:
            self.reporter.log.events.n_jumps_back += 1
        if session.predictor.clock_jumped_back(self._now_ns()):
            session.predictor.reset()
            self._lookup.clear()
            self._report_reset(session, "the clock jumped back")

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        session = self._active_session()
        if session is None:
            response.message = f"nothing to reset: the node is {self.reporter.state.lifecycle}"
            return response
        n_tracked = len(session.predictor.history)
        session.predictor.reset()
        self._report_reset(session)
        response.success = True
        response.message = f"the histories of {n_tracked} agents are cleared"
        return response

    def _on_reset_calibration(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        session = self._session
        if session is None or session.keeper is None:
            reason = f"the node is {self.reporter.state.lifecycle}"
            if session is not None:
                reason = "the parameter adaptive_calibration is false"
            response.message = f"nothing to reset: {reason}"
            return response
        problem = session.keeper.reset()
        # Predictions made with the old calibration must not be scored for the new one.
        session.predictor.evaluation.reset()
        response.success = not problem
        response.message = problem or "the calibration is reset to that of the model"
        return response

    def _report_reset(self, session: Session, reason: str = "") -> None:
        """Counts a reset of all histories, and clears the outputs."""
        if reason:
            self.get_logger().warning(f"{reason}: all histories are cleared")
        self.reporter.log.add_reset()
        session.clear(self._now_ns())

    # Publishing

    def _on_diagnostics_timer(self) -> None:
        # If no ticks run, changed parameters take effect here.
        active, statuses = self._active_session(), []
        if active is not None:
            self._apply_changed_parameters(active)
            self._clear_outdated(active)
        with self.reporter.contained("connections", "connections cannot be checked"):
            self.reporter.log.surroundings = self._surroundings()
        if active is not None:
            with self.reporter.contained("self-evaluation", "predictions cannot be evaluated"):
                if active.keeper is not None and active.keeper.is_due(time.monotonic()):
                    self._save_calibration(active)
                statuses.append(active.publish_metrics(self.get_fully_qualified_name()))
        with self.reporter.contained("report", "the status cannot be published"):
            if active is not None:
                self.reporter.take_counts(active.predictor)
            self.reporter.publish(self._now_ns(), statuses)

    def _surroundings(self) -> Surroundings:
        s = self._session
        return surroundings_of(self, *((s.subscriptions, s.publishers.values()) if s else ((), ())))

    def _save_calibration(self, session: Session) -> None:
        """Writes the adaptive calibration if it changed; a failure is logged."""
        problem = "" if session.keeper is None else session.keeper.save(time.monotonic())
        if problem:
            self.get_logger().warning(problem)

    def _clear_outputs(self, session: Session) -> None:
        """Clears the outputs; a failure is logged."""
        with self.reporter.contained("clear", "outputs cannot be cleared"):
            session.clear(self._now_ns())

    def _clear_outdated(self, session: Session) -> None:
        """If messages trigger the ticks, clears the outputs once the messages stop."""
        if session.shown_s is None or self._tick_timer.is_running or is_time_simulated(self):
            return
        if time.monotonic() - session.shown_s > session.predictor.track_timeout_s:
            self._clear_outputs(session)
