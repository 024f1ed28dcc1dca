"""Processes: start, signals, ROS domains, and the processes of the demo."""
