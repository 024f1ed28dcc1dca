"""The node evaluates itself, adapts its ellipses, and saves their state."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger
from support.ros import NodeUnderTest
from support.tracks import tracks_to_marker_array
from visualization_msgs.msg import MarkerArray

from social_implicit_ros.ros.online_evaluation_messages import COLUMNS
from social_implicit_ros.types import Tracks

S = 1_000_000_000
Start = Callable[..., NodeUnderTest]


def wanderers(start_s: float, duration_s: float, n_people: int = 8) -> Iterator[Tracks]:
    """People whose velocity wanders, ten times a second."""
    rng = np.random.default_rng(2)
    positions = rng.uniform(-8.0, 8.0, (n_people, 2))
    velocities = rng.normal(0.0, 1.0, (n_people, 2))
    for n in range(round(duration_s * 10)):
        velocities += rng.normal(0.0, 0.1, (n_people, 2))
        positions = positions + 0.1 * velocities
        ids = tuple(f"people/{person}" for person in range(n_people))
        yield Tracks(round((start_s + n / 10) * S), ids, positions)


class SelfAware:
    """A node that receives the wanderers' tracks, and its self-evaluation."""

    def __init__(self, start: Start, **parameters: Any) -> None:
        self.node = start(
            **{"tick_rate_hz": 0.0, "model": "sampled_constant_velocity", **parameters}
        )
        self.tracks = self.node.publisher(MarkerArray, "/predictor/tracks")
        self.metrics = self.node.collect(Float64MultiArray, "/predictor/metrics")
        self.reports = self.node.collect(DiagnosticArray, "/diagnostics")
        self.home = self.node.process.folder

    def watch(self, start_s: float = 1000.0, duration_s: float = 10.0) -> None:
        """Publishes the wanderers' tracks; returns once positions are scored."""
        for entry in wanderers(start_s, duration_s):
            # One at a time: the queue of a busy node holds ten.
            self.tracks.publish(tracks_to_marker_array(entry, "odom"))
            self.node.peer.spin_once(0.01)
        self.node.wait_for(lambda: self.status("positions_judged") not in ("", "0"), "a score")

    def latest(self) -> DiagnosticStatus | None:
        """The newest status about the self-evaluation."""
        found = [s for r in self.reports for s in r.status if s.name.endswith("self-evaluation")]
        return found[-1] if found else None

    def status(self, key: str) -> str:
        status = self.latest()
        return "" if status is None else {v.key: v.value for v in status.values}[key]

    def call(self, name: str) -> Trigger.Response:
        return self.node.call(Trigger, f"/predictor/{name}", Trigger.Request())


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "social_implicit_ros").glob("*"))


FILE = "predictor_sampled_constant_velocity.json"


def test_metrics_are_published_for_every_step(restart: Start, tmp_path: Path) -> None:
    aware = SelfAware(restart, calibration_file=str(tmp_path / "mine.json"))
    aware.watch()
    table_msg = aware.node.wait_for(
        lambda: next((m for m in aware.metrics if m.data[1] > 0 and m.data[-9] > 0), None),
        "metrics of every step",
    )
    rows, columns = table_msg.layout.dim
    assert (rows.label, rows.size) == ("step", 12)
    assert columns.label.split(",") == list(COLUMNS)
    table = np.array(table_msg.data).reshape(rows.size, columns.size)
    by_name = dict(zip(COLUMNS, table.T, strict=True))
    np.testing.assert_allclose(by_name["time_ahead_s"], 0.4 * np.arange(1, 13))
    assert (np.diff(by_name["positions"]) <= 0).all()
    errors = by_name["mean_error_m"]
    assert 0.0 < errors[0] < errors[5] < errors[11]
    assert ((by_name["coverage"] >= 0.0) & (by_name["coverage"] <= 1.0)).all()

    aware.node.wait_for(lambda: aware.status("ade_m"), "a status that knows every step")
    assert float(aware.status("ade_m")) < float(aware.status("fde_m"))
    assert 0.0 <= float(aware.status("coverage")) <= 1.0
    assert aware.status("confidence") == "0.95"


def test_the_state_is_saved_for_the_next_start_until_it_is_reset(
    start: Start, tmp_path: Path
) -> None:
    first = SelfAware(start)
    first.watch()
    assert first.node.process.stop() == 0
    assert files(tmp_path) == [FILE]
    learnt = json.loads((tmp_path / "social_implicit_ros" / FILE).read_text())
    assert max(learnt["seconds"]) > 2.0

    second = SelfAware(start)
    assert "adaptive calibration of an earlier run restored" in second.node.process.output
    response = second.call("reset_calibration")
    assert response.success and "reset to that of the model" in response.message
    assert files(tmp_path) == []
    second.node.wait_for(lambda: second.status("radius_factor_max") == "1.17", "initial factors")
    # Nothing was learnt since: nothing is written.
    assert second.node.process.stop() == 0
    assert files(tmp_path) == []


def test_the_state_is_saved_when_the_node_is_deactivated(restart: Start, tmp_path: Path) -> None:
    aware = SelfAware(restart, calibration_file=str(tmp_path / "mine.json"))
    aware.watch()
    assert aware.status("adaptive_calibration") == str(tmp_path / "mine.json")
    assert aware.node.transition("deactivate")
    assert (tmp_path / "mine.json").is_file()
    assert files(aware.home) == []


def test_without_adaptive_calibration_the_node_scores_but_does_not_adapt(restart: Start) -> None:
    aware = SelfAware(restart, adaptive_calibration=False, model="constant_velocity")
    aware.watch(duration_s=15.0)
    # Constant velocity has no spread, so its ellipses cover nothing.
    warned = aware.node.wait_for(
        lambda: (s := aware.latest()) and s.level == DiagnosticStatus.WARN and s, "a warning"
    )
    assert "too small for walking people; adaptive_calibration would correct them" in warned.message
    assert aware.status("adaptive_calibration") == "off"
    assert aware.status("radius_factor_max") == "1.00"
    response = aware.call("reset_calibration")
    assert not response.success and "adaptive_calibration is false" in response.message
    assert aware.node.transition("deactivate")
    assert files(aware.home) == []


def test_a_damaged_file_is_logged_renamed_and_replaced(restart: Start, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text("{")
    aware = SelfAware(restart, calibration_file=str(path))
    assert "mine.json is ignored" in aware.node.process.output
    assert (tmp_path / "mine.json.refused").read_text() == "{"
    aware.watch()
    assert aware.node.transition("deactivate")
    assert max(json.loads(path.read_text())["seconds"]) > 2.0


def test_a_path_that_cannot_be_written_is_only_logged(restart: Start, tmp_path: Path) -> None:
    # A file is no folder, for root too.
    (tmp_path / "file").touch()
    aware = SelfAware(restart, calibration_file=str(tmp_path / "file" / "mine.json"))
    aware.watch()
    assert aware.node.transition("deactivate")
    assert aware.node.transition("activate")
    output = aware.node.process.output
    assert "is not saved for the next start" in output and "set calibration_file" in output
