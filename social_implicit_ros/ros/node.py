"""The lifecycle node: subscribes to tracks and publishes predictions."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from std_srvs.srv import Trigger

from social_implicit_ros.prediction.health.snapshot import NodeState, Surroundings
from social_implicit_ros.prediction.health.tracker_log import TrackerLog
from social_implicit_ros.prediction.replay_settings import NODE_NAME
from social_implicit_ros.ros import bond, qos
from social_implicit_ros.ros.parameter_node import ParameterNode
from social_implicit_ros.ros.reporting.connections import surroundings_of
from social_implicit_ros.ros.reporting.diagnostics import DiagnosticsLog
from social_implicit_ros.ros.reporting.reporter import Reporter
from social_implicit_ros.ros.session import Session
from social_implicit_ros.ros.session_setup import close_session, open_session
from social_implicit_ros.ros.tf import TransformListener
from social_implicit_ros.ros.timers import is_time_simulated, steady_timer

_DIAGNOSTICS_PERIOD_S = 1.0


class PredictorNode(ParameterNode):
    """Subscribes to tracks, predicts at every tick, publishes the outputs with subscribers."""

    def __init__(self, **kwargs: Any) -> None:
        """Declares parameters; everything else waits for configure.

        Args:
            kwargs: arguments of `rclpy.node.Node`, such as its context.
        """
        super().__init__(NODE_NAME, **kwargs)
        self._session: Session | None = None
        self._failure = ""  # why the last transition failed
        self.reporter = Reporter(
            self.get_fully_qualified_name(),
            self.get_logger(),
            self.create_publisher(DiagnosticArray, "/diagnostics", qos.diagnostics()),
        )
        self._diagnostics_timer = steady_timer(
            self, _DIAGNOSTICS_PERIOD_S, self._on_diagnostics_timer
        )
        self._lookup = TransformListener(self).buffer
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

    # Transitions

    def on_configure(self, previous: LifecycleState) -> TransitionCallbackReturn:
        """Loads and warms up the model; fails with a reason that names the fix."""
        with self._reported("configure"):
            try:
                session = open_session(
                    self, self.reporter, self._now_ns, self.read_config(), self._lookup
                )
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
            session.start()
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
            self._configured().stop()
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
        session.stop()
        close_session(self, session)
        # The session, its timers and their callbacks refer to each other, and would stay in memory.
        del session
        gc.collect()

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

    # Timers and time

    def _on_bond_timer(self) -> None:
        if self._session is not None:
            self._session.send_heartbeat()

    def _on_diagnostics_timer(self) -> None:
        active, statuses = self._active_session(), []
        if active is not None:
            # If no ticks run, changed parameters take effect here.
            active.apply_changed_parameters()
            if not is_time_simulated(self):
                active.clear_outdated()
        with self.reporter.contained("connections", "connections cannot be checked"):
            self.reporter.log.surroundings = self._surroundings()
        if active is not None:
            with self.reporter.contained("self-evaluation", "predictions cannot be evaluated"):
                statuses.append(active.self_evaluation(self.get_fully_qualified_name()))
        with self.reporter.contained("report", "the status cannot be published"):
            if active is not None:
                self.reporter.take_counts(active.predictor)
            self.reporter.publish(self._now_ns(), statuses)

    def _surroundings(self) -> Surroundings:
        s = self._session
        return surroundings_of(self, *((s.subscriptions, s.publishers.values()) if s else ((), ())))

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
        if session.tick_timer.is_running:  # use_sim_time may have changed
            session.tick_timer.restart(session.config.predictor.tick_rate_hz)
        if jump.delta.nanoseconds < 0:
            self.reporter.log.events.n_jumps_back += 1
        if session.predictor.clock_jumped_back(self._now_ns()):
            self._lookup.clear()
            session.reset("the clock jumped back")

    # Services

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        session = self._active_session()
        if session is None:
            response.message = f"nothing to reset: the node is {self.reporter.state.lifecycle}"
            return response
        n_tracked = len(session.predictor.history)
        session.reset()
        response.success = True
        response.message = f"the histories of {n_tracked} agents are cleared"
        return response

    def _on_reset_calibration(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        if self._session is None:
            response.message = f"nothing to reset: the node is {self.reporter.state.lifecycle}"
            return response
        problem = self._session.reset_calibration()
        response.success = not problem
        response.message = problem or "the calibration is reset to that of the model"
        return response
