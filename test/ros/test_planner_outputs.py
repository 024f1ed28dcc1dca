"""Every output of a planner, over DDS from the real node to a consumer."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from nav_msgs.msg import OccupancyGrid, Odometry
from support.ros import NodeUnderTest
from support.tracks import WALKERS, S, walkers_at
from visualization_msgs.msg import MarkerArray

from social_implicit_ros.ros import qos

Start = Callable[..., NodeUnderTest]

#: Output -> package, message and the field that holds a person each.
PACKAGED = {
    "mpc_planner": ("mpc_planner_msgs", "ObstacleArray", "obstacles"),
    "detections": ("vision_msgs", "Detection3DArray", "detections"),
    "autoware": ("autoware_perception_msgs", "PredictedObjects", "objects"),
    "people": ("people_msgs", "People", "people"),
    "costmap_converter": ("costmap_converter_msgs", "ObstacleArrayMsg", "obstacles"),
}


def test_outputs_switched_on_by_their_names_arrive_and_are_cleared(restart: Start) -> None:
    classes = {name: message_class(name) for name in PACKAGED if is_installed(PACKAGED[name][0])}
    if not classes:
        pytest.skip("no planner's message package is installed (make test builds them)")
    node = restart(outputs=[*classes])
    received = {name: node.collect(kind, f"/predictor/{name}") for name, kind in classes.items()}
    tracks = node.publisher(MarkerArray, "/predictor/tracks")
    stamps_ns = itertools.count(10 * S, S // 10)

    def with_people(name: str) -> list[Any]:
        field = PACKAGED[name][2]
        return [message for message in received[name] if getattr(message, field)]

    def predicted() -> bool:
        tracks.publish(walkers_at(next(stamps_ns)))
        return all(with_people(name) for name in classes)

    node.wait_for(predicted, "people in every output")
    for name in classes:
        message = with_people(name)[0]
        assert message.header.frame_id == "odom"
        n_entries = len(getattr(message, PACKAGED[name][2]))
        assert n_entries == len(WALKERS) * (12 if name == "detections" else 1)

    # Planners keep what they got last: nobody may stay behind.
    assert node.transition("deactivate")

    def cleared() -> bool:
        return not any(getattr(received[name][-1], PACKAGED[name][2]) for name in classes)

    node.wait_for(cleared, "an empty message of every output")


def test_the_costmap_reaches_late_subscribers_and_changes_its_size(restart: Start) -> None:
    node = restart(outputs=["costmap"], robot="odometry", position_noise_m=0.0)
    grids: list[OccupancyGrid] = []
    node.peer.node.create_subscription(
        OccupancyGrid, "/predictor/costmap", grids.append, qos.costmap()
    )
    node.wait_for(lambda: grids, "the free costmap from before")
    assert not any(grids[0].data)

    tracks = node.publisher(MarkerArray, "/predictor/tracks")
    odometry = node.publisher(Odometry, "/predictor/odometry")
    stamps_ns = itertools.count(10 * S, S // 10)

    def occupied() -> bool:
        message = walkers_at(next(stamps_ns))
        robot = Odometry(header=message.markers[0].header)
        robot.pose.pose = message.markers[0].pose
        odometry.publish(robot)
        tracks.publish(message)
        return any(grids[-1].data)

    node.wait_for(occupied, "a costmap with people in it")
    assert grids[-1].info.width == 200
    assert max(grids[-1].data) == 100

    assert node.set_parameters(costmap__size_m=12.0).successful
    node.wait_for(lambda: occupied() and grids[-1].info.width == 120, "a costmap of 12 m")
    refused = node.set_parameters(costmap__end_s=1.0, costmap__start_s=2.0)
    assert not refused.successful
    assert "costmap.end_s" in refused.reason


def message_class(name: str) -> type:
    package, class_name, _ = PACKAGED[name]
    kind: type = getattr(import_module(f"{package}.msg"), class_name)
    return kind


def is_installed(package: str) -> bool:
    try:
        import_module(f"{package}.msg")
    except ModuleNotFoundError:
        return False
    return True
