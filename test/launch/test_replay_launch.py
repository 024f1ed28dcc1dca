"""`replay.launch.py` and `demo.launch.py` start node and replay; all exit cleanly."""

from __future__ import annotations

import unittest
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("launch_testing", reason="needs launch_testing: source a ROS distribution")

import launch_testing
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_testing.actions import ReadyToTest
from sensor_msgs.msg import PointCloud2
from support.ros import Peer
from visualization_msgs.msg import MarkerArray

from social_implicit_ros.ros.processes.domains import reserve_domain

LAUNCH = Path(__file__).parents[2] / "launch"
DOMAIN = reserve_domain()


@pytest.mark.launch_test
@launch_testing.parametrize("launch_file", ["replay.launch.py", "demo.launch.py"])
def generate_test_description(launch_file: str) -> LaunchDescription:
    arguments = {"rate": "4.0", "namespace": "robot1", "model": "constant_velocity"}
    if launch_file == "replay.launch.py":
        crowd = resources.files("social_implicit_ros.recordings") / "crowd"
        arguments |= {"file": str(crowd), "loop": "true"}
    else:
        arguments["rviz"] = "false"  # the demo has its own recording
    return LaunchDescription(
        [
            SetEnvironmentVariable("ROS_DOMAIN_ID", str(DOMAIN)),
            SetEnvironmentVariable("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST"),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(LAUNCH / launch_file)),
                launch_arguments=arguments.items(),
            ),
            ReadyToTest(),
        ]
    )


class TestReplay(unittest.TestCase):
    def test_predictions_and_markers_arrive(self) -> None:
        peer = Peer(DOMAIN)
        self.addCleanup(peer.close)
        clouds = peer.collect(PointCloud2, "/robot1/predictor/predictions")
        arrays = peer.collect(MarkerArray, "/robot1/predictor/markers")
        cloud = peer.wait_for(
            lambda: next((c for c in clouds if c.width > 12), None), "a prediction", None
        )
        assert cloud.header.frame_id == "odom"
        wanted = {"past", "future", "ellipse/0.95"}
        peer.wait_for(
            lambda: wanted <= {marker.ns for array in arrays for marker in array.markers},
            "markers",
            None,
        )


@launch_testing.post_shutdown_test()
class TestEnd(unittest.TestCase):
    def test_all_processes_exit_with_0_and_without_traceback(
        self, proc_info: Any, proc_output: Any
    ) -> None:
        names = proc_info.process_names()
        assert len(names) == 2
        launch_testing.asserts.assertExitCodes(proc_info, allowable_exit_codes=[0])
        for name in names:
            output = "".join(part.text.decode() for part in proc_output[name])
            assert "Traceback" not in output
