"""`~/predictions` messages are decoded by field name, whatever the order of their rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

from social_implicit_ros.evaluation.published import FIELDS, prediction_from_point_cloud
from social_implicit_ros.recordings.bag_writer import zero_message
from social_implicit_ros.tracks.messages.point_cloud import point_cloud_data, point_field_layout

STORE = get_typestore(Stores.ROS2_HUMBLE)


def message(columns: dict[str, np.ndarray]) -> Any:
    points = point_cloud_data(columns)
    zero_field = zero_message(STORE, "sensor_msgs/msg/PointField")
    zero = zero_message(STORE, "sensor_msgs/msg/PointCloud2")
    zero.header.stamp.sec = 3
    return replace(
        zero,
        height=1,
        width=len(points),
        fields=[
            replace(zero_field, name=name, offset=offset, datatype=datatype, count=1)
            for name, offset, datatype in point_field_layout(points.dtype)
        ],
        point_step=points.dtype.itemsize,
        row_step=points.nbytes,
        data=np.frombuffer(points.tobytes(), np.uint8),
    )


def columns(n_agents: int = 2, n_steps: int = 3) -> dict[str, np.ndarray]:
    """Every value encodes its agent (20, 30, ...) and step (1, 2, ...)."""
    agents = np.repeat(np.arange(2, 2 + n_agents) * 10, n_steps).astype(np.uint32)
    steps = np.tile(np.arange(1, n_steps + 1), n_agents)
    place = (agents + steps).astype(np.float32)
    return {
        "x": place,
        "y": -place,
        "z": place * 0,
        "t": (0.4 * steps).astype(np.float32),
        "agent_id": agents,
        "sigma_xx": place + 100,
        "sigma_xy": place * 0 + 1,
        "sigma_yy": place + 200,
        "n_observed": (agents // 10).astype(np.uint32),
    }


def test_rows_in_any_order_become_agents_and_steps() -> None:
    order = np.random.default_rng(0).permutation(6)
    prediction = prediction_from_point_cloud(
        message({name: values[order] for name, values in columns().items()})
    )
    assert prediction.stamp_ns == 3_000_000_000
    assert prediction.agents.tolist() == [20, 30]
    assert prediction.n_observed.tolist() == [2, 3]
    np.testing.assert_allclose(prediction.times_s, [0.4, 0.8, 1.2], rtol=1e-6)
    np.testing.assert_array_equal(prediction.mean[..., 0], [[21, 22, 23], [31, 32, 33]])
    np.testing.assert_array_equal(prediction.mean[..., 1], -prediction.mean[..., 0])
    np.testing.assert_array_equal(prediction.covariance[1, 2], [[133, 1], [1, 233]])
    np.testing.assert_allclose(prediction.stamps_ns, [3.4e9, 3.8e9, 4.2e9], atol=100)


def test_ellipses_have_the_published_radius_or_that_of_a_gaussian() -> None:
    plain = prediction_from_point_cloud(message(columns()))
    radius = np.full(6, 0.5, dtype=np.float32)
    decoded = prediction_from_point_cloud(message({**columns(), "radius_50": radius}))

    assert list(decoded.radii) == [0.5]
    np.testing.assert_allclose(decoded.ellipses(0.5), 0.25 * decoded.covariance)
    np.testing.assert_allclose(decoded.ellipses(0.95), plain.ellipses(0.95))
    np.testing.assert_allclose(plain.ellipses(0.95), -2.0 * np.log(0.05) * plain.covariance)


def test_a_prediction_of_nobody_is_empty() -> None:
    prediction = prediction_from_point_cloud(message(columns(n_agents=0)))
    assert prediction.agents.size == prediction.times_s.size == 0


@pytest.mark.parametrize("name", FIELDS)
def test_a_missing_field_is_named(name: str) -> None:
    rest = {key: values for key, values in columns().items() if key != name}
    with pytest.raises(ValueError, match=f"no field {name}"):
        prediction_from_point_cloud(message(rest))


def test_agents_with_different_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="different steps"):
        prediction_from_point_cloud(message({key: v[:-1] for key, v in columns().items()}))
    shifted = columns()
    shifted["t"][4] = 0.7
    with pytest.raises(ValueError, match="different steps"):
        prediction_from_point_cloud(message(shifted))
