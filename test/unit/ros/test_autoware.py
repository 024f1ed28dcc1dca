"""`~/autoware`, read as the planning of Autoware reads predicted objects."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pytest

pytest.importorskip("autoware_perception_msgs.msg", reason="needs autoware_perception_msgs")

from autoware_perception_msgs.msg import ObjectClassification, PredictedObjects, PredictedPath
from support.forecasts import random_forecast, walking_forecast
from support.outputs import rendered_by

from social_implicit_ros.ros.outputs.autoware import Autoware
from social_implicit_ros.tracks.stamps import stamp_ns_of
from social_implicit_ros.types import FloatArray


def rendered(forecast: Any, **changes: Any) -> PredictedObjects:
    return rendered_by(Autoware, forecast, **changes)


def interpolated(path: PredictedPath, after_s: float) -> FloatArray:
    """Position of an object at a time after the header's stamp; Autoware does not extrapolate."""
    step_s = path.time_step.sec + 1e-9 * path.time_step.nanosec
    points = np.array([(pose.position.x, pose.position.y) for pose in path.path])
    times_s = step_s * np.arange(len(points))
    assert 0.0 <= after_s <= times_s[-1] + 1e-9
    return np.array([np.interp(after_s, times_s, points[:, axis]) for axis in range(2)])


def test_the_mean_path_comes_first_and_begins_at_the_stamp() -> None:
    forecast = random_forecast(("1", "2", "3"))
    message = rendered(forecast)
    assert stamp_ns_of(message.header.stamp) == forecast.stamp_ns
    assert message.header.frame_id == "odom"
    for row, item in enumerate(message.objects):
        mean, *others = item.kinematics.predicted_paths
        np.testing.assert_allclose(interpolated(mean, 0.0), forecast.present_m[row])
        for step, time_s in enumerate(forecast.times_s):
            expected = forecast.prediction.mean[row, step]
            np.testing.assert_allclose(interpolated(mean, time_s), expected)
        assert len(others) > 0
        assert mean.path[0] == item.kinematics.initial_pose_with_covariance.pose
        assert mean.path[0].position.z == forecast.heights_m[row]


def test_other_paths_are_samples_from_the_same_present() -> None:
    forecast = random_forecast(("1", "2"))
    for row, item in enumerate(rendered(forecast).objects):
        for path in item.kinematics.predicted_paths[1:]:
            np.testing.assert_allclose(interpolated(path, 0.0), forecast.present_m[row])
            ends = forecast.prediction.samples[:, row, -1]
            assert np.isclose(ends, interpolated(path, 4.8)).all(axis=1).any()


@pytest.mark.parametrize("max_paths", [1, 2, 5, 10])
def test_confidences_add_up_to_one(max_paths: int) -> None:
    message = rendered(random_forecast(("1", "2", "3")), **{"autoware.max_paths": max_paths})
    for item in message.objects:
        confidences = [path.confidence for path in item.kinematics.predicted_paths]
        assert len(confidences) <= max_paths
        assert sum(confidences) == pytest.approx(1.0, abs=1e-6)
        assert all(0.0 < confidence <= 1.0 for confidence in confidences[1:])


def test_a_mode_without_samples_is_omitted() -> None:
    forecast = walking_forecast(np.zeros((1, 2)), np.ones((1, 2)))
    (item,) = rendered(forecast).objects
    assert [path.confidence for path in item.kinematics.predicted_paths] == [1.0]


def test_every_object_is_an_existing_pedestrian() -> None:
    for item in rendered(random_forecast(("1", "2"))).objects:
        (classification,) = item.classification
        assert classification.label == ObjectClassification.PEDESTRIAN == 7
        assert classification.probability == item.existence_probability == 1.0
        assert item.shape.type == 1  # a cylinder
        assert item.shape.dimensions.x == item.shape.dimensions.y == 0.6


def test_ids_are_the_same_from_tick_to_tick_and_the_trackers_own_where_it_has_uuids() -> None:
    own = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
    first = rendered(random_forecast(("1", "2", own.hex)))
    second = rendered(random_forecast((own.hex, "2"), seed=5))
    ids = [[bytes(item.object_id.uuid) for item in message.objects] for message in (first, second)]
    assert len(set(ids[0])) == 3
    assert ids[1] == [ids[0][2], ids[0][1]]
    assert ids[0][2] == own.bytes


@pytest.mark.parametrize("heading_rad", [0.0, 2.0, -0.7])
def test_the_twist_is_in_the_objects_own_axes(heading_rad: float) -> None:
    velocity = 1.3 * np.array([np.cos(heading_rad), np.sin(heading_rad)])
    (item,) = rendered(walking_forecast(np.zeros((1, 2)), velocity[None])).objects
    linear = item.kinematics.initial_twist_with_covariance.twist.linear
    assert (linear.x, linear.y) == pytest.approx((1.3, 0.0), abs=1e-9)
    orientation = item.kinematics.initial_pose_with_covariance.pose.orientation
    yaw_rad = 2 * np.arctan2(orientation.z, orientation.w)
    assert np.cos(yaw_rad - heading_rad) == pytest.approx(1.0)


def test_the_initial_covariance_is_no_smaller_than_what_is_known() -> None:
    forecast = random_forecast(("1", "2"))
    for row, item in enumerate(rendered(forecast).objects):
        covariance = item.kinematics.initial_pose_with_covariance.covariance.reshape(6, 6)
        np.testing.assert_allclose(covariance[:2, :2], forecast.prediction.covariance[row, 0])
        assert np.linalg.eigvalsh(covariance).min() > -1e-12
