"""The lifecycle node: tracks in, predicted futures out."""

from __future__ import annotations

import gc
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import (
    LifecycleNode,
    LifecyclePublisher,
    LifecycleState,
    TransitionCallbackReturn,
)
from rclpy.parameter import Parameter
from rclpy.subscription import Subscription
from rclpy.timer import Timer
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from social_implicit_ros.models.base import TrajectoryModel
from social_implicit_ros.parameter_spec import ParameterError
from social_implicit_ros.prediction.forecast import Forecast, forecast_from_tick
from social_implicit_ros.prediction.online_evaluation import SelfEvaluation
from social_implicit_ros.prediction.pipeline import PipelineConfig, PredictionPipeline
from social_implicit_ros.prediction.resample import Steps
from social_implicit_ros.ros import parameters, qos
from social_implicit_ros.ros.calibration_keeper import CalibrationKeeper, calibration_path
from social_implicit_ros.ros.connections import broken_connections
from social_implicit_ros.ros.diagnostics import DiagnosticsLog, NodeState
from social_implicit_ros.ros.messages import robot_from_odometry, stamp_to_msg
from social_implicit_ros.ros.online_evaluation_messages import (
    METRICS_TOPIC,
    metrics_to_msg,
    radius_factors,
    scores_to_status,
)
from social_implicit_ros.ros.outputs.base import Output
from social_implicit_ros.ros.outputs.registry import load_output
from social_implicit_ros.ros.tf import FrameMover, Tf2Lookup, TransformMissingError
from social_implicit_ros.ros.trackers import Tracker, load_trackers
from social_implicit_ros.settings import NodeConfig
from social_implicit_ros.tracks.agent_ids import ROBOT_ID, AgentNumbers
from social_implicit_ros.tracks.stamp_guard import StampGuard, StampVerdict
from social_implicit_ros.types import SkipReason, Tracks
from social_implicit_ros.uncertainty.storage import AdaptedModel

ODOMETRY_TOPIC = "~/odometry"
_DIAGNOSTICS_PERIOD_S = 1.0
_WARNING_PERIOD_S = 5.0
#: How often tracks that wait for a transform ask for it.
_TRANSFORM_PERIOD_S = 0.01
#: How long a signal may wait for a node that has nothing to do.
_POLL_S = 0.1

#: Verdict on a message's stamp -> reason of its agents, and what to tell the user.
_REFUSED_STAMPS = {
    StampVerdict.NO_STAMP: (
        SkipReason.NO_STAMP,
        "tracks without a time: the tracker must set header.stamp",
    ),
    StampVerdict.FUTURE: (
        SkipReason.FUTURE_STAMP,
        "tracks from the future: their header.stamp is ahead of this node's clock by more than "
        "track_timeout_s; synchronise the clocks, or set use_sim_time in a replay",
    ),
    StampVerdict.LATE: (
        SkipReason.OUT_OF_ORDER,
        "tracks older than the newest by more than track_timeout_s",
    ),
}


@dataclass
class _Session:
    """Everything that configure makes and cleanup destroys."""

    config: NodeConfig
    pipeline: PredictionPipeline
    guard: StampGuard
    odometry_guard: StampGuard
    numbers: AgentNumbers
    steps: Steps
    outputs: dict[str, Output]
    publishers: dict[str, LifecyclePublisher]
    subscriptions: list[Subscription]
    timer: Timer | None
    evaluation: SelfEvaluation
    keeper: CalibrationKeeper | None
    metrics: LifecyclePublisher
    mover: FrameMover | None = None
    is_active: bool = False

    def forget(self) -> None:
        """Empties the histories, and what waits to enter them; any time may come next."""
        self.odometry_guard.reset()
        self.pipeline.reset()
        self.evaluation.forget()
        if self.mover is not None:
            self.mover.reset()


class PredictorNode(LifecycleNode):
    """Subscribes to tracks, predicts at every tick, publishes what is listened to."""

    def __init__(self, **kwargs: Any) -> None:
        """Declares parameters; everything else waits for configure.

        Args:
            kwargs: of `rclpy.node.Node`, such as its context.
        """
        super().__init__(
            "predictor", automatically_declare_parameters_from_overrides=True, **kwargs
        )
        self._session: _Session | None = None
        self._parameters_changed = False
        self._bad_overrides = self._declare_parameters()
        #: What diagnostics say of the node, a failed configure's reason included.
        self.state = NodeState("unconfigured")
        self._log = DiagnosticsLog()
        self._warned_s: dict[str, float] = {}  # kind of refusal -> steady time of its last warning
        self._diagnostics = self.create_publisher(
            DiagnosticArray, "/diagnostics", qos.diagnostics()
        )
        # Steady, so that reports go on while simulated time stands still.
        self._diagnostics_timer = self.create_timer(
            _DIAGNOSTICS_PERIOD_S,
            self._publish_diagnostics,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        self._lookup: Tf2Lookup | None = None
        self._transform_timer = self.create_timer(
            _TRANSFORM_PERIOD_S,
            self._enter_moved,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        self._transform_timer.cancel()  # until something waits
        self._reset_service = self.create_service(Trigger, "~/reset", self._on_reset)
        self._reset_calibration_service = self.create_service(
            Trigger, "~/reset_calibration", self._on_reset_calibration
        )
        at_no_jump_forward: Any = None  # which Humble's annotation leaves out
        self._jump_handle = self.get_clock().create_jump_callback(
            JumpThreshold(min_forward=at_no_jump_forward, min_backward=Duration(nanoseconds=-1)),
            post_callback=self._on_time_jump,
        )
        self.add_on_set_parameters_callback(self._on_set_parameters)

    def autostart(self) -> None:
        """Configures and activates, where the parameter `autostart` says so."""
        if not self.get_parameter("autostart").value:
            return
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def destroy_node(self) -> None:
        """Takes away what is shown, then destroys the node."""
        # Without a context nothing can be published any more.
        if self.context.ok():
            self._close_session()
        super().destroy_node()

    # Parameters

    def _declare_parameters(self) -> dict[str, str]:
        """Declares the table; returns what is wrong with values given at start, by name.

        A bad value must not end the process before it can say so: the default takes its place,
        and configure fails until it is set right.
        """
        overrides = self._parameters_below("")
        for line in parameters.unknown_parameters(overrides):
            self.get_logger().warning(line)
        bad_overrides = {}
        for spec in parameters.PARAMETERS:
            value = spec.default
            if spec.name in overrides:
                self.undeclare_parameter(spec.name)
                try:
                    value = spec.check(overrides[spec.name].value)
                except ParameterError as error:
                    bad_overrides[spec.name] = str(error)
            self.declare_parameter(
                spec.name,
                list(value) if isinstance(value, tuple) else value,
                parameters.descriptor_of(spec),
                ignore_override=True,
            )
        return bad_overrides

    def _parameters_below(self, prefix: str) -> dict[str, Parameter]:
        # Jazzy's annotation says that these are values.
        found: dict[str, Any] = dict(self.get_parameters_by_prefix(prefix))
        return found

    def _values(self) -> dict[str, object]:
        return {spec.name: self.get_parameter(spec.name).value for spec in parameters.PARAMETERS}

    def _read_config(self) -> NodeConfig:
        if self._bad_overrides:
            raise ParameterError("; ".join(self._bad_overrides.values()))
        for name, parameter in self._parameters_below("qos_overrides").items():
            qos.check_override(f"qos_overrides.{name}", parameter.value)
        return parameters.config_from_values(self._values())

    def _on_set_parameters(self, changed: list[Parameter]) -> SetParametersResult:
        changes = {parameter.name: parameter.value for parameter in changed}
        try:
            for name, value in changes.items():
                if name.startswith("qos_overrides."):
                    qos.check_override(name, value)
            parameters.check_change(
                self._values(), changes, is_configured=self._session is not None
            )
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        for name in changes:
            self._bad_overrides.pop(name, None)
        self._parameters_changed = True
        return SetParametersResult(successful=True)

    def _apply_changed_parameters(self, session: _Session) -> None:
        """Takes over what was set since the last tick; the values were checked when set."""
        self._parameters_changed = False
        before, config = session.config, self._read_config()
        session.config = config
        session.pipeline.reconfigure(config.pipeline)
        session.evaluation.window_s = config.self_evaluation_window_s
        for guard in (session.guard, session.odometry_guard):
            guard.tolerance_s = config.pipeline.track_timeout_s
        self.state = _state_with(self.state, config)
        if config.tick_rate_hz != before.tick_rate_hz:
            self._destroy_timer(session)
            session.timer = self._make_timer(config)
        if config.for_outputs != before.for_outputs:
            self._clear_outputs(session)
            session.outputs = {name: load_output(name, config) for name in config.outputs}

    # Transitions

    def on_configure(self, previous: LifecycleState) -> TransitionCallbackReturn:
        """Loads and warms up the model; fails with a reason that says how to mend it."""
        with self._told_traceback():
            try:
                config = self._read_config()
                trackers = load_trackers(config.tracker)
                model = _load_model(config.model)
                steps = Steps.within(
                    model.step_s,
                    model.n_predicted,
                    step_s=config.time_step_s,
                    horizon_s=config.horizon_s,
                )
                outputs = {name: load_output(name, config) for name in config.outputs}
                _warm_up(config, model, steps, outputs)
            except ValueError as error:
                self.get_logger().error(f"cannot configure: {error}")
                self.state = NodeState("unconfigured", problem=str(error))
                return TransitionCallbackReturn.FAILURE
            self._session = self._open_session(config, trackers, model, steps, outputs)
            self._parameters_changed = False
            self._log.reset()
            topic = ", ".join(self.resolve_topic_name(tracker.topic) for tracker in trackers)
            state = NodeState("inactive", model=model.name, tracks_topic=topic)
            self.state = _state_with(state, config)
            # Else Python looks through all that was imported now and then, for longer than a tick.
            gc.freeze()
            return super().on_configure(previous)

    def on_activate(self, previous: LifecycleState) -> TransitionCallbackReturn:
        """Opens the gate."""
        with self._told_traceback():
            session = self._configured()
            result = super().on_activate(previous)
            session.is_active = True
            session.timer = self._make_timer(session.config)
            if self._parameters_changed:
                self._apply_changed_parameters(session)
            self._clear_outputs(session)
            self._log.begin_period(None)
            self.state = replace(self.state, lifecycle="active")
            self.get_logger().info(
                f"predicting with {session.pipeline.model.name} what arrives on "
                f"{self.state.tracks_topic} in frame {session.config.fixed_frame}"
            )
            return result

    def on_deactivate(self, previous: LifecycleState) -> TransitionCallbackReturn:
        """Closes the gate and takes away what is shown; histories are not kept, as time goes on."""
        with self._told_traceback():
            session = self._configured()
            self._close_gate(session)
            self.state = replace(self.state, lifecycle="inactive")
            return super().on_deactivate(previous)

    def on_cleanup(self, previous: LifecycleState) -> TransitionCallbackReturn:
        """Lets go of the model and of everything that configure made."""
        with self._told_traceback():
            self._close_session()
            return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, previous: LifecycleState) -> TransitionCallbackReturn:
        """As cleanup, from any state."""
        return self.on_cleanup(previous)

    def on_error(self, previous: LifecycleState) -> TransitionCallbackReturn:
        """Back to unconfigured, so that a manager may try again."""
        return self.on_cleanup(previous)

    def _open_session(
        self,
        config: NodeConfig,
        trackers: list[Tracker],
        model: TrajectoryModel,
        steps: Steps,
        outputs: dict[str, Output],
    ) -> _Session:
        publishers: dict[str, LifecyclePublisher] = {
            name: self.create_lifecycle_publisher(
                output.message_class,
                output.topic,
                output.qos(),
                qos_overriding_options=qos.overridable(),
            )
            for name, output in outputs.items()
        }
        subscriptions: list[Subscription] = [
            self.create_subscription(
                tracker.message_class,
                tracker.topic,
                partial(self._on_tracks, tracker),
                qos.tracks(),
                raw=tracker.is_raw,
                qos_overriding_options=qos.overridable(),
            )
            for tracker in trackers
        ]
        if config.robot == "odometry":
            subscriptions.append(
                self.create_subscription(
                    Odometry, ODOMETRY_TOPIC, self._on_odometry, qos.odometry()
                )
            )
        keeper = self._open_calibration(config, model) if config.adaptive_calibration else None
        pipeline = PredictionPipeline(
            model, config.pipeline, None if keeper is None else keeper.adaptive
        )
        return _Session(
            config=config,
            pipeline=pipeline,
            evaluation=SelfEvaluation(pipeline, window_s=config.self_evaluation_window_s),
            keeper=keeper,
            metrics=self.create_lifecycle_publisher(
                Float64MultiArray, METRICS_TOPIC, qos.diagnostics()
            ),
            guard=StampGuard(config.pipeline.track_timeout_s),
            odometry_guard=StampGuard(config.pipeline.track_timeout_s),
            numbers=AgentNumbers(),
            steps=steps,
            outputs=outputs,
            publishers=publishers,
            subscriptions=subscriptions,
            timer=None,
        )

    def _open_calibration(self, config: NodeConfig, model: TrajectoryModel) -> CalibrationKeeper:
        # Imports onnxruntime, see _load_model.
        from social_implicit_ros.models.registry import fingerprint_of

        name = self.get_fully_qualified_name()
        path = calibration_path(config.calibration_file, name, model.name, os.environ)
        adapted = AdaptedModel(model.name, fingerprint_of(model), model.n_predicted)
        keeper = CalibrationKeeper(path, adapted)
        problem = keeper.load()
        if problem:
            self.get_logger().warning(problem)
        elif keeper.adaptive.learnt.seconds > 0.0:
            self.get_logger().info(f"ellipses begin with what was learnt before: {path}")
        return keeper

    def _save_calibration(self, session: _Session) -> None:
        """Writes what was learnt, where there is anything new; what fails is told, no more."""
        if session.keeper is not None:
            problem = session.keeper.save(time.monotonic())
            if problem:
                self.get_logger().warning(problem)

    def _close_session(self) -> None:
        session, self._session = self._session, None
        self.state = NodeState("unconfigured")
        if session is None:
            return
        gc.unfreeze()
        self._close_gate(session)
        for subscription in session.subscriptions:
            self.destroy_subscription(subscription)
        for publisher in session.publishers.values():
            self.destroy_lifecycle_publisher(publisher)
        self.destroy_lifecycle_publisher(session.metrics)

    def _close_gate(self, session: _Session) -> None:
        if session.is_active:
            self._clear_outputs(session)
            self._save_calibration(session)
        session.is_active = False
        self._destroy_timer(session)
        session.forget()
        session.guard.reset()

    def _configured(self) -> _Session:
        if self._session is None:
            raise RuntimeError("not configured")
        return self._session

    @contextmanager
    def _told_traceback(self) -> Iterator[None]:
        """Logs what rclpy's lifecycle swallows: an exception in a transition."""
        try:
            yield
        except Exception:
            self.get_logger().error(traceback.format_exc())
            raise

    # Tracks, ticks, time

    def _on_tracks(self, tracker: Tracker, message: Any) -> None:
        session = self._session
        if session is None or not session.is_active:
            return
        started_s = time.perf_counter()
        decoded = self._decoded(session, tracker, message)
        if decoded is not None:
            self._place(session, *decoded, started_s)

    def _on_odometry(self, message: Odometry) -> None:
        session = self._session
        if session is None or not session.is_active:
            return
        robot = robot_from_odometry(message)
        now_ns = self.get_clock().now().nanoseconds
        verdict = session.odometry_guard.judge(robot.stamp_ns, now_ns)
        if verdict in _REFUSED_STAMPS:
            _, why = _REFUSED_STAMPS[verdict]
            self._refuse("odometry", f"odometry is refused as would be {why}")
            return
        self._place(session, robot, message.header.frame_id, time.perf_counter())

    def _place(self, session: _Session, tracks: Tracks, frame_id: str, started_s: float) -> None:
        """Into the histories at once, or when the transform into the fixed frame is known."""
        if frame_id == session.config.fixed_frame:
            self._enter(session, tracks, started_s)
            return
        mover = self._mover(session, frame_id)
        if mover is None:
            self._log.add_skipped([SkipReason.NO_TRANSFORM] * len(tracks.ids))
            return
        mover.add(tracks, frame_id, time.monotonic())
        self._enter_moved()

    def _enter(self, session: _Session, tracks: Tracks, started_s: float) -> None:
        self._log.add_skipped(session.pipeline.update(tracks).values())
        is_newest = tracks.stamp_ns == session.guard.newest_ns and ROBOT_ID not in tracks.ids
        if session.timer is None and is_newest:
            self._tick(session, tracks.stamp_ns, started_s)

    def _enter_moved(self) -> None:
        """Lets in what has its transform by now; tells of what has waited in vain."""
        session = self._session
        if session is None or session.mover is None:
            return
        moved, given_up = session.mover.take(time.monotonic())
        for tracks in moved:
            self._enter(session, tracks, time.perf_counter())
        for tracks, why in given_up:
            self._log.add_skipped([SkipReason.NO_TRANSFORM] * len(tracks.ids))
            self._refuse(SkipReason.NO_TRANSFORM, f"tracks without a transform are skipped: {why}")
        if len(session.mover):
            self._transform_timer.reset()
        else:
            self._transform_timer.cancel()

    def _mover(self, session: _Session, frame_id: str) -> FrameMover | None:
        """The way into the fixed frame; None, told, where tf2 is not installed."""
        if session.mover is None:
            # tf2 listens to every transform of the robot: not before a message needs one.
            lookup = self._transforms()
            if lookup is None:
                self._refuse(
                    SkipReason.NO_TRANSFORM,
                    f"tracks arrive in frame {frame_id!r}, not in {session.config.fixed_frame!r}, "
                    "and tf2_ros is not installed: install ros-$ROS_DISTRO-tf2-ros-py, set "
                    "fixed_frame to the tracks' frame, or have the tracker publish there",
                )
                return None
            config = session.config
            session.mover = FrameMover(lookup, config.fixed_frame, config.transform_wait_s)
        return session.mover

    def _transforms(self) -> Tf2Lookup | None:
        if self._lookup is None:
            try:
                self._lookup = Tf2Lookup(self)
            except ImportError:
                return None
        return self._lookup

    def _locate_robot(self, session: _Session) -> None:
        config = session.config
        lookup = self._transforms()
        if lookup is None:
            self._refuse("robot", "robot is tf, but tf2_ros is not installed")
            return
        try:
            pose, stamp_ns = lookup.latest(config.fixed_frame, config.robot_frame)
        except TransformMissingError as error:
            self._refuse("robot", f"the robot's pose is not known: {error}")
            return
        session.pipeline.update(
            Tracks(stamp_ns, (ROBOT_ID,), pose.translation_m[None, :2], pose.translation_m[2:])
        )

    def _on_timer(self) -> None:
        now_ns = self.get_clock().now().nanoseconds
        self._tick(self._configured(), now_ns, time.perf_counter())

    def _tick(self, session: _Session, stamp_ns: int, started_s: float) -> None:
        if self._parameters_changed:
            self._apply_changed_parameters(session)
        if session.config.robot == "tf":
            self._locate_robot(session)
        try:
            tick = session.pipeline.tick(stamp_ns)
        except ValueError as error:
            # Whoever plans shall not go on with futures of a tick ago.
            self._clear_outputs(session)
            self._log.add_failed_tick(f"nobody is predicted: {error}")
            self._warn("tick", f"nobody is predicted: {error}")
            return
        forecast = forecast_from_tick(
            tick, session.numbers, session.steps, session.config.fixed_frame
        )
        self._publish(session, forecast)
        self._log.add_skipped(forecast.skipped.values())
        self._log.add_tick(
            time.perf_counter() - started_s, session.pipeline.n_tracked, len(forecast.ids)
        )
        # After publishing, which it shall not delay.
        session.evaluation.observe(tick)

    def _decoded(
        self, session: _Session, tracker: Tracker, message: Any
    ) -> tuple[Tracks, str] | None:
        """Tracks and their frame; None, counted and told, where a message may not be used."""
        try:
            decoded = tracker.decode(message)
        except ValueError as error:
            self._refuse("unreadable", f"tracks cannot be read: {error}")
            return None
        self._log.add_skipped(decoded.skipped.elements())
        tracks, frame_id = decoded.tracks, decoded.frame_id
        if tracks is None:
            self._log.add_message(None, time.monotonic())
            return None
        verdict = session.guard.judge(tracks.stamp_ns, self.get_clock().now().nanoseconds)
        if verdict in _REFUSED_STAMPS:
            reason, why = _REFUSED_STAMPS[verdict]
            self._log.add_skipped([reason] * len(tracks.ids))
            self._refuse(reason, why)
            return None
        if verdict is StampVerdict.JUMPED_BACK:
            self.get_logger().warning(
                "time jumped back in the tracks' stamps: all histories are forgotten"
            )
            self._forget(session)
        self._log.add_message(tracks.stamp_ns, time.monotonic())
        return tracks, frame_id

    def _refuse(self, kind: str, why: str) -> None:
        """Counts a message that was refused, and warns of each kind now and then."""
        self._log.add_refusal(why, time.monotonic())
        self._warn(kind, why)

    def _warn(self, kind: str, why: str) -> None:
        now_s = time.monotonic()
        if now_s - self._warned_s.get(kind, -_WARNING_PERIOD_S) >= _WARNING_PERIOD_S:
            self._warned_s[kind] = now_s
            self.get_logger().warning(why)

    def _on_time_jump(self, jump: TimeJump) -> None:
        now_ns = self.get_clock().now().nanoseconds
        session = self._session
        if session is not None and session.guard.clock_jumped_back(now_ns):
            self.get_logger().warning("the clock jumped back: all histories are forgotten")
            session.guard.reset()
            self._forget(session)

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        session = self._session
        if session is None or not session.is_active:
            response.message = f"nothing to forget: the node is {self.state.lifecycle}"
            return response
        n_tracked = session.pipeline.n_tracked
        session.guard.reset()
        self._forget(session)
        response.success = True
        response.message = f"forgot {n_tracked} agents"
        return response

    def _on_reset_calibration(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        session = self._session
        if session is None or session.keeper is None:
            response.message = (
                f"nothing to forget: the node is {self.state.lifecycle}"
                if session is None
                else "nothing to forget: the parameter adaptive_calibration is false"
            )
            return response
        problem = session.keeper.reset()
        # Predictions that were made with what is forgotten say nothing of what comes now.
        session.evaluation.forget()
        response.success = not problem
        response.message = problem or "ellipses are the model's own again, and learn anew"
        return response

    def _forget(self, session: _Session) -> None:
        session.forget()
        self._log.add_reset()
        self._clear_outputs(session)

    # Publishing

    def _publish(self, session: _Session, forecast: Forecast) -> None:
        for name, publisher in session.publishers.items():
            if publisher.get_subscription_count() > 0:
                publisher.publish(session.outputs[name].render(forecast))

    def _clear_outputs(self, session: _Session) -> None:
        stamp_ns = self.get_clock().now().nanoseconds
        for name, publisher in session.publishers.items():
            message = session.outputs[name].clear(stamp_ns)
            if message is not None:
                publisher.publish(message)

    def _publish_diagnostics(self) -> None:
        # Where nothing ticks, this is when changed parameters take effect.
        if self._parameters_changed and self._session is not None and self._session.is_active:
            self._apply_changed_parameters(self._session)
        self._check_connections()
        now_ns = self.get_clock().now().nanoseconds
        report = DiagnosticArray()
        report.header.stamp = stamp_to_msg(now_ns)
        report.status = [
            self._log.report(self.get_fully_qualified_name(), self.state, now_ns, time.monotonic())
        ]
        session = self._session
        if session is not None and session.is_active:
            report.status.append(self._self_evaluated(session))
        self._diagnostics.publish(report)

    def _check_connections(self) -> None:
        session = self._session
        if session is None:
            return
        broken = broken_connections(self, session.subscriptions, session.publishers.values())
        self._log.broken_connections = broken
        if broken:
            self._warn("connection", broken[0])

    def _self_evaluated(self, session: _Session) -> DiagnosticStatus:
        """Publishes how good predictions were lately, and returns it in words."""
        config, keeper = session.config, session.keeper
        if keeper is not None and keeper.is_due(time.monotonic()):
            self._save_calibration(session)
        scores = session.evaluation.recent()
        factors = radius_factors(session.pipeline.adaptive, len(scores.times_s), scores.confidence)
        if session.metrics.get_subscription_count() > 0:
            session.metrics.publish(metrics_to_msg(scores, factors))
        return scores_to_status(
            self.get_fully_qualified_name(),
            scores,
            factors,
            tolerance=config.coverage_tolerance,
            window_s=config.self_evaluation_window_s,
            calibration="off" if keeper is None else keeper.state,
        )

    def _make_timer(self, config: NodeConfig) -> Timer | None:
        if config.tick_rate_hz == 0:
            return None
        return self.create_timer(1.0 / config.tick_rate_hz, self._on_timer)

    def _destroy_timer(self, session: _Session) -> None:
        if session.timer is not None:
            self.destroy_timer(session.timer)
            session.timer = None


def _state_with(state: NodeState, config: NodeConfig) -> NodeState:
    return replace(
        state,
        tick_rate_hz=config.tick_rate_hz,
        track_timeout_s=config.pipeline.track_timeout_s,
    )


def _load_model(name: str) -> TrajectoryModel:
    """Loads a model.

    Raises:
        ValueError: it cannot be loaded; the message says how to mend it.
    """
    try:
        # Imports onnxruntime, which a node that only shows its parameters need not have.
        from social_implicit_ros.models.registry import load_model
    except ImportError as error:
        raise ValueError(
            f"models need onnxruntime, which cannot be imported ({error}): pip install onnxruntime"
        ) from error
    return load_model(name)


def _warm_up(
    config: NodeConfig, model: TrajectoryModel, steps: Steps, outputs: dict[str, Output]
) -> None:
    """Goes through a tick once, so that the first one is no slower and what fails, fails here.

    Raises:
        ValueError: the model cannot be run; the message says how to mend it.
    """
    pipeline = PredictionPipeline(model, PipelineConfig(n_samples=config.pipeline.n_samples))
    for stamp_ns in (1, 100_000_000):
        pipeline.update(Tracks(stamp_ns, ("one", "two"), np.eye(2)))
    tick = pipeline.tick(100_000_000)
    forecast = forecast_from_tick(tick, AgentNumbers(), steps, config.fixed_frame)
    for output in outputs.values():
        output.render(forecast)
        output.clear(forecast.stamp_ns)
