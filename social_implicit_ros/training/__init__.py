"""Trains, imports and exports models. The only folder that imports torch.

Imports `core`; never `inference`, `evaluation`, `ros` or rclpy.
"""
