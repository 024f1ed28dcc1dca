"""A replay reads the node's parameter file, and refuses the values that the node refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from social_implicit_ros.parameter_spec import ParameterError
from social_implicit_ros.prediction.replay_settings import (
    load_choices,
    load_settings,
    sections_of_others,
)


def file_with(folder: Path, *lines: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text("\n    ".join(["/**:\n  ros__parameters:", *lines]) + "\n")
    return path


def test_missing_parameters_have_the_defaults_of_a_replay(tmp_path: Path) -> None:
    settings = load_settings(file_with(tmp_path, "n_samples: 5"))
    assert (settings.tick_rate_hz, settings.fixed_frame) == (2.5, "")
    assert settings.pipeline.n_samples == 5


@pytest.mark.parametrize(
    ("sections", "is_for_node"),
    [
        ("predictor:", False),
        ("robot1/predictor:", True),
        ("/robot1/predictor:", True),
        ("robot1:\n  predictor:", True),
        ("robot1:\n  planner:", False),
        ("/**:", True),
        ("/**/predictor:", True),
        ("/*/predictor:", True),
        ("/*:", False),
        ("/robot2/**:", False),
        ("other: {ros__parameters: {a: 1}}\n/robot1/*:", True),
    ],
)
def test_the_sections_of_a_file_without_one_for_the_node_are_named(
    tmp_path: Path, sections: str, is_for_node: bool
) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"{sections} {{ros__parameters: {{confidence: 0.5}}}}\n")
    assert (sections_of_others(path, "/robot1/predictor") == []) == is_for_node


def test_parameters_in_the_file_override_defaults(tmp_path: Path) -> None:
    settings = load_settings(file_with(tmp_path, "tick_rate_hz: 10.0", "fixed_frame: map"))
    assert (settings.tick_rate_hz, settings.fixed_frame) == (10.0, "map")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tick_rate_hz: 10", r"tick_rate_hz is 10 of type int, expected float; write 10\.0"),
        ("confidence: 0,95", r"confidence is '0,95' of type str, expected float; write 0\.95$"),
        ("confidence: 1e-1", r"; write 0\.1$"),
        ("confidence: high", r"confidence is 'high' of type str, expected float$"),
        ("tick_rate_hz: -1.0", "tick_rate_hz is -1.0, expected a value from 0.0"),
        ("horizon_s: 100.0", "horizon_s is 100.0, expected a value from 0.0 to 60.0"),
        ("max_agents: 1000000", "max_agents is 1000000"),
        ("robot: wheels", "robot is 'wheels', expected one of none, odometry, tf"),
        ("add_tracker_covariance: 1", "of type int, expected bool"),
        ("model: 7", "model is 7 of type int, expected str"),
        ("markers: {lifetime_s: 0.0}", r"markers\.lifetime_s is 0\.0"),
        ("costmap.end_s: -1.0", r"costmap\.end_s is -1\.0"),
        ("fixed_frame: ''", "fixed_frame is empty"),
        ("time_step_s: 1.0e-9", r"time_step_s is 1e-09, expected 0 or a value from 0\.01"),
        ("tick_rate_hz: 1.0e-300", r"tick_rate_hz is 1e-300, expected 0 or a value from 0\.01"),
        ("horizon_s: 1.0e-9", "horizon_s is 1e-09, expected 0 or"),
        ("tick_rate_hz: " + "9" * 400, "integer of more than 64 bits"),
        ("n_samples: 0x" + "f" * 5000, "integer of more than 64 bits"),
        (f"confidence_levels: {[0.5 + n / 1e5 for n in range(5000)]}", "has 5000 elements"),
        (f"model: [{'1, ' * 5000}]", r"model is \[1, 1.{,80}\.\.\. of type list"),
        ("model: !!bool x", "is not YAML"),
    ],
)
def test_values_that_the_node_refuses_are_refused(tmp_path: Path, line: str, message: str) -> None:
    path = file_with(tmp_path, line)
    with pytest.raises(ParameterError, match=message) as caught:
        load_settings(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "rate_hz"),
    [
        ("predictor: {ros__parameters: {tick_rate_hz: 5.0}}", 5.0),
        ("robot1: {predictor: {ros__parameters: {tick_rate_hz: 5.0}}}", 5.0),
        ("/robot1/predictor: {ros__parameters: {tick_rate_hz: 5.0}}", 5.0),
        ("my_name: {ros__parameters: {tick_rate_hz: 5.0}}", 5.0),
        # Sections for all nodes come first, whatever their order.
        ("predictor: {ros__parameters: {tick_rate_hz: 5.0}}\n"
         "/**: {ros__parameters: {tick_rate_hz: 7.0}}", 5.0),
        ("/**: {ros__parameters: {tick_rate_hz: 7.0, other: [], another: {}}}", 7.0),
        # The parameters of other nodes are not the predictor's.
        ("yolo: {ros__parameters: {tick_rate_hz: 9.0}}\n"
         "predictor: {ros__parameters: {tick_rate_hz: 5.0}}", 5.0),
    ],
)  # fmt: skip
def test_the_sections_of_the_predictor_count(tmp_path: Path, content: str, rate_hz: float) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text(content)
    assert load_settings(path).tick_rate_hz == rate_hz


def test_a_file_whose_section_is_not_clear_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text("yolo: {ros__parameters: {a: 1}}\nnav2: {ros__parameters: {b: 1}}")
    with pytest.raises(ParameterError, match="sections /yolo, /nav2: keep one, named predictor"):
        load_settings(path)


@pytest.mark.parametrize("change", [{"tick_rate_hz": 2000.0}, {"robot": "wheels"}])
def test_options_are_checked(change: dict) -> None:
    with pytest.raises(ParameterError, match=next(iter(change))):
        replace(load_settings(), **change)


def test_a_model_or_tracker_of_the_wrong_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="tracker is 7 of type int"):
        load_choices(file_with(tmp_path, "tracker: 7"))
