"""The RViz layout shows topics that the node has, in the node's default frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from support.outputs import installed_outputs

from social_implicit_ros.ros.outputs.registry import load_output
from social_implicit_ros.settings import PARAMETERS, NodeConfig

LAYOUT = Path(__file__).parents[3] / "config" / "predictor.rviz"
DEFAULTS: dict[str, Any] = {spec.name: spec.default for spec in PARAMETERS}


def shown() -> dict[str, Any]:
    manager: dict[str, Any] = yaml.safe_load(LAYOUT.read_text())["Visualization Manager"]
    return manager


def test_every_topic_shown_is_one_of_the_node() -> None:
    config = NodeConfig.from_values(DEFAULTS)
    topics = {
        load_output(name, config).topic.replace("~", "/predictor") for name in installed_outputs()
    }
    displayed = {display["Topic"]["Value"] for display in shown()["Displays"] if "Topic" in display}
    assert displayed <= topics | {"/predictor/tracks"}
    assert "/predictor/markers" in displayed


def test_the_frame_is_the_nodes_default() -> None:
    assert shown()["Global Options"]["Fixed Frame"] == DEFAULTS["fixed_frame"]


def test_the_demo_shows_the_same_from_another_view() -> None:
    demo = yaml.safe_load((LAYOUT.parent / "demo.rviz").read_text())
    layout = yaml.safe_load(LAYOUT.read_text())
    for contents in (demo, layout):
        del contents["Visualization Manager"]["Views"]["Current"]["Focal Point"]
        del contents["Visualization Manager"]["Views"]["Current"]["Distance"]
    assert demo == layout


def test_every_marker_namespace_is_enabled() -> None:
    levels = DEFAULTS["confidence_levels"]
    kinds = {"person", "past", "future", *(f"ellipse/{level:g}" for level in levels)}
    (markers,) = [d for d in shown()["Displays"] if d["Name"] == "Predictions"]
    assert markers["Namespaces"] == dict.fromkeys(kinds, True)
