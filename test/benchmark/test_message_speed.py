"""Decoding of 100 tracks and serialisation of 100 predictions: `make bench`."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pytest_benchmark", reason="needs pytest-benchmark (make bench)")
pytest.importorskip("rclpy", reason="needs ROS 2")

from rclpy.serialization import deserialize_message, serialize_message
from support.forecasts import walking_forecast
from support.object_decoder import ObjectDecoder, read
from support.speed import on_core, times_s
from support.ticking import crowd
from support.tracker_messages import MESSAGES
from support.tracks import tracks_to_point_cloud

from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.ros.outputs.registry import load_output
from social_implicit_ros.ros.trackers import Tracker, TrackerSpecError, load_tracker
from social_implicit_ros.settings import PARAMETERS, NodeConfig
from social_implicit_ros.types import Tracks

try:
    from support.planner_messages import BUILDERS
except ImportError:  # of a planner's messages
    BUILDERS = {}

N_AGENTS, N_SAMPLES = 100, 20
OUTPUTS = (
    "pointcloud",
    "samples",
    "markers",
    "mpc_planner",
    "costmap",
    "detections",
    "autoware",
    "people",
    "costmap_converter",
)


def message_of_a_hundred(name: str, tracker: Tracker) -> bytes:
    if name == "point_cloud":
        positions_m, _ = crowd(N_AGENTS)
        tracks = Tracks(10**9, tuple(map(str, range(N_AGENTS))), positions_m)
        return serialize_message(tracks_to_point_cloud(tracks, "odom"))
    build, _ = MESSAGES[name]
    message = build(10**9, 1.0, 2.0, "odom")
    entries = read(tracker.decoder.spec.entries, message)
    entries[:] = [deepcopy(entries[0]) for _ in range(N_AGENTS)]
    return serialize_message(message)


def with_samples(forecast: Forecast) -> Forecast:
    """The same people with samples of their Gaussians, the default number of the node."""
    prediction = forecast.prediction
    draws = np.random.default_rng(0).normal(size=(N_SAMPLES, *prediction.mean.shape, 1))
    spread_m = (np.linalg.cholesky(prediction.covariance) @ draws)[..., 0]
    samples = prediction.mean + spread_m
    drawn = replace(prediction, samples=samples, probabilities=np.empty(0))
    return replace(forecast, prediction=drawn)


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_decode(benchmark: Any, tables: Any, name: str) -> None:
    try:
        tracker = load_tracker(name, "~/tracks")
    except TrackerSpecError as error:
        pytest.skip(f"{error} (scripts/build_test_interfaces.py)")
    data = message_of_a_hundred(name, tracker)
    of_objects = ObjectDecoder(tracker.decoder.spec)

    def by_rclpy() -> Any:
        return of_objects.decode(deserialize_message(data, tracker.message_class))

    def decode() -> Any:
        return tracker.decode(data)

    assert len(decode().tracks.ids) == N_AGENTS
    if not benchmark.disabled:
        with on_core(0):
            decode_s, rclpy_s = times_s([decode, by_rclpy], n_rounds=7)
        tables.add_row(
            "Decoding a message of 100 agents",
            tracker=name,
            bytes=len(data),
            decode_ms=1e3 * decode_s,
            through_rclpy_ms=1e3 * rclpy_s,
        )
    benchmark.group = "decode of 100 agents"
    benchmark(decode)


@pytest.mark.parametrize("name", OUTPUTS)
def test_output(benchmark: Any, tables: Any, name: str) -> None:
    config = NodeConfig.from_values({spec.name: spec.default for spec in PARAMETERS})
    try:
        output = load_output(name, config)
    except ValueError as error:
        pytest.skip(f"{error} (scripts/build_test_interfaces.py)")
    positions_m, velocities_m_s = crowd(N_AGENTS)
    forecast = with_samples(walking_forecast(positions_m, velocities_m_s, robot_m=np.zeros(2)))

    def render() -> bytes:
        message = output.render(forecast)
        return message if isinstance(message, bytes) else serialize_message(message)

    assert render()
    if not benchmark.disabled:
        by_objects = BUILDERS.get(name)
        with on_core(0):
            (render_s,) = times_s([render], n_rounds=7)
            objects_ms: float | str = ""
            if by_objects is not None:
                (objects_s,) = times_s(
                    [lambda: serialize_message(by_objects(forecast, config))], n_rounds=3
                )
                objects_ms = 1e3 * objects_s
        tables.add_row(
            "Rendering and serialising the predictions of 100 agents",
            output=name,
            render_ms=1e3 * render_s,
            as_objects_ms=objects_ms,
            bytes=len(render()),
        )
    benchmark.group = "output of 100 agents"
    benchmark(render)
