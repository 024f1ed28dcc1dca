"""The RViz layout shows topics that the node has, in the node's default frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from social_implicit_ros.ros.outputs.registry import OUTPUTS, load_output
from social_implicit_ros.ros.parameters import PARAMETERS, config_from_values

LAYOUT = Path(__file__).parents[3] / "config" / "predictor.rviz"
DEFAULTS: dict[str, Any] = {spec.name: spec.default for spec in PARAMETERS}


def shown() -> dict[str, Any]:
    manager: dict[str, Any] = yaml.safe_load(LAYOUT.read_text())["Visualization Manager"]
    return manager


def test_every_topic_shown_is_one_of_the_node() -> None:
    config = config_from_values(DEFAULTS)
    topics = {load_output(name, config).topic.replace("~", "/predictor") for name in OUTPUTS}
    displayed = {display["Topic"]["Value"] for display in shown()["Displays"] if "Topic" in display}
    assert displayed <= topics | {"/predictor/tracks"}
    assert "/predictor/markers" in displayed


def test_the_frame_is_the_nodes_default() -> None:
    assert shown()["Global Options"]["Fixed Frame"] == DEFAULTS["fixed_frame"]
