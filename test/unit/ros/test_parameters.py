"""One table declares every parameter; values are checked by it, one by one and together."""

from __future__ import annotations

from array import array
from typing import Any

import pytest

from social_implicit_ros.parameter_spec import ParameterError
from social_implicit_ros.ros.parameter_node import check_change, descriptor_of
from social_implicit_ros.settings import PARAMETERS, NodeConfig, unknown_parameters

DEFAULTS: dict[str, Any] = {spec.name: spec.default for spec in PARAMETERS}


def test_defaults_are_a_valid_config() -> None:
    config = NodeConfig.from_values(DEFAULTS)
    assert config.tracker == "marker_array"
    assert config.predictor.pipeline.n_samples == 20
    assert config.markers.lifetime_s == 0.6


def test_lists_are_taken_as_rclpy_delivers_them() -> None:
    values = {**DEFAULTS, "confidence_levels": array("d", [0.9]), "outputs": ["samples"]}
    config = NodeConfig.from_values(values)
    assert config.confidence_levels == (0.9,)
    assert config.outputs == ("samples",)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("tick_rate_hz", 10, r"of type int, expected float; write 10\.0"),
        ("tick_rate_hz", -1.0, "expected a value from 0.0 to 1000.0"),
        ("tick_rate_hz", float("nan"), "expected a finite number"),
        ("n_samples", 0, "expected a value from 1 to 1000"),
        ("n_samples", True, "of type bool, expected int"),
        ("n_samples", "many", "of type str, expected int"),
        ("autostart", 1, "of type int, expected bool"),
        ("outputs", ["markers", "smoke"], "'smoke', expected one of"),
        ("outputs", ["markers", "markers"], "expected no element twice"),
        ("outputs", "markers", r"expected a list, such as \[pointcloud, markers\]"),
        ("robot", True, "of type bool, expected str one of none, odometry, tf"),
        ("outputs", [], "empty list"),
        ("confidence_levels", [0.5, 1.0], "expected a value from 0.01 to 0.999"),
        ("fixed_frame", "", "expected a frame such as odom or map"),
        ("markers.lifetime_s", 0.1, "more than the 0.1 s between two ticks"),
        ("seed", -1, "expected a value from 0"),
    ],
)
def test_a_bad_value_is_named_with_expected_ones(name: str, value: object, message: str) -> None:
    with pytest.raises(ParameterError, match=message) as caught:
        NodeConfig.from_values({**DEFAULTS, name: value})
    assert name in str(caught.value)


def test_parameters_of_the_next_tick_may_change_while_configured() -> None:
    check_change(DEFAULTS, {"n_samples": 50, "tick_rate_hz": 5.0}, is_configured=True)


def test_parameters_of_configure_may_change_only_before_it() -> None:
    check_change(DEFAULTS, {"model": "other"}, is_configured=False)
    with pytest.raises(ParameterError, match="model takes effect at configure only"):
        check_change(DEFAULTS, {"model": "other"}, is_configured=True)


def test_setting_the_same_value_again_is_no_change() -> None:
    check_change(DEFAULTS, {"outputs": ["pointcloud", "markers"]}, is_configured=True)


def test_values_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ParameterError, match="lifetime"):
        check_change(DEFAULTS, {"tick_rate_hz": 1.0}, is_configured=True)
    check_change(DEFAULTS, {"tick_rate_hz": 1.0, "markers.lifetime_s": 2.0}, is_configured=True)
    without_markers = {**DEFAULTS, "outputs": ["pointcloud"]}
    check_change(without_markers, {"tick_rate_hz": 1.0}, is_configured=True)


def test_more_trajectories_than_fit_into_memory_are_refused() -> None:
    check_change(DEFAULTS, {"n_samples": 1000}, is_configured=True)
    check_change(DEFAULTS, {"max_agents": 100_000}, is_configured=True)
    with pytest.raises(ParameterError, match="n_samples times max_agents is 100000000"):
        check_change(DEFAULTS, {"n_samples": 1000, "max_agents": 100_000}, is_configured=True)


def test_more_observations_than_fit_into_memory_are_refused() -> None:
    check_change(DEFAULTS, {"max_history": 10_000}, is_configured=False)
    with pytest.raises(ParameterError, match="max_agents times max_history is 1000000000"):
        NodeConfig.from_values({**DEFAULTS, "max_agents": 100_000, "max_history": 10_000})


def test_parameters_outside_the_table_are_not_checked() -> None:
    check_change(DEFAULTS, {"use_sim_time": True}, is_configured=True)


def test_unknown_names_are_reported_with_the_nearest_known_name() -> None:
    names = ("tick_rate", "use_sim_time", "qos_overrides./tracks.subscription.depth", "seed", "zzz")
    assert unknown_parameters(names) == [
        "unknown parameter tick_rate is ignored (did you mean tick_rate_hz?)",
        "unknown parameter zzz is ignored",
    ]


def test_a_topic_that_is_set_as_a_parameter_is_named() -> None:
    (line,) = unknown_parameters(["tracks"])
    assert line.endswith("it is a topic, remap ~/tracks or launch with tracks:=/...")


@pytest.mark.parametrize("spec", PARAMETERS, ids=lambda spec: spec.name)
def test_every_parameter_has_a_description_and_a_range(spec: Any) -> None:
    descriptor = descriptor_of(spec)
    assert spec.description.endswith(".")
    assert descriptor.description.startswith(spec.description)
    assert all(f"{name}: " in descriptor.description for name in spec.choices)
    ranges = [*descriptor.floating_point_range, *descriptor.integer_range]
    if type(spec.default) in (int, float):
        assert [(r.from_value, r.to_value) for r in ranges] == [(spec.minimum, spec.maximum)]
    else:
        assert ranges == []
