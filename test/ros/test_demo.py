"""The demonstration runs node and replay, measures, draws, and leaves nothing running."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("rclpy", reason="needs rclpy: source a ROS distribution, or run make test")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from sensor_msgs.msg import PointCloud2
from support.ros import PATIENCE_S, STOP_SIGNALS, NodeProcess, running

from social_implicit_ros.commands import social_implicit_demo
from social_implicit_ros.commands.social_implicit_demo import (
    RATE,
    DemoError,
    busiest_start_s,
    choose_show,
)
from social_implicit_ros.evaluation.published import (
    ANIMATION_FRAMES,
    PublishedPrediction,
    excerpt,
    longest_seen,
    most_complete,
    score_published,
)
from social_implicit_ros.prediction.replay_settings import NODE_NAME
from social_implicit_ros.ros import qos
from social_implicit_ros.ros.processes.demo_processes import PREDICTIONS_TOPIC, Listener
from social_implicit_ros.ros.processes.domains import reserve_domain
from social_implicit_ros.types import Tracks

MODEL = "sampled_constant_velocity"
Demo = Callable[..., AbstractContextManager[NodeProcess]]


def prediction(stamp_s: float, *agents: int, n_observed: int = 8) -> PublishedPrediction:
    n_agents = len(agents)
    return PublishedPrediction(
        stamp_ns=round(stamp_s * 1e9),
        agents=np.array(agents, dtype=np.int64),
        times_s=np.array([0.4, 0.8]),
        mean=np.zeros((n_agents, 2, 2)),
        covariance=np.broadcast_to(np.eye(2), (n_agents, 2, 2, 2)),
        n_observed=np.full(n_agents, n_observed),
    )


def holders_of(path: Path) -> list[str]:
    """Processes that have the file open."""
    holders = []
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        # Processes of other users cannot be inspected, and some end meanwhile.
        with suppress(OSError):
            if descriptor.readlink() == path.resolve():
                holders.append(str(descriptor))
    return holders


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Demo:
    """Starts the demonstration, which chooses a domain by itself."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("SOCIAL_IMPLICIT_DATA", raising=False)

    def start(*arguments: str) -> AbstractContextManager[NodeProcess]:
        words = ["--out", str(tmp_path / "out"), *arguments]
        return running("social_implicit_demo", words, domain=0, folder=tmp_path)

    return start


def assert_nothing_runs(output: Path) -> None:
    for log in ("node.log", "replay.log"):
        assert holders_of(output / log) == []


def test_a_short_demonstration_prints_plausible_scores_and_draws(
    tmp_path: Path, demo: Demo
) -> None:
    with demo("--duration", "2.5", "--model", MODEL) as process:
        assert process.process.wait(timeout=2 * PATIENCE_S) == 0, process.output
        output = process.output
    (n_people,) = re.findall(r"people predicted\W+(\d+)", output)
    assert 4 <= int(n_people) <= 20
    (n_trajectories, n_ticks) = re.findall(
        r"predictions\W+(\d+) trajectories in (\d+) ticks", output
    )[0]
    # Ten per recorded second; a busy machine has fewer.
    assert 1 < int(n_ticks) <= 45 * RATE
    assert int(n_trajectories) > 2 * int(n_ticks)
    (ade_m, fde_m) = re.findall(r"mean trajectory\W+([\d.]+) m / ([\d.]+) m", output)[0]
    assert 0.1 < float(ade_m) < float(fde_m) < 4.0
    (inside,) = re.findall(r"95% region\W+([\d.]+)%", output)
    assert 30.0 < float(inside) <= 100.0
    (median_ms, p99_ms) = re.findall(r"p99\W+([\d.]+) ms / ([\d.]+) ms", output)[0]
    assert 0.0 < float(median_ms) <= float(p99_ms)
    with Image.open(tmp_path / "out" / "prediction.png") as picture:
        assert picture.width == 1600
    with Image.open(tmp_path / "out" / "prediction.gif") as animation:
        assert animation.n_frames >= 10  # type: ignore[attr-defined]
    assert (tmp_path / "out" / "prediction.gif").stat().st_size < 1_500_000
    for way in ("as shipped", "adaptive"):
        assert re.search(rf"regions {way}\W+R_avg / R_min \d+% / \d+%", output), output
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["bags"][0]["duration_s"] == pytest.approx(2.5 * RATE + 10.0)
    assert results["settings"]["adaptive_calibration"] is True
    assert results["models"][MODEL]["counts"]["futures"] > 100
    assert (tmp_path / "out" / "report.html").stat().st_size < 20_000_000
    assert_nothing_runs(tmp_path / "out")


def test_nothing_is_played_before_the_node_is_discovered() -> None:
    rclpy.init(domain_id=reserve_domain())
    listener = Listener(lambda message: message)
    node = rclpy.create_node(NODE_NAME)
    try:
        diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", qos.diagnostics())
        status = DiagnosticStatus(
            name=f"{NODE_NAME}: prediction", values=[KeyValue(key="model", value="m")]
        )

        def hears(until: Callable[[], bool]) -> bool:
            deadline_s = time.monotonic() + PATIENCE_S
            while not until() and time.monotonic() < deadline_s:
                diagnostics.publish(DiagnosticArray(status=[status]))
                listener.listen(0.05)
            return listener.hears_node()

        assert not listener.hears_node()
        assert not hears(lambda: bool(listener.diagnostics))
        node.create_publisher(PointCloud2, PREDICTIONS_TOPIC, qos.every_prediction())
        assert hears(listener.hears_node)
    finally:
        node.destroy_node()
        listener.close()
        rclpy.try_shutdown()


# The last one ends a process that does not handle it; test_signals.py tests the handlers of all.
@pytest.mark.parametrize("number", STOP_SIGNALS[-1:])
def test_an_interrupted_demonstration_ends_what_it_started(
    tmp_path: Path, demo: Demo, number: signal.Signals
) -> None:
    with demo("--model", MODEL) as process:
        # The most difficult moment: the last process is being started.
        while not (tmp_path / "out" / "replay.log").exists():
            assert process.process.poll() is None, process.output
            time.sleep(0.002)
        assert process.stop(number) == 130
        assert "Traceback" not in process.output
    assert_nothing_runs(tmp_path / "out")


def test_an_unknown_model_is_named(tmp_path: Path, demo: Demo) -> None:
    with demo("--model", "no_such_model") as process:
        assert process.process.wait(timeout=PATIENCE_S) == 2
        assert "no_such_model" in process.output
    assert not (tmp_path / "out" / "prediction.png").exists()
    assert_nothing_runs(tmp_path / "out")


def test_a_demonstration_that_fails_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(decode: object) -> None:
        raise DemoError("the node reports: no memory")

    monkeypatch.setattr(signal, "signal", lambda *arguments: None)
    monkeypatch.setattr(social_implicit_demo, "isolate", lambda: None)
    monkeypatch.setattr(social_implicit_demo, "listening", fail)
    assert social_implicit_demo.main(["--out", str(tmp_path)]) == 1
    assert "The demo failed: the node reports: no memory" in capsys.readouterr().out


def test_the_busiest_part_of_the_hotel_is_shown(tmp_path: Path) -> None:
    hotel = tmp_path / "eth_ucy" / "all_data" / "biwi_hotel.txt"
    hotel.parent.mkdir(parents=True)
    lines = [f"{frame} 1 0 0\n" for frame in range(0, 3000, 10)]
    lines += [f"{frame} {agent} 0 0\n" for frame in range(1500, 1600, 10) for agent in (2, 3)]
    hotel.write_text("".join(lines))
    show = choose_show(str(tmp_path), duration_s=2.0)
    assert show.duration_s == 2.0 * RATE
    # Frame 1500 is second 60; the part shown is the busiest one of its length.
    assert 60.0 - show.duration_s < show.start_s <= 60.0
    assert busiest_start_s(show.recording, 0.4) == pytest.approx(60.0)


def test_a_data_folder_without_the_hotel_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"SOCIAL_IMPLICIT_DATA is .* unset it for the simulated"):
        choose_show(str(tmp_path), duration_s=2.0)


def test_the_moment_drawn_has_the_most_people_with_whole_past_and_future() -> None:
    recording = [
        Tracks(round(time_s * 1e9), ("1", "2"), np.zeros((2, 2)))
        for time_s in np.arange(0.0, 10.1, 0.2)
    ]
    moments = [
        prediction(1.0, 1, 2, n_observed=3),  # a short past
        prediction(4.0, 1),
        prediction(5.0, 1, 2),
        prediction(6.0, 1, 7, 8, 9),  # 7, 8 and 9 have no ground truth
        prediction(9.9, 1, 2),  # the future is beyond the recording
    ]
    assert most_complete(score_published(moments, recording)) == 2


def test_the_animation_continues_around_the_moment_drawn() -> None:
    recording = [Tracks(0, ("1",), np.zeros((1, 2)))]
    moments = score_published([prediction(0.1 * index, 1) for index in range(400)], recording)
    part = excerpt(moments, around=200)
    stamps_s = np.array([moment.prediction.stamp_ns for moment in part]) * 1e-9
    np.testing.assert_allclose(np.diff(stamps_s), 0.2)
    assert len(part) == ANIMATION_FRAMES
    assert stamps_s[0] < 20.0 < stamps_s[-1]
    assert excerpt(moments[:3], around=2) == [moments[0], moments[2]]


def test_the_highlighted_person_is_in_view_longest_and_moves() -> None:
    def places(time_s: float) -> np.ndarray:
        return np.array([[0.0, 0.0], [time_s, 0.0]])

    recording = [
        Tracks(round(time_s * 1e9), ("1", "2"), places(time_s))
        for time_s in np.arange(0.0, 10.1, 0.1)
    ]
    moments = [prediction(time_s, 1, 2) for time_s in (4.0, 5.0)]
    assert longest_seen(score_published(moments, recording)) == 2
    assert longest_seen(score_published([*moments, prediction(6.0, 1)], recording)) == 1
