"""Reads and writes recordings: bags and text files; no ROS installation needed."""
