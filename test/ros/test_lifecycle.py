"""Configure, activate, deactivate, clean up, shut down, and end: each does what it says."""

from __future__ import annotations

import gc
import itertools
import re
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import ClockType
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import PointCloud2
from support.ros import PATIENCE_S, NodeUnderTest, Peer
from support.tracks import S, walkers_at
from visualization_msgs.msg import MarkerArray

from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.prediction.predictor import Predictor
from social_implicit_ros.ros.node import PredictorNode
from social_implicit_ros.ros.outputs.markers import Markers
from social_implicit_ros.ros.processes.domains import reserve_domain
from social_implicit_ros.ros.reporting.connections import surroundings_of
from social_implicit_ros.ros.session import Session
from social_implicit_ros.tracks.messages.point_cloud import point_cloud_array
from social_implicit_ros.tracks.stamps import stamp_ns_of

Start = Callable[..., NodeUnderTest]
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


@pytest.fixture(autouse=True)
def participants_end() -> Iterator[None]:
    """A participant lives until the garbage collector finds its node, whose parts refer to it."""
    yield
    gc.collect()


@pytest.fixture
def local_node() -> Iterator[Callable[..., PredictorNode]]:
    """The node in this process, with its own context, for what needs no messages."""
    context = Context()
    rclpy.init(context=context, domain_id=reserve_domain())
    nodes = []

    def make(**parameters: object) -> PredictorNode:
        overrides = [
            Parameter(name.replace("__", "."), value=value) for name, value in parameters.items()
        ]
        nodes.append(PredictorNode(context=context, parameter_overrides=overrides))
        return nodes[-1]

    yield make
    for node in nodes:
        node.destroy_node()
    context.try_shutdown()


def problem_of(node: PredictorNode) -> str:
    return node.reporter.state.problem


def test_transitions_gate_what_is_published(start: Start) -> None:
    # Reliable, so that the peer can know what has arrived.
    reliability = {"qos_overrides./predictor/tracks.subscription.reliability": "reliable"}
    node = start(autostart=False, model="constant_velocity", tick_rate_hz=0.0, **reliability)
    assert node.state() == "unconfigured"
    assert node.transition("configure")
    assert node.state() == "inactive"
    tracks = node.publisher(MarkerArray, "/predictor/tracks")
    clouds: list[PointCloud2] = node.collect(PointCloud2, "/predictor/predictions")
    stamps_ns = itertools.count(10 * S, S // 10)

    def told() -> list[PointCloud2]:
        tracks.publish(walkers_at(next(stamps_ns)))
        return clouds

    told()
    assert tracks.wait_for_all_acked(Duration(seconds=PATIENCE_S))
    assert node.transition("activate")
    node.wait_for(told, "a prediction while active")
    assert clouds[0].width == 0, "what was said before activation was remembered"

    assert node.transition("deactivate")
    stamp_ns = next(stamps_ns)
    tracks.publish(walkers_at(stamp_ns))
    # The response comes after the node has handled the message.
    assert node.state() == "inactive"
    assert stamp_ns not in [stamp_ns_of(cloud.header.stamp) for cloud in clouds]

    clouds.clear()

    assert node.transition("activate")
    node.wait_for(told, "a prediction when active again")
    assert node.transition("deactivate")
    assert node.transition("cleanup")
    assert node.state() == "unconfigured"
    assert node.transition("configure")
    assert node.transition("shutdown")
    assert node.state() == "finalized"
    assert node.process.stop() == 0
    assert "Traceback" not in node.process.output


def test_a_failed_configure_is_reported_and_fixed_by_a_parameter(start: Start) -> None:
    node = start(model="nothing_like_it")
    reports: list[DiagnosticArray] = node.collect(DiagnosticArray, "/diagnostics")

    def error() -> DiagnosticStatus | None:
        statuses = [status for report in reports for status in report.status]
        return next((s for s in statuses if s.level == DiagnosticStatus.ERROR), None)

    status = node.wait_for(error, "an error in the diagnostics")
    assert "no model 'nothing_like_it'" in status.message
    assert "cannot configure: no model 'nothing_like_it'" in node.process.output
    assert node.state() == "unconfigured"

    assert node.set_parameters(model="constant_velocity").successful
    assert node.transition("configure")
    assert node.transition("activate")
    assert node.state() == "active"


def test_a_failed_node_ends_cleanly_too(start: Start) -> None:
    node = start(model="nothing_like_it")
    assert node.state() == "unconfigured"
    assert node.process.stop() == 0
    assert "Traceback" not in node.process.output


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"tick_rate_hz": 10}, "tick_rate_hz is 10 of type int, expected float; write 10.0"),
        ({"n_samples": 0}, "n_samples is 0, expected a value from 1 to 1000"),
        ({"tracker": "lidar"}, "no tracker 'lidar': give one of"),
        ({"outputs": ["smoke"]}, "outputs is 'smoke', expected one of pointcloud"),
        ({"horizon_s": 9.0}, "a horizon of 9 s is beyond the model's 4.8 s"),
        ({"markers__lifetime_s": 0.05}, "markers.lifetime_s is 0.05, expected more than"),
        ({"model": "/no/such/file.onnx"}, "no model '/no/such/file.onnx'"),
    ],
)
def test_configure_fails_with_the_reason_and_the_fix(
    local_node: Callable[..., PredictorNode], parameters: dict[str, object], reason: str
) -> None:
    node = local_node(**{"model": "constant_velocity", **parameters})
    assert node.trigger_configure() == FAILURE
    assert problem_of(node).startswith(reason)


def test_a_damaged_model_file_fails_configure(
    local_node: Callable[..., PredictorNode], tmp_path: Path
) -> None:
    model = tmp_path / "mine.onnx"
    model.write_bytes(b"not a model")
    node = local_node(model=str(model))
    assert node.trigger_configure() == FAILURE
    assert "has no model card" in problem_of(node)


def test_a_bad_value_is_fixed_by_setting_a_good_one(
    local_node: Callable[..., PredictorNode],
) -> None:
    node = local_node(model="constant_velocity", n_samples=0, seed=-1)
    assert node.trigger_configure() == FAILURE
    node.set_parameters([Parameter("n_samples", value=10)])
    assert node.trigger_configure() == FAILURE
    assert "seed" in problem_of(node)
    assert "n_samples" not in problem_of(node)
    node.set_parameters([Parameter("seed", value=1)])
    assert node.trigger_configure() == SUCCESS


def test_repeated_transitions_leave_nothing_behind(
    local_node: Callable[..., PredictorNode],
) -> None:
    node = local_node(model="constant_velocity", outputs=["pointcloud", "samples", "markers"])

    def entities() -> tuple[int, ...]:
        return tuple(
            len(list(group)) for group in (node.publishers, node.subscriptions, node.timers)
        )

    before = entities()
    for _ in range(20):
        assert node.trigger_configure() == SUCCESS
        assert node.trigger_activate() == SUCCESS
        assert node.trigger_deactivate() == SUCCESS
        assert node.trigger_cleanup() == SUCCESS
        assert entities() == before


def test_outputs_without_subscribers_are_not_computed(
    local_node: Callable[..., PredictorNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[int] = []
    render = Markers.render

    def counted(self: Markers, forecast: Forecast) -> bytes:
        rendered.append(forecast.stamp_ns)
        return render(self, forecast)

    node = local_node(model="constant_velocity", tick_rate_hz=0.0)
    assert node.trigger_configure() == SUCCESS
    assert node.trigger_activate() == SUCCESS
    monkeypatch.setattr(Markers, "render", counted)
    peer = Peer(node.context.get_domain_id())
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    stamps_ns = itertools.count(10 * S, S // 10)
    tracks = peer.node.create_publisher(MarkerArray, "/predictor/tracks", 10)

    def told(received: list[Any]) -> list[Any]:
        tracks.publish(walkers_at(next(stamps_ns)))
        executor.spin_once(timeout_sec=0.01)
        return received

    try:
        clouds = peer.collect(PointCloud2, "/predictor/predictions")
        peer.wait_for(lambda: told(clouds), "a prediction", None)
        assert rendered == []
        arrays = peer.collect(MarkerArray, "/predictor/markers")
        peer.wait_for(lambda: told(arrays), "markers", None)
        assert rendered != []
    finally:
        executor.shutdown()
        peer.close()


def test_samples_and_other_steps_are_published_if_requested(start: Start) -> None:
    node = start(
        model="sampled_constant_velocity",
        outputs="[samples,pointcloud]",
        tick_rate_hz=0.0,
        n_samples=5,
        time_step_s=0.2,
        horizon_s=2.0,
    )
    tracks = node.publisher(MarkerArray, "/predictor/tracks")
    samples: list[PointCloud2] = node.collect(PointCloud2, "/predictor/samples")
    stamps_ns = itertools.count(10 * S, S // 10)

    def told() -> PointCloud2 | None:
        tracks.publish(walkers_at(next(stamps_ns)))
        return next((cloud for cloud in samples if cloud.width), None)

    points = point_cloud_array(node.wait_for(told, "samples"))
    assert len(points) == 5 * 2 * 10
    np.testing.assert_allclose(np.unique(points["t"]), 0.2 * np.arange(1, 11), rtol=1e-6)
    assert np.unique(points["sample"]).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(5, "Input/output error", "/model.onnx"), "/model.onnx: Input/output error; check"),
        (MemoryError("8 GB"), r"not enough memory \(8 GB\): lower n_samples"),
        (RuntimeError("onnx\nfailed"), "unexpected RuntimeError: onnx failed; the log at debug"),
        (KeyError("bool"), "unexpected KeyError: 'bool'"),
        (ImportError("no x"), r"a library cannot be imported \(no x\): install it"),
        (OverflowError("int too large"), "unexpected OverflowError"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("place", ["session_setup.load_model", "session_setup.open_calibration"])
def test_any_failure_at_configure_is_the_reason_of_the_status(
    local_node: Callable[..., PredictorNode],
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    error: Exception,
    reason: str,
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise copy(error)  # A raised one keeps the node of its traceback alive.

    node = local_node(model="sampled_constant_velocity")
    with monkeypatch.context() as patch:
        patch.setattr(f"social_implicit_ros.ros.{place}", failing)
        assert node.trigger_configure() == FAILURE
    assert re.search(reason, problem_of(node))
    assert node.trigger_configure() == SUCCESS


def test_an_endpoint_that_cannot_be_created_leaves_none_behind(
    local_node: Callable[..., PredictorNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = local_node(model="sampled_constant_velocity")
    n_publishers = len(list(node.publishers))

    def failing(*_: object, **__: object) -> None:
        raise RuntimeError("no memory for a subscription")

    with monkeypatch.context() as patch:
        patch.setattr(node, "create_subscription", failing)
        assert node.trigger_configure() == FAILURE
    assert "no memory for a subscription" in problem_of(node)
    assert len(list(node.publishers)) == n_publishers
    assert node.trigger_configure() == SUCCESS


def test_an_error_in_activate_stays_the_reason_of_the_status(
    local_node: Callable[..., PredictorNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = local_node(model="sampled_constant_velocity")
    assert node.trigger_configure() == SUCCESS

    def failing(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Session, "clear", failing)
        node.trigger_activate()
    assert "cannot activate: No space left on device" in problem_of(node)
    assert node.trigger_configure() == SUCCESS


def test_a_second_node_of_the_same_name_is_noticed(
    local_node: Callable[..., PredictorNode],
) -> None:
    first = local_node()
    assert surroundings_of(first, (), ()).n_namesakes == 0
    local_node()
    assert surroundings_of(first, (), ()).n_namesakes == 1


def test_a_node_that_receives_its_own_output_warns(
    local_node: Callable[..., PredictorNode],
) -> None:
    node = local_node(model="constant_velocity", tracker="marker_array@/predictor/markers")
    assert node.trigger_configure() == SUCCESS
    (text,) = node._surroundings().broken
    assert "this node receives its own output on /predictor/markers; remap" in text


def test_ticks_continue_when_the_system_clock_is_set_back(
    local_node: Callable[..., PredictorNode],
) -> None:
    """A timer of that clock would wait; a timer of simulated time follows it."""
    node = local_node(model="sampled_constant_velocity")
    assert node.trigger_configure() == SUCCESS and node.trigger_activate() == SUCCESS
    clocks = []
    for is_simulated in (False, True, False):
        node.set_parameters([Parameter("use_sim_time", value=is_simulated)])
        timer = node._configured().tick_timer._timer
        assert timer is not None
        clocks.append(timer.clock.clock_type)
    assert clocks == [ClockType.STEADY_TIME, ClockType.ROS_TIME, ClockType.STEADY_TIME]


@pytest.mark.parametrize("place", ["take_counts", "publish"])
def test_the_node_continues_after_any_failure_of_a_report(
    local_node: Callable[..., PredictorNode], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    node = local_node(model="sampled_constant_velocity")
    assert node.trigger_configure() == SUCCESS and node.trigger_activate() == SUCCESS
    reported: list[str] = []

    def failing(*_: object) -> None:
        raise KeyError("rule")

    monkeypatch.setattr(node.reporter, "warn", lambda kind, why: reported.append(why))
    with monkeypatch.context() as patch:
        patch.setattr(node.reporter, place, failing)
        node._on_diagnostics_timer()
    assert "the status cannot be published: unexpected KeyError" in reported[0]
    node._on_diagnostics_timer()
    assert len(reported) == 1 and node.reporter.log.findings


@pytest.mark.parametrize("error", [RuntimeError("onnx"), MemoryError(), OSError(5, "disk")])
@pytest.mark.parametrize("place", ["tick", "evaluate", "reconfigure"])
def test_the_node_continues_after_any_failure_of_a_tick(
    local_node: Callable[..., PredictorNode],
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    error: Exception,
) -> None:
    node = local_node(model="sampled_constant_velocity")
    assert node.trigger_configure() == SUCCESS and node.trigger_activate() == SUCCESS

    def failing(*_: object) -> None:
        raise copy(error)  # A raised one keeps the node of its traceback alive.

    node.parameters_changed = True
    reported: list[str] = []
    monkeypatch.setattr(node.reporter, "warn", lambda kind, why: reported.append(why))
    monkeypatch.setattr(Predictor, place, failing)
    node._configured().on_timer()
    expected = {
        "tick": "nobody is predicted",
        "evaluate": "cannot be evaluated",
        "reconfigure": "changed parameters cannot take effect",
    }
    assert len(reported) == 1 and expected[place] in reported[0]
    monkeypatch.undo()
    node._configured().on_timer()
