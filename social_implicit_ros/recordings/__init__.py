"""Recordings (rosbag2, MCAP) that the package ships: package data, no code.

`crowd` is made by `scripts/simulate_crowd.py`.
"""
