"""Ellipses, their calibration, and how it adapts on the robot."""
