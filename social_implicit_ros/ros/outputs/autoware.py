"""`~/autoware`: predicted objects as the planning of Autoware takes them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import numpy as np
from autoware_perception_msgs.msg import (
    ObjectClassification,
    PredictedObject,
    PredictedObjectKinematics,
    PredictedObjects,
    PredictedPath,
    Shape,
)
from geometry_msgs.msg import Twist, TwistWithCovariance, Vector3
from rclpy.qos import QoSProfile
from unique_identifier_msgs.msg import UUID

from social_implicit_ros.core.forecast import Forecast
from social_implicit_ros.core.planar import headings_rad, mean_velocity_m_s, pose_covariance
from social_implicit_ros.core.representatives import representative_paths
from social_implicit_ros.core.types import FloatArray
from social_implicit_ros.ros import qos
from social_implicit_ros.ros.conversions.poses import (
    path_to_msgs,
    person_size_to_msg,
    pose_with_covariance_to_msg,
)
from social_implicit_ros.ros.conversions.stamps import duration_to_msg, header_to_msg

if TYPE_CHECKING:
    from social_implicit_ros.ros.parameters import NodeConfig

#: Under it ids that are no UUIDs get one (RFC 4122, version 5): the same id, the same UUID.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "ros:social_implicit_ros/agent")


class Autoware:
    """A pedestrian per person, with the mean path first and then representative samples.

    Every path begins at the present, at the header's stamp. Its confidence is the share of the
    samples that are nearest to it, so those of a person add up to 1; paths that stand for no
    sample are left out, but for the mean. The twist is in the object's own axes, as Autoware has
    it. The initial pose has the covariance of the first step: the present is known no worse.
    """

    topic = "~/autoware"
    message_class = PredictedObjects

    def __init__(self, config: NodeConfig) -> None:
        """Takes how many paths, and the size of a person."""
        self._frame_id = config.fixed_frame
        self._max_paths = config.autoware.max_paths
        self._classification = ObjectClassification(
            label=ObjectClassification.PEDESTRIAN, probability=1.0
        )
        size = person_size_to_msg(config.person_radius_m)
        self._shape = Shape(type=Shape.CYLINDER, dimensions=size)

    def qos(self) -> QoSProfile:
        """Of the topic."""
        return qos.predictions()

    def render(self, forecast: Forecast) -> PredictedObjects:
        """The futures at the stamp."""
        prediction, present_m = forecast.prediction, forecast.present_m
        paths_m, shares = representative_paths(prediction, self._max_paths)
        start_m = np.broadcast_to(present_m[:, None, None], (*paths_m.shape[:2], 1, 2))
        paths_m = np.concatenate([start_m, paths_m], axis=2)
        n_agents, n_paths, n_points, _ = paths_m.shape
        yaw_rad = headings_rad(paths_m.reshape(-1, n_points, 2), prediction.step_s)
        yaw_rad = yaw_rad.reshape(n_agents, n_paths, n_points)
        velocity_m_s = mean_velocity_m_s(present_m, prediction.mean, prediction.step_s)
        covariances = pose_covariance(prediction.covariance[:, 0])
        time_step = duration_to_msg(prediction.step_s)
        message = PredictedObjects(header=header_to_msg(forecast.stamp_ns, forecast.frame_id))
        for row, agent_id in enumerate(forecast.ids):
            height_m = forecast.heights_m[row]
            predicted_paths = [
                PredictedPath(
                    path=path_to_msgs(paths_m[row, place], height_m, yaw_rad[row, place]),
                    time_step=time_step,
                    confidence=float(shares[row, place]),
                )
                for place in range(n_paths)
                if place == 0 or shares[row, place] > 0.0
            ]
            kinematics = PredictedObjectKinematics(
                initial_pose_with_covariance=pose_with_covariance_to_msg(
                    predicted_paths[0].path[0], covariances[row]
                ),
                initial_twist_with_covariance=_twist(velocity_m_s[row], yaw_rad[row, 0, 0]),
                predicted_paths=predicted_paths,
            )
            message.objects.append(
                PredictedObject(
                    object_id=UUID(uuid=np.frombuffer(uuid_of(agent_id), dtype=np.uint8)),
                    existence_probability=1.0,
                    classification=[self._classification],
                    kinematics=kinematics,
                    shape=self._shape,
                )
            )
        return message

    def clear(self, stamp_ns: int) -> PredictedObjects:
        """Nobody is there."""
        return PredictedObjects(header=header_to_msg(stamp_ns, self._frame_id))


def uuid_of(agent_id: str) -> bytes:
    """The 16 bytes of an id that is a UUID in hexadecimal, else of one made from the id."""
    try:
        return uuid.UUID(hex=agent_id).bytes
    except ValueError:
        return uuid.uuid5(_NAMESPACE, agent_id).bytes


def _twist(velocity_m_s: FloatArray, yaw_rad: float) -> TwistWithCovariance:
    """A velocity in the frame's axes as a twist in the axes of an object with that yaw."""
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    vx, vy = velocity_m_s
    linear = Vector3(x=float(cos * vx + sin * vy), y=float(cos * vy - sin * vx))
    return TwistWithCovariance(twist=Twist(linear=linear))
