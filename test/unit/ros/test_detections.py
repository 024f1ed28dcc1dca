"""`~/detections`, read as a node reads detections: each at its own time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("vision_msgs.msg", reason="needs the package vision_msgs")

from support.forecasts import S, random_forecast, walking_forecast
from support.outputs import rendered_by
from vision_msgs.msg import Detection3DArray

from social_implicit_ros.ros.outputs.detections import Detections
from social_implicit_ros.tracks.stamps import stamp_ns_of


def rendered(forecast: Any, **changes: Any) -> Detection3DArray:
    return rendered_by(Detections, forecast, **changes)


def test_every_person_is_detected_at_every_step_under_the_trackers_id() -> None:
    forecast = random_forecast(("3", "people/4", "a b"))
    message = rendered(forecast)
    assert [detection.id for detection in message.detections] == [
        agent_id for agent_id in forecast.ids for _ in range(12)
    ]
    assert stamp_ns_of(message.header.stamp) == forecast.stamp_ns


def test_stamps_run_into_the_future() -> None:
    message = rendered(random_forecast(("1", "2")))
    stamps_ns = [stamp_ns_of(detection.header.stamp) for detection in message.detections]
    expected = [12 * S + 345 + step * 400_000_000 for step in range(1, 13)]
    assert stamps_ns == expected * 2
    assert {detection.header.frame_id for detection in message.detections} == {"odom"}


def test_poses_are_the_means_with_their_covariances() -> None:
    forecast = random_forecast(("1", "2"))
    detections = np.array(rendered(forecast).detections).reshape(2, 12)
    for (row, step), detection in np.ndenumerate(detections):
        (result,) = detection.results
        position = result.pose.pose.position
        np.testing.assert_allclose((position.x, position.y), forecast.prediction.mean[row, step])
        assert position.z == forecast.heights_m[row]
        assert detection.bbox.center == result.pose.pose
        covariance = result.pose.covariance.reshape(6, 6)
        np.testing.assert_allclose(covariance[:2, :2], forecast.prediction.covariance[row, step])
        np.testing.assert_array_equal(covariance, covariance.T)
        assert np.linalg.eigvalsh(covariance).min() > -1e-12


def test_the_yaw_of_a_pose_is_the_direction_of_the_path() -> None:
    forecast = walking_forecast(np.zeros((1, 2)), np.array([[0.0, 1.0]]))
    for detection in rendered(forecast).detections:
        orientation = detection.results[0].pose.pose.orientation
        assert (orientation.x, orientation.y) == (0.0, 0.0)
        assert 2 * np.arctan2(orientation.z, orientation.w) == pytest.approx(np.pi / 2)


def test_class_and_size_are_those_of_a_person() -> None:
    (detection, *_) = rendered(random_forecast(("1",))).detections
    assert detection.results[0].hypothesis.class_id == "person"
    assert detection.results[0].hypothesis.score == 1.0
    assert (detection.bbox.size.x, detection.bbox.size.y) == (0.6, 0.6)
    assert detection.bbox.size.z > 1.0
    changes = {"detections.class_id": "0", "person_radius_m": 0.2}
    (detection, *_) = rendered(random_forecast(("1",)), **changes).detections
    assert detection.results[0].hypothesis.class_id == "0"
    assert detection.bbox.size.x == 0.4
