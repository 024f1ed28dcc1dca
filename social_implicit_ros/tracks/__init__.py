"""From the bytes of a tracker's message to the history of each person; no ROS."""
