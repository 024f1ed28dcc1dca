"""Evaluates models on recordings, without ROS installed.

Imports `core` and `inference`; never `training`, `ros`, rclpy or torch.
"""
