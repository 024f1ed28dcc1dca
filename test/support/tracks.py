"""Tracks of people who walk straight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import PointCloud2
from visualization_msgs.msg import MarkerArray

from social_implicit_ros.evaluation.published import PublishedPrediction
from social_implicit_ros.recordings.bag_writer import serialised_tracks
from social_implicit_ros.tracks.messages.agent_ids import agent_number
from social_implicit_ros.types import Tracks

S = 1_000_000_000

#: Id -> velocity in m/s; everybody passes (0, 0) at time 0.
WALKERS: Mapping[str, tuple[float, float]] = {"people/1": (1.0, 0.0), "people/2": (0.0, -0.8)}


def tracks_to_marker_array(tracks: Tracks, frame_id: str) -> MarkerArray:
    return deserialize_message(serialised_tracks(tracks, "marker_array", frame_id), MarkerArray)


def tracks_to_point_cloud(tracks: Tracks, frame_id: str) -> PointCloud2:
    return deserialize_message(serialised_tracks(tracks, "point_cloud", frame_id), PointCloud2)


def walkers_at(
    stamp_ns: int,
    walkers: Mapping[str, tuple[float, float]] = WALKERS,
    *,
    frame_id: str = "odom",
) -> MarkerArray:
    """The walkers at that time, as a message."""
    return tracks_to_marker_array(walker_tracks(stamp_ns, walkers), frame_id)


def walker_tracks(stamp_ns: int, walkers: Mapping[str, tuple[float, float]] = WALKERS) -> Tracks:
    """The walkers at that time."""
    velocities = np.array(list(walkers.values())).reshape(-1, 2)
    return Tracks(stamp_ns, tuple(walkers), velocities * (stamp_ns / S))


def positions_at(times_s: Any, velocity: tuple[float, float]) -> np.ndarray:
    """(T, 2) positions of a walker at those times, metres."""
    return np.asarray(times_s)[:, None] * np.array(velocity)


def assert_walks_straight(
    prediction: PublishedPrediction, agent_id: str, velocity: tuple[float, float], atol_m: float
) -> None:
    """Checks that the mean trajectory of a person is that of a walker, to a tolerance."""
    mean_m = prediction.mean[prediction.agents.tolist().index(agent_number(agent_id))]
    expected_m = positions_at(prediction.stamp_ns / S + prediction.times_s, velocity)
    np.testing.assert_allclose(mean_m, expected_m, atol=atol_m, rtol=0.0)
