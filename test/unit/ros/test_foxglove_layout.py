"""The layout for Foxglove and Lichtblick shows topics and values that the node publishes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.outputs import installed_outputs

from social_implicit_ros.ros.outputs.registry import load_output
from social_implicit_ros.ros.reporting.diagnostics import DiagnosticsLog, NodeState
from social_implicit_ros.settings import PARAMETERS, NodeConfig

LAYOUT = Path(__file__).parents[3] / "config" / "foxglove_layout.json"
DEFAULTS: dict[str, Any] = {spec.name: spec.default for spec in PARAMETERS}


def panels() -> dict[str, Any]:
    contents: dict[str, Any] = json.loads(LAYOUT.read_text())["configById"]
    return contents


def panel(kind: str) -> dict[str, Any]:
    (found,) = [contents for name, contents in panels().items() if name.startswith(f"{kind}!")]
    assert isinstance(found, dict)
    return found


def places(layout: Any) -> Iterator[str]:
    """Names of the panels that a layout places."""
    if isinstance(layout, str):
        yield layout
    else:
        yield from places(layout["first"])
        yield from places(layout["second"])


def test_every_panel_has_its_place() -> None:
    assert sorted(places(json.loads(LAYOUT.read_text())["layout"])) == sorted(panels())


def test_the_scene_shows_the_nodes_topics_in_its_frame() -> None:
    config = NodeConfig.from_values(DEFAULTS)
    topics = {
        load_output(name, config).topic.replace("~", "/predictor") for name in installed_outputs()
    }
    scene = panel("3D")
    assert set(scene["topics"]) <= topics
    visible = {topic for topic, settings in scene["topics"].items() if settings["visible"]}
    assert visible == {"/predictor/markers", "/predictor/costmap"}
    assert scene["followTf"] == DEFAULTS["fixed_frame"]
    assert {layer["frameId"] for layer in scene["layers"].values()} == {DEFAULTS["fixed_frame"]}


def test_status_and_plot_read_values_of_the_diagnostics() -> None:
    status = DiagnosticsLog({}).report("/predictor", NodeState("active"), 0, 0.0)
    chosen = panel("DiagnosticStatusPanel")
    assert chosen["topicToRender"] == "/diagnostics"
    assert chosen["selectedHardwareId"] == status.hardware_id
    assert chosen["selectedName"] == status.name
    for path in panel("Plot")["paths"]:
        parts = re.fullmatch(
            r'/diagnostics\.status\[:]\{hardware_id=="(.+?)"}\.values\[:]\{key=="(.+?)"}\.value',
            path["value"],
        )
        assert parts is not None, path["value"]
        assert parts[1] == status.hardware_id
        assert parts[2] in {entry.key for entry in status.values}
