"""`nav_msgs/Odometry` -> the robot as one of those whom people walk around."""

from __future__ import annotations

import numpy as np
from nav_msgs.msg import Odometry

from social_implicit_ros.tracks.agent_ids import ROBOT_ID
from social_implicit_ros.tracks.point_cloud import stamp_ns_of
from social_implicit_ros.types import Tracks


def robot_from_odometry(message: Odometry) -> Tracks:
    """The robot's position, in the frame of the message's header."""
    position = message.pose.pose.position
    return Tracks(
        stamp_ns=stamp_ns_of(message.header.stamp),
        ids=(ROBOT_ID,),
        positions_m=np.array([[position.x, position.y]]),
        heights_m=np.array([position.z]),
    )
