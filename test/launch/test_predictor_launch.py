"""`predictor.launch.py` with every argument: each reaches the node and has its effect.

With `autostart:=false` the launch file of this test moves the node through its lifecycle.
"""

from __future__ import annotations

import unittest
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("launch_testing", reason="needs launch_testing: source a ROS distribution")
pytest.importorskip("people_msgs", reason="needs people_msgs (make test builds it)")
pytest.importorskip("mpc_planner_msgs", reason="needs mpc_planner_msgs (make test builds it)")

import launch_testing
from launch import LaunchDescription
from launch.actions import (
    EmitEvent,
    IncludeLaunchDescription,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_testing.actions import ReadyToTest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import GetState
from mpc_planner_msgs.msg import ObstacleArray
from people_msgs.msg import People, Person
from rcl_interfaces.srv import GetParameters
from rclpy.parameter import parameter_value_to_python
from rosgraph_msgs.msg import Clock
from support.ros import Peer
from visualization_msgs.msg import MarkerArray

from social_implicit_ros.ros.messages import stamp_to_msg
from social_implicit_ros.ros.processes.domains import reserve_domain

PREDICTOR = Path(__file__).parents[2] / "launch" / "predictor.launch.py"
DOMAIN = reserve_domain()
S = 1_000_000_000


def is_predictor(action: Any) -> bool:
    return type(action).__name__ == "LifecycleNode"


def transition(number: int) -> EmitEvent:
    return EmitEvent(event=ChangeState(lifecycle_node_matcher=is_predictor, transition_id=number))


@pytest.mark.launch_test
def generate_test_description() -> tuple[LaunchDescription, dict[str, Any]]:
    params_file = Path(__file__).with_name("predictor_launch.yaml")
    arguments = {
        "namespace": "robot1",
        "tracker": "people",
        "tracks": "/people",
        "fixed_frame": "map",
        "outputs": "[markers,mpc_planner]",
        "model": "constant_velocity",
        "params_file": str(params_file),
        "use_sim_time": "true",
        "rviz": "false",
        "log_level": "debug",
        "autostart": "false",
    }

    description = LaunchDescription(
        [
            SetEnvironmentVariable("ROS_DOMAIN_ID", str(DOMAIN)),
            SetEnvironmentVariable("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST"),
            RegisterEventHandler(
                OnStateTransition(
                    goal_state="inactive",
                    start_state="configuring",
                    entities=[transition(Transition.TRANSITION_ACTIVATE)],
                )
            ),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(PREDICTOR)), launch_arguments=arguments.items()
            ),
            transition(Transition.TRANSITION_CONFIGURE),
            ReadyToTest(),
        ]
    )
    return description, {"arguments": arguments}


class TestPredictor(unittest.TestCase):
    def setUp(self) -> None:
        self.peer = Peer(DOMAIN)
        self.addCleanup(self.peer.close)

    def test_the_arguments_are_the_nodes_parameters(self, arguments: dict[str, str]) -> None:
        names = ["tracker", "fixed_frame", "model", "outputs", "use_sim_time", "autostart"]
        names.append("max_agents")  # of the params file
        response = self.peer.call(
            GetParameters,
            "/robot1/predictor/get_parameters",
            GetParameters.Request(names=names),
            None,
        )
        values = [parameter_value_to_python(value) for value in response.values]
        assert dict(zip(names, values, strict=True)) == {
            "tracker": "people",
            "fixed_frame": "map",
            "model": "constant_velocity",
            "outputs": ["markers", "mpc_planner"],
            "use_sim_time": True,
            "autostart": False,
            "max_agents": 77,
        }

    def test_people_on_the_tracks_topic_become_obstacles_and_markers(self) -> None:
        active = GetState.Request()

        def is_active() -> bool:
            state = self.peer.call(GetState, "/robot1/predictor/get_state", active, None)
            return bool(state.current_state.label == "active")

        self.peer.wait_for(is_active, "activation by the launch system", None)
        clocks = self.peer.publisher(Clock, "/clock", None)
        tracks = self.peer.publisher(People, "/people", None)
        obstacles = self.peer.collect(ObstacleArray, "/robot1/predictor/mpc_planner")
        markers = self.peer.collect(MarkerArray, "/robot1/predictor/markers")
        time_ns = 100 * S

        def both() -> bool:
            nonlocal time_ns
            time_ns += S // 10
            people = People(people=[Person(name="7")])
            people.header.frame_id = "map"
            people.header.stamp = stamp_to_msg(time_ns)
            people.people[0].position.x = time_ns / S
            clocks.publish(Clock(clock=people.header.stamp))
            tracks.publish(people)
            return any(message.obstacles for message in obstacles) and any(
                marker.ns == "future" for array in markers for marker in array.markers
            )

        self.peer.wait_for(both, "obstacles and markers", None)
        found = next(message for message in obstacles if message.obstacles)
        assert found.header.frame_id == "map"
        topics = dict(self.peer.node.get_topic_names_and_types())
        assert "/robot1/predictor/predictions" not in topics  # not among the outputs


@launch_testing.post_shutdown_test()
class TestEnd(unittest.TestCase):
    def test_the_node_exits_with_0_and_logs_at_debug_level(
        self, proc_info: Any, proc_output: Any
    ) -> None:
        (name,) = proc_info.process_names()
        launch_testing.asserts.assertExitCodes(proc_info, allowable_exit_codes=[0])
        output = "".join(part.text.decode() for part in proc_output[name])
        logged = [line.split("]")[0:3] for line in output.splitlines() if "[DEBUG]" in line]
        assert logged and all(line[2].endswith("[robot1.predictor") for line in logged)
        assert "Traceback" not in output
