"""Outputs are imported when asked for; what is missing is named with how to get it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from support.forecasts import random_forecast

from social_implicit_ros.ros.outputs.registry import OUTPUTS, load_output
from social_implicit_ros.settings import PARAMETERS, NodeConfig

CONFIG = NodeConfig.from_values({spec.name: spec.default for spec in PARAMETERS})


def test_the_table_alone_imports_no_output() -> None:
    program = (
        "import sys, social_implicit_ros.ros.outputs.registry\n"
        "print(*(name for name in sys.modules if '.ros.outputs.' in name))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert {name.rpartition(".")[2] for name in done.stdout.split()} == {
        "base",
        "cdr_writer",
        "registry",
    }


def test_the_parameter_outputs_offers_every_output() -> None:
    (spec,) = (spec for spec in PARAMETERS if spec.name == "outputs")
    assert list(spec.choices) == list(OUTPUTS)


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_implements_the_interface(name: str) -> None:
    module_name, class_name = OUTPUTS[name]
    try:
        import_module(f"social_implicit_ros.ros.outputs.{module_name}")
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")
    output = load_output(name, CONFIG)
    assert type(output).__name__ == class_name
    assert output.topic.startswith("~/")
    assert output.qos().depth >= 1
    assert hasattr(output.message_class, "SLOT_TYPES")


def test_no_two_outputs_share_a_topic() -> None:
    topics = []
    for name in OUTPUTS:
        try:
            topics.append(load_output(name, CONFIG).topic)
        except ValueError:
            continue
    assert len(set(topics)) == len(topics)


def test_a_missing_package_is_named_with_how_to_get_it(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "vision_msgs", None)
    monkeypatch.setitem(sys.modules, "vision_msgs.msg", None)
    monkeypatch.delitem(sys.modules, "social_implicit_ros.ros.outputs.detections", raising=False)
    with pytest.raises(
        ValueError, match=r"'detections' needs vision_msgs.*ros-\$ROS_DISTRO-vision-msgs"
    ):
        load_output("detections", CONFIG)


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_says_whether_it_reads_samples(name: str) -> None:
    """For the others no samples are made, to save time."""
    try:
        output = load_output(name, CONFIG)
    except ValueError as error:
        pytest.skip(str(error))
    forecast = replace(random_forecast(("1", "2", "3")), robot_m=np.array([100.0, 100.0]))
    other = replace(
        forecast,
        prediction=replace(forecast.prediction, samples=forecast.prediction.samples[::-1] - 9.0),
    )
    assert (output.render(forecast) != output.render(other)) == output.reads_samples
