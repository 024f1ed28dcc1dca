"""Predictions and samples as point clouds, read back field by field."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.forecasts import S, random_forecast

from social_implicit_ros.evaluation.published import prediction_from_point_cloud
from social_implicit_ros.ros.outputs.base import Output
from social_implicit_ros.ros.outputs.prediction_cloud import PredictionCloud
from social_implicit_ros.ros.outputs.samples_cloud import SamplesCloud
from social_implicit_ros.settings import PARAMETERS, NodeConfig
from social_implicit_ros.tracks.messages.point_cloud import point_cloud_array
from social_implicit_ros.tracks.stamps import stamp_ns_of
from social_implicit_ros.uncertainty.ellipses import radius_at

CONFIG = NodeConfig.from_values({spec.name: spec.default for spec in PARAMETERS})


def test_a_prediction_is_read_back_by_a_subscriber() -> None:
    forecast = random_forecast(("3", "9", "people/4"))
    message = PredictionCloud(CONFIG).render(forecast)

    read = prediction_from_point_cloud(message)

    order = np.argsort(forecast.numbers)
    assert read.stamp_ns == 12 * S + 345
    assert read.agents.tolist() == forecast.numbers[order].tolist()
    np.testing.assert_allclose(read.mean, forecast.prediction.mean[order], atol=1e-5)
    np.testing.assert_allclose(
        read.covariance, forecast.prediction.covariance[order], rtol=1e-6, atol=1e-6
    )
    assert read.n_observed.tolist() == forecast.n_observed[order].tolist()
    for confidence, radius in read.radii.items():
        np.testing.assert_allclose(
            radius, radius_at(forecast.prediction, confidence)[order], rtol=1e-6
        )
    assert list(read.radii) == [0.5, 0.95]


def test_fields_have_the_documented_names_and_types() -> None:
    message = PredictionCloud(CONFIG).render(random_forecast(("1",)))
    points = point_cloud_array(message)
    assert {name: points.dtype[name].str for name in points.dtype.names or ()} == {
        **dict.fromkeys(("x", "y", "z", "t", "sigma_xx", "sigma_xy", "sigma_yy"), "<f4"),
        **dict.fromkeys(("agent_id", "n_observed"), "<u4"),
        **dict.fromkeys(("radius_50", "radius_95"), "<f4"),
    }
    assert message.header.frame_id == "odom"
    assert (message.height, message.width) == (1, 12)
    assert message.row_step == len(message.data) == 12 * message.point_step
    assert message.is_dense


@pytest.mark.parametrize("output", [PredictionCloud(CONFIG), SamplesCloud(CONFIG)])
def test_a_cleared_cloud_has_the_fields_and_no_points(output: Output) -> None:
    """Readers ask for fields by name, and a consumer must not go on with the last cloud."""
    cleared = output.clear(5 * S)
    assert stamp_ns_of(cleared.header.stamp) == 5 * S
    assert cleared.fields == output.render(random_forecast(("1",))).fields
    assert len(point_cloud_array(cleared)) == 0


def test_the_reader_in_the_documents_reads_a_prediction() -> None:
    text = (Path(__file__).parents[3] / "docs/planners.md").read_text()
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], names)  # noqa: S102 (our own document)
    forecast = random_forecast(("3", "9"))
    output = PredictionCloud(CONFIG)

    people = names["people_in"](output.render(forecast))

    assert names["people_in"](output.clear(5 * S)) == {}
    assert list(people) == [3, 9]
    for agent, (times_s, positions_m, covariances_m2) in enumerate(people.values()):
        np.testing.assert_allclose(times_s, 12 + 345e-9 + forecast.times_s, rtol=1e-7)
        np.testing.assert_allclose(positions_m, forecast.prediction.mean[agent], rtol=1e-6)
        np.testing.assert_allclose(covariances_m2, forecast.prediction.covariance[agent], rtol=1e-6)


def test_rows_run_by_agent_then_by_step_with_time_and_height() -> None:
    forecast = random_forecast(("1", "2"))
    points = point_cloud_array(PredictionCloud(CONFIG).render(forecast))
    np.testing.assert_allclose(points["t"], np.tile(0.4 * np.arange(1, 13), 2), rtol=1e-6)
    np.testing.assert_array_equal(points["agent_id"], np.repeat([1, 2], 12))
    np.testing.assert_allclose(points["z"], np.repeat(forecast.heights_m, 12), rtol=1e-6)


def test_samples_run_by_sample_then_as_predictions() -> None:
    forecast = random_forecast(("1", "2", "5"), n_samples=4)
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), 3).T
    prediction = replace(forecast.prediction, probabilities=probabilities)
    forecast = replace(forecast, prediction=prediction)
    message = SamplesCloud(CONFIG).render(forecast)
    points = point_cloud_array(message).reshape(4, 3, 12)
    samples = forecast.prediction.samples
    np.testing.assert_allclose(points["x"], samples[..., 0], atol=1e-5)
    np.testing.assert_allclose(points["y"], samples[..., 1], atol=1e-5)
    np.testing.assert_allclose(points["z"][3, :, 7], forecast.heights_m, rtol=1e-6)
    assert (points["sample"] == np.arange(4)[:, None, None]).all()
    assert (points["agent_id"] == np.array([1, 2, 5])[:, None]).all()
    np.testing.assert_allclose(points["t"][2, 1], forecast.times_s, rtol=1e-6)
    assert (points["n_observed"] == forecast.n_observed[:, None]).all()
    assert points["probability"].dtype == np.float32
    np.testing.assert_allclose(points["probability"][..., 0], probabilities, rtol=1e-6)
    assert (points["probability"] == points["probability"][..., :1]).all()
    assert stamp_ns_of(message.header.stamp) == forecast.stamp_ns


@pytest.mark.parametrize("output", [PredictionCloud, SamplesCloud])
def test_without_people_the_cloud_is_empty_and_stamped(output: type) -> None:
    message = output(CONFIG).render(random_forecast(()))
    assert message.width == 0
    assert len(message.data) == 0
    assert stamp_ns_of(message.header.stamp) == 12 * S + 345
    assert point_cloud_array(message)["x"].shape == (0,)
