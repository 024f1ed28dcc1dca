"""The ROS 2 side: nodes, parameters, message conversions, outputs.

The only folder that imports rclpy and messages; never imports `training`.
"""
