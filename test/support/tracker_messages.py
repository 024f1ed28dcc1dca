"""Messages of each tracker that the package has a mapping for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from std_msgs.msg import Header
from support.tracks import tracks_to_marker_array, tracks_to_point_cloud

from social_implicit_ros.ros.messages import stamp_to_msg
from social_implicit_ros.types import Tracks

#: (stamp, x, y, frame) -> a message with person 42 at (x, y), and others to be skipped.
Build = Callable[[int, float, float, str], Any]
UUID = [42, *[0] * 14, 7]


def _header(stamp_ns: int, frame_id: str) -> Header:
    return Header(stamp=stamp_to_msg(stamp_ns), frame_id=frame_id)


def _message(message_type: str, **fields: Any) -> Any:
    package, name = message_type.split("/")
    message = getattr(import_module(f"{package}.msg"), name)()
    for path, value in fields.items():
        *outer, last = path.split("__")
        target = message
        for step in outer:
            target = getattr(target, step)
        setattr(target, last, value)
    return message


def vision_detections(stamp_ns: int, x: float, y: float, frame_id: str) -> Any:
    def detection(track_id: str, class_id: str) -> Any:
        hypothesis = _message(
            "vision_msgs/ObjectHypothesisWithPose",
            hypothesis__class_id=class_id,
            hypothesis__score=0.9,
        )
        return _message(
            "vision_msgs/Detection3D",
            id=track_id,
            results=[hypothesis],
            bbox__center__position__x=x,
            bbox__center__position__y=y,
        )

    return _message(
        "vision_msgs/Detection3DArray",
        header=_header(stamp_ns, frame_id),
        detections=[detection("42", "person"), detection("", "person"), detection("9", "car")],
    )


def people(stamp_ns: int, x: float, y: float, frame_id: str) -> Any:
    person = _message("people_msgs/Person", name="42", position__x=x, position__y=y)
    return _message("people_msgs/People", header=_header(stamp_ns, frame_id), people=[person])


def autoware(stamp_ns: int, x: float, y: float, frame_id: str) -> Any:
    def tracked(uuid: list[int], label: int) -> Any:
        return _message(
            "autoware_perception_msgs/TrackedObject",
            object_id__uuid=uuid,
            classification=[_message("autoware_perception_msgs/ObjectClassification", label=label)],
            kinematics__pose_with_covariance__pose__position__x=x,
            kinematics__pose_with_covariance__pose__position__y=y,
        )

    return _message(
        "autoware_perception_msgs/TrackedObjects",
        header=_header(stamp_ns, frame_id),
        objects=[tracked(UUID, 7), tracked([1] * 16, 1)],
    )


def spencer(stamp_ns: int, x: float, y: float, frame_id: str) -> Any:
    def tracked(track_id: int, is_occluded: bool) -> Any:
        return _message(
            "spencer_tracking_msgs/TrackedPerson",
            track_id=track_id,
            is_occluded=is_occluded,
            pose__pose__position__x=x,
            pose__pose__position__y=y,
        )

    return _message(
        "spencer_tracking_msgs/TrackedPersons",
        header=_header(stamp_ns, frame_id),
        tracks=[tracked(42, False), tracked(9, True)],
    )


def zed(stamp_ns: int, x: float, y: float, frame_id: str) -> Any:
    def seen(label_id: int, label: str, state: int) -> Any:
        return _message(
            "zed_msgs/Object",
            label=label,
            label_id=label_id,
            position=[x, y, 0.0],
            tracking_state=state,
        )

    return _message(
        "zed_msgs/ObjectsStamped",
        header=_header(stamp_ns, frame_id),
        objects=[seen(42, "Person", 1), seen(7, "Person", 0), seen(8, "Vehicle", 1)],
    )


def hunav(stamp_ns: int, x: float, y: float, frame_id: str) -> Any:
    def agent(number: int, kind: int) -> Any:
        return _message(
            "hunav_msgs/Agent",
            id=number,
            type=kind,
            position__position__x=x,
            position__position__y=y,
        )

    return _message(
        "hunav_msgs/Agents", header=_header(stamp_ns, frame_id), agents=[agent(42, 1), agent(1, 2)]
    )


def pedsim(stamp_ns: int, x: float, y: float, frame_id: str) -> Any:
    def agent(number: int, kind: int) -> Any:
        return _message(
            "pedsim_msgs/AgentState",
            id=number,
            type=kind,
            pose__position__x=x,
            pose__position__y=y,
        )

    return _message(
        "pedsim_msgs/AgentStates",
        header=_header(stamp_ns, frame_id),
        agent_states=[agent(42, 1), agent(1, 2)],
    )


def nav2_dynamic(stamp_ns: int, x: float, y: float, frame_id: str) -> Any:
    obstacle = _message(
        "nav2_dynamic_msgs/Obstacle", uuid__uuid=UUID, position__x=x, position__y=y, score=0.8
    )
    return _message(
        "nav2_dynamic_msgs/ObstacleArray",
        header=_header(stamp_ns, frame_id),
        obstacles=[obstacle],
    )


def derived_object(stamp_ns: int, x: float, y: float, frame_id: str) -> Any:
    def derived(number: int, classification: int) -> Any:
        return _message(
            "derived_object_msgs/Object",
            id=number,
            classification=classification,
            pose__position__x=x,
            pose__position__y=y,
        )

    return _message(
        "derived_object_msgs/ObjectArray",
        header=_header(stamp_ns, frame_id),
        objects=[derived(42, 4), derived(1, 6)],
    )


def yolo(stamp_ns: int, x: float, y: float, frame_id: str) -> Any:
    def detection(track_id: str, class_name: str) -> Any:
        return _message(
            "yolo_msgs/Detection",
            id=track_id,
            class_name=class_name,
            score=0.9,
            bbox3d__center__position__x=x,
            bbox3d__center__position__y=y,
            bbox3d__frame_id=frame_id,
        )

    return _message(
        "yolo_msgs/DetectionArray",
        header=_header(stamp_ns, "camera_optical_frame"),
        detections=[detection("42", "person"), detection("", "person"), detection("3", "dog")],
    )


def marker_array(stamp_ns: int, x: float, y: float, frame_id: str) -> Any:
    return tracks_to_marker_array(_tracks("people/42", stamp_ns, x, y), frame_id)


def point_cloud(stamp_ns: int, x: float, y: float, frame_id: str) -> Any:
    return tracks_to_point_cloud(_tracks("42", stamp_ns, x, y), frame_id)


def _tracks(agent_id: str, stamp_ns: int, x: float, y: float) -> Tracks:

    return Tracks(stamp_ns, (agent_id,), np.array([[x, y]]))


#: Mapping -> the function that builds its message, and the id of person 42.
MESSAGES: dict[str, tuple[Build, str]] = {
    "autoware": (autoware, bytes(UUID).hex()),
    "derived_object": (derived_object, "42"),
    "hunav": (hunav, "42"),
    "marker_array": (marker_array, "people/42"),
    "nav2_dynamic": (nav2_dynamic, bytes(UUID).hex()),
    "pedsim": (pedsim, "42"),
    "people": (people, "42"),
    "point_cloud": (point_cloud, "42"),
    "spencer": (spencer, "42"),
    "vision_detections": (vision_detections, "42"),
    "yolo": (yolo, "42"),
    "zed": (zed, "42"),
}
