"""`~/detections`: predicted positions at each step, for any node that reads vision_msgs."""

from __future__ import annotations

import numpy as np
from std_msgs.msg import Header
from vision_msgs.msg import (
    BoundingBox3D,
    Detection3D,
    Detection3DArray,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
)

from social_implicit_ros.prediction.forecast import Forecast
from social_implicit_ros.prediction.planar import headings_rad, pose_covariance
from social_implicit_ros.ros.messages import person_size_to_msg, pose_numbers, stamp_numbers
from social_implicit_ros.ros.outputs.base import ListOutput, at_own_confidence
from social_implicit_ros.ros.outputs.cdr_writer import text_bytes
from social_implicit_ros.settings import NodeConfig
from social_implicit_ros.tracks.stamps import NS_PER_S


class Detections(ListOutput):
    """One detection per person and step, ordered by person, then by time.

    The header of a detection has the stamp of the predicted step, the header of the array that of
    the forecast. `id` is the tracker's id. The pose has the calibrated covariance of the position;
    see `prediction.planar.pose_covariance` for the other elements.
    """

    topic = "~/detections"
    message_class = Detection3DArray

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        self._confidence = config.detections.confidence
        hypothesis = ObjectHypothesis(class_id=config.detections.class_id, score=1.0)
        self._results = [ObjectHypothesisWithPose(hypothesis=hypothesis)]
        self._size = person_size_to_msg(config.person_radius_m)

    def render(self, forecast: Forecast) -> bytes:
        """A serialised Detection3DArray with the predictions at the stamp."""
        prediction = at_own_confidence(forecast.prediction, self._confidence)
        n_agents, n_steps, _ = prediction.mean.shape
        path_m = np.concatenate([forecast.present_m[:, None], prediction.mean], axis=1)
        yaw_rad = headings_rad(path_m, prediction.step_s)[:, 1:]
        poses = pose_numbers(prediction.mean, forecast.heights_m, yaw_rad)
        steps_ns = np.rint(forecast.times_s * NS_PER_S).astype(np.int64)
        ids = [text_bytes(agent_id) for agent_id in forecast.ids]
        return self.serialised(
            forecast,
            [(n_steps, len(agent_id)) for agent_id in ids],
            {
                "header.stamp": np.tile(stamp_numbers(forecast.stamp_ns + steps_ns), (n_agents, 1)),
                "results.pose.pose": poses,
                "results.pose.covariance": pose_covariance(prediction.covariance),
                "bbox.center": poses,
                "id": np.frombuffer(b"".join(n_steps * agent_id for agent_id in ids), np.uint8),
            },
        )

    def entries(self, shape: tuple[int, int]) -> list[Detection3D]:
        """Template of the detections of a person, for a number of steps and of bytes of the id."""
        n_steps, n_id_bytes = shape
        detection = Detection3D(
            header=Header(frame_id=self._frame_id),
            results=self._results,
            bbox=BoundingBox3D(size=self._size),
            id=" " * n_id_bytes,
        )
        return [detection] * n_steps
