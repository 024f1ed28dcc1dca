"""`~/autoware`: predicted objects for the planning of Autoware."""

from __future__ import annotations

import uuid
from functools import lru_cache

import numpy as np
from autoware_perception_msgs.msg import (
    ObjectClassification,
    PredictedObject,
    PredictedObjectKinematics,
    PredictedObjects,
    PredictedPath,
    Shape,
)
from geometry_msgs.msg import Pose

from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.prediction.modes import representative_paths
from social_implicit_ros.prediction.planar import headings_rad, mean_velocity_m_s, pose_covariance
from social_implicit_ros.ros.messages import (
    person_size_to_msg,
    pose_numbers,
    stamp_numbers,
    velocity_numbers,
)
from social_implicit_ros.ros.outputs.base import ListOutput, at_own_confidence
from social_implicit_ros.settings import NodeConfig
from social_implicit_ros.tracks.stamps import NS_PER_S
from social_implicit_ros.types import FloatArray

#: Namespace in which ids that are not UUIDs get one (RFC 4122, version 5).
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "ros:social_implicit_ros/agent")
_INITIAL_POSE = "kinematics.initial_pose_with_covariance"
_INITIAL_VELOCITY = "kinematics.initial_twist_with_covariance.twist.linear"


class Autoware(ListOutput):
    """One pedestrian per person, with the mean trajectory first and then the modes.

    Every path begins at the present position, at the header's stamp. Its confidence is the
    probability of the samples that are closest to it, so the confidences of a person add up to 1.
    Modes without samples are omitted; the mean is not. The twist is in the frame of the object, as
    Autoware expects. The initial pose has the covariance of the first step, an upper bound for the
    present.
    """

    topic = "~/autoware"
    message_class = PredictedObjects
    reads_samples = True

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        self._confidence = config.autoware.confidence
        self._max_paths = config.autoware.max_paths
        self._classification = [
            ObjectClassification(label=ObjectClassification.PEDESTRIAN, probability=1.0)
        ]
        size = person_size_to_msg(config.person_radius_m)
        self._shape = Shape(type=Shape.CYLINDER, dimensions=size)

    def render(self, forecast: Forecast) -> bytes:
        """A serialised PredictedObjects with the predictions at the stamp."""
        prediction = at_own_confidence(forecast.prediction, self._confidence)
        present_m = forecast.present_m
        paths_m, shares = representative_paths(prediction, self._max_paths)
        start_m = np.broadcast_to(present_m[:, None, None], (*paths_m.shape[:2], 1, 2))
        paths_m = np.concatenate([start_m, paths_m], axis=2)
        n_agents, n_paths, n_points, _ = paths_m.shape
        yaw_rad = headings_rad(paths_m.reshape(-1, n_points, 2), prediction.step_s)
        yaw_rad = yaw_rad.reshape(n_agents, n_paths, n_points)
        poses = pose_numbers(paths_m, forecast.heights_m, yaw_rad)
        velocity_m_s = mean_velocity_m_s(present_m, prediction.mean, prediction.step_s)
        is_needed = shares > 0.0
        is_needed[:, 0] = True
        step_ns = round(prediction.step_s * NS_PER_S)
        uuids = b"".join(uuid_of(agent_id) for agent_id in forecast.ids)
        return self.serialised(
            forecast,
            [(n, n_points) for n in is_needed.sum(axis=1).tolist()],
            {
                "object_id.uuid": np.frombuffer(uuids, np.uint8),
                _INITIAL_POSE + ".pose": poses[:, 0, 0],
                _INITIAL_POSE + ".covariance": pose_covariance(prediction.covariance[:, 0]),
                _INITIAL_VELOCITY: velocity_numbers(_rotated(velocity_m_s, -yaw_rad[:, 0, 0])),
                "kinematics.predicted_paths.path": poses[is_needed],
                "kinematics.predicted_paths.time_step": np.tile(
                    stamp_numbers(step_ns), is_needed.sum()
                ),
                "kinematics.predicted_paths.confidence": shares[is_needed],
            },
        )

    def entries(self, shape: tuple[int, int]) -> list[PredictedObject]:
        """Template of a person, for a number of paths and of points per path."""
        n_paths, n_points = shape
        path = PredictedPath(path=[Pose()] * n_points)
        return [
            PredictedObject(
                existence_probability=1.0,
                classification=self._classification,
                kinematics=PredictedObjectKinematics(predicted_paths=[path] * n_paths),
                shape=self._shape,
            )
        ]


@lru_cache(maxsize=1024)
def uuid_of(agent_id: str) -> bytes:
    """16 bytes: the id itself if it is a UUID in hexadecimal, else a UUID generated from it."""
    try:
        return uuid.UUID(hex=agent_id).bytes
    except ValueError:
        return uuid.uuid5(_NAMESPACE, agent_id).bytes


def _rotated(vectors: FloatArray, by_rad: FloatArray) -> FloatArray:
    """(A, 2) vectors, each rotated anticlockwise by its angle (A,)."""
    cos, sin = np.cos(by_rad), np.sin(by_rad)
    x, y = vectors.T
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=1)
