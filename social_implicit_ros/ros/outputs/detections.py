"""`~/detections`: where everybody will be at each step, for any node that knows vision_msgs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from rclpy.qos import QoSProfile
from vision_msgs.msg import (
    BoundingBox3D,
    Detection3D,
    Detection3DArray,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
)

from social_implicit_ros.core.forecast import Forecast
from social_implicit_ros.core.planar import headings_rad, pose_covariance
from social_implicit_ros.ros import qos
from social_implicit_ros.ros.conversions.poses import (
    path_to_msgs,
    person_size_to_msg,
    pose_with_covariance_to_msg,
)
from social_implicit_ros.ros.conversions.stamps import header_to_msg

if TYPE_CHECKING:
    from social_implicit_ros.ros.parameters import NodeConfig

_NS_PER_S = 1_000_000_000


class Detections:
    """One detection per person and step, ordered by person, then by time.

    A detection's header is stamped with the time at which the person is expected there, the
    array's with the present. `id` is the tracker's own. The pose has the calibrated covariance of
    the position; see `core.planar.pose_covariance` for the other entries.
    """

    topic = "~/detections"
    message_class = Detection3DArray

    def __init__(self, config: NodeConfig) -> None:
        """Takes the class and the size of a person."""
        self._frame_id = config.fixed_frame
        self._hypothesis = ObjectHypothesis(class_id=config.detections.class_id, score=1.0)
        self._size = person_size_to_msg(config.person_radius_m)

    def qos(self) -> QoSProfile:
        """Of the topic."""
        return qos.predictions()

    def render(self, forecast: Forecast) -> Detection3DArray:
        """The futures at the stamp."""
        prediction = forecast.prediction
        path_m = np.concatenate([forecast.present_m[:, None], prediction.mean], axis=1)
        yaw_rad = headings_rad(path_m, prediction.step_s)[:, 1:]
        covariances = pose_covariance(prediction.covariance)
        headers = [
            header_to_msg(forecast.stamp_ns + round(time_s * _NS_PER_S), forecast.frame_id)
            for time_s in forecast.times_s.tolist()
        ]
        message = Detection3DArray(header=header_to_msg(forecast.stamp_ns, forecast.frame_id))
        for row, agent_id in enumerate(forecast.ids):
            poses = path_to_msgs(prediction.mean[row], forecast.heights_m[row], yaw_rad[row])
            message.detections.extend(
                Detection3D(
                    header=header,
                    results=[
                        ObjectHypothesisWithPose(
                            hypothesis=self._hypothesis,
                            pose=pose_with_covariance_to_msg(pose, covariance),
                        )
                    ],
                    bbox=BoundingBox3D(center=pose, size=self._size),
                    id=agent_id,
                )
                for header, pose, covariance in zip(headers, poses, covariances[row], strict=True)
            )
        return message

    def clear(self, stamp_ns: int) -> Detection3DArray:
        """Nobody is expected anywhere."""
        return Detection3DArray(header=header_to_msg(stamp_ns, self._frame_id))
