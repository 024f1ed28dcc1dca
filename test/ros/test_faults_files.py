"""Invalid model files and parameter files: the reason is reported, and valid ones work again."""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import PointCloud2
from support.conversation import Conversation, value_of
from support.model_files import onnx, write_card, write_model, write_nodes
from support.ros import NodeUnderTest, running
from support.tracks import WALKERS, S, walkers_at
from visualization_msgs.msg import Marker, MarkerArray

from social_implicit_ros.evaluation.published import prediction_from_point_cloud
from social_implicit_ros.models.registry import model_path
from social_implicit_ros.ros.processes.domains import reserve_domain
from social_implicit_ros.ros.qos import check_override


@pytest.fixture(scope="module")
def node(start_once: Callable[..., NodeUnderTest]) -> NodeUnderTest:
    return start_once(autostart=False, tick_rate_hz=0.0)


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A copy of the default model that may be damaged."""
    source = model_path("default")
    for suffix in (".onnx", ".json"):
        shutil.copy(source.with_suffix(suffix), tmp_path / f"model{suffix}")
    return tmp_path / "model.onnx"


def statuses(node: NodeUnderTest) -> Callable[[], list[DiagnosticStatus]]:
    reports: list[DiagnosticArray] = node.collect(DiagnosticArray, "/diagnostics")
    return lambda: [status for report in reports for status in report.status]


class Street:
    """People who walk, and the predictions of the node with any model."""

    def __init__(self, node: NodeUnderTest) -> None:
        self.node = node
        self.tracks = node.publisher(MarkerArray, "/predictor/tracks")
        self.clouds: list[PointCloud2] = node.collect(PointCloud2, "/predictor/predictions")
        self._stamps_ns = itertools.count(10 * S, S // 10)

    def tell_until(self, happened: Callable[[], Any], what: str, walkers: Any = WALKERS) -> Any:
        def told() -> Any:
            self.tracks.publish(walkers_at(next(self._stamps_ns), walkers))
            return happened()

        return self.node.wait_for(told, what)

    def predicted(self) -> bool:
        return any(cloud.width for cloud in self.clouds)


def missing(path: Path) -> None:
    path.unlink()


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def not_onnx(path: Path) -> None:
    path.write_bytes(b"#!/bin/sh\necho no model\n")
    write_card(path, n_predicted=12)


def cut_off_with_its_checksum(path: Path) -> None:
    cut_off(path)
    write_card(path, n_predicted=12)


def of_another_shape(path: Path) -> None:
    write_model(path.parent).replace(path)
    write_card(path, n_predicted=12)


def without_a_card(path: Path) -> None:
    path.with_suffix(".json").unlink()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (missing, "no model"),
        (cut_off, "has checksum"),
        (not_onnx, "is not a model that onnxruntime"),
        (cut_off_with_its_checksum, "is not a model that onnxruntime"),
        (of_another_shape, "has shape"),
        (without_a_card, "has no model card"),
    ],
)
def test_an_invalid_model_file(
    node: NodeUnderTest, shipped: Path, spoil: Callable[[Path], None], told: str
) -> None:
    node.unconfigure()
    good = {suffix: shipped.with_suffix(suffix).read_bytes() for suffix in (".onnx", ".json")}
    spoil(shipped)
    assert node.set_parameters(model=str(shipped)).successful
    assert not node.transition("configure")
    assert node.state() == "unconfigured"
    errors = [line for line in node.process.output.splitlines() if "cannot configure" in line]
    assert told in errors[-1]
    # The valid file is restored; nothing else is needed.
    for suffix, content in good.items():
        shipped.with_suffix(suffix).write_bytes(content)
    assert node.transition("configure")
    assert "Traceback" not in node.process.output


def test_the_reason_of_an_invalid_model_is_in_the_diagnostics(
    node: NodeUnderTest, shipped: Path
) -> None:
    node.unconfigure()
    cut_off(shipped)
    assert node.set_parameters(model=str(shipped)).successful
    assert not node.transition("configure")
    found = statuses(node)
    node.wait_for(
        lambda: any(
            s.level == DiagnosticStatus.ERROR and "has checksum" in s.message for s in found()
        ),
        "an error in the diagnostics",
    )


def test_a_model_file_replaced_while_running(node: NodeUnderTest, shipped: Path) -> None:
    node.unconfigure()
    assert node.set_parameters(model=str(shipped)).successful
    assert node.transition("configure")
    assert node.transition("activate")
    street = Street(node)
    street.tell_until(street.predicted, "a prediction")
    shipped.write_bytes(b"something else")
    street.clouds.clear()
    street.tell_until(street.predicted, "a prediction with the model that was loaded")
    node.unconfigure()
    assert not node.transition("configure")
    assert "has checksum" in node.process.output.splitlines()[-1]


def test_a_model_that_fails_while_running(node: NodeUnderTest, tmp_path: Path) -> None:
    """The model fails for three people, which shows only when there are three."""
    node.unconfigure()
    path = write_model(tmp_path)
    model = onnx.load(path)
    helper = onnx.helper
    nodes = [
        helper.make_node("Constant", [], ["two_agents"], value_ints=[2, 8]),
        helper.make_node("Reshape", ["mask", "two_agents"], ["row"]),
        helper.make_node("ReduceSum", ["row"], ["total"], keepdims=0),
        helper.make_node("Sub", ["total", "total"], ["nothing"]),
        helper.make_node("Add", ["spread", "nothing"], ["shifted"]),
    ]
    first, second, *others = model.graph.node
    second.input[0] = "shifted"
    write_nodes(path, model, [first, *nodes, second, *others])
    assert node.set_parameters(model=str(path)).successful
    assert node.transition("configure"), node.process.output
    assert node.transition("activate")
    street = Street(node)
    street.tell_until(street.predicted, "a prediction of two")
    found = statuses(node)
    drawn: list[MarkerArray] = node.collect(MarkerArray, "/predictor/markers")
    street.tell_until(lambda: any(array.markers for array in drawn), "markers of two")
    drawn.clear()

    def failed() -> bool:
        return any(
            s.level == DiagnosticStatus.ERROR
            and "nobody is predicted: model 'walker' failed while running" in s.message
            and int(value_of(s, "ticks_failed")) > 0
            for s in found()
        )

    street.tell_until(failed, "failed ticks in the diagnostics", {**WALKERS, "third": (0.5, 0.5)})
    assert {len(prediction_from_point_cloud(cloud).agents) for cloud in street.clouds} <= {0, 2}
    # The outputs are cleared.
    node.wait_for(
        lambda: any(m.action == Marker.DELETEALL for array in drawn for m in array.markers),
        "markers that are deleted",
    )
    assert node.state() == "active"
    street.clouds.clear()
    street.tell_until(street.predicted, "a prediction when the third has left")
    assert "Traceback" not in node.process.output


PARAMETER_FILE = """
/**:
  ros__parameters:
    model: constant_velocity
    trackers: people
    n_samples: 0
    tick_rate_hz: fast
    confidence_levels: [0.5, 1.5]
"""


def test_a_parameter_file_with_mistakes(
    start: Callable[..., NodeUnderTest], tmp_path: Path
) -> None:
    file = tmp_path / "mistakes.yaml"
    file.write_text(PARAMETER_FILE)
    node = start("--params-file", str(file))
    node.wait_for(lambda: "cannot configure" in node.process.output, "a reason in the log")
    for told in (
        "unknown parameter trackers is ignored (did you mean tracker?)",
        "n_samples is 0, expected a value from 1 to 1000",
        "tick_rate_hz is 'fast' of type str, expected float",
        "confidence_levels is 1.5, expected a value from 0.01 to 0.999",
    ):
        assert told in node.process.output
    found = statuses(node)
    node.wait_for(
        lambda: any(
            s.level == DiagnosticStatus.ERROR and "n_samples is 0" in s.message for s in found()
        ),
        "an error in the diagnostics",
    )
    # The values are corrected one after another, and the node works.
    assert node.state() == "unconfigured"
    assert not node.transition("configure")
    assert not node.set_parameters(n_samples=-1).successful
    assert node.set_parameters(n_samples=10, tick_rate_hz=0.0).successful
    assert node.set_parameters(confidence_levels=[0.5]).successful
    assert node.transition("configure"), node.process.output
    assert node.transition("activate")
    street = Street(node)
    street.tell_until(street.predicted, "a prediction")
    assert "Traceback" not in node.process.output


@pytest.mark.parametrize(
    "content",
    ["/**: {ros__parameters: {n_samples: [1, a, 2.5]}}", "/**:\n  n_samples: 3\n", "a: [", "\0"],
    ids=["mixed list", "no ros__parameters", "not YAML", "binary"],
)
def test_a_parameter_file_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(content)
    arguments = ["--ros-args", "--params-file", str(file)]
    with running("predictor_node", arguments, domain=reserve_domain(), folder=tmp_path) as process:
        assert process.process.wait(timeout=60.0) == 2
    assert "Traceback" not in process.output
    assert "bad.yaml" in process.output
    assert re.search(r"line(_num)? \d", process.output)


@pytest.mark.parametrize(
    ("override", "value", "told"),
    [
        ("reliability", "perfect", "is 'perfect', expected one of reliable, best_effort"),
        ("depth", "deep", "is 'deep', expected an integer"),
        ("durability", "volatile", "cannot be set"),
    ],
)
def test_an_invalid_quality_of_service(override: str, value: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        check_override(f"qos_overrides./predictor/tracks.subscription.{override}", value)


def test_an_invalid_topic_and_quality_of_service(
    start: Callable[..., NodeUnderTest],
) -> None:
    name = "qos_overrides./predictor/tracks.subscription.reliability"
    node = start(model="constant_velocity", **{name: "perfect"})
    node.wait_for(lambda: "is 'perfect', expected" in node.process.output, "a reason in the log")
    assert node.state() == "unconfigured"
    assert not node.set_parameters(**{name: "best"}).successful
    assert node.set_parameters(**{name: "reliable"}).successful
    assert node.set_parameters(tracker="marker_array@a topic").successful
    assert not node.transition("configure")
    assert "has an invalid topic name" in node.process.output
    assert node.set_parameters(tracker="marker_array").successful
    assert node.transition("configure")
    assert not node.set_parameters(**{name: "perfect"}).successful
    assert "Traceback" not in node.process.output


def test_a_full_disk_while_the_calibration_is_saved(node: NodeUnderTest, tmp_path: Path) -> None:
    kept = tmp_path / "learnt.json"
    node.restart(model="sampled_constant_velocity", calibration_file=str(kept))
    talk = Conversation(node)
    # The temporary file of the node is on a full disk.
    unfinished = tmp_path / f"learnt.json.{node.process.process.pid}.tmp"
    unfinished.symlink_to("/dev/full")
    talk.walk(talk.new_stamps(), 30)
    assert node.transition("deactivate")
    assert "No space left on device" in node.process.output
    assert not kept.exists()
    # The node removed its temporary file, and with it the full disk.
    assert node.transition("activate")
    assert len(talk.walk(talk.new_stamps(), 30).agents) == 2
    assert node.transition("deactivate")
    assert kept.is_file()
    assert "Traceback" not in node.process.output


def test_a_folder_without_write_permission(node: NodeUnderTest) -> None:
    # Nobody can write there, whatever the permissions.
    folder = "/proc/learnt"
    node.restart(model="sampled_constant_velocity", calibration_file=f"{folder}/here.json")
    talk = Conversation(node)
    assert len(talk.walk(talk.new_stamps(), 30).agents) == 2
    assert node.transition("deactivate")
    assert folder in node.process.output
    assert node.transition("activate")
    assert len(talk.walk(talk.new_stamps(), 30).agents) == 2
    assert "Traceback" not in node.process.output


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "no home"])
def test_an_impossible_calibration_file_is_refused_with_the_reason(
    node: NodeUnderTest, tmp_path: Path, kind: str
) -> None:
    node.unconfigure()
    os.mkfifo(tmp_path / "pipe")
    given = {
        "folder": ".",
        "pipe": str(tmp_path / "pipe"),
        "device": "/dev/zero",
        "no home": "~nobody_of_this_name/calibration.json",
    }[kind]
    assert node.set_parameters(model="sampled_constant_velocity", calibration_file=given).successful
    reports = statuses(node)
    assert not node.transition("configure")
    assert node.state() == "unconfigured"
    node.wait_for(
        lambda: any("calibration_file" in status.message for status in reports()), "the reason"
    )
    assert node.set_parameters(calibration_file=str(tmp_path / "calibration.json")).successful
    assert node.transition("configure")
    assert "Traceback" not in node.process.output
