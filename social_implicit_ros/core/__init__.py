"""Tracks, windows, predictions and their measures.

Imports numpy, scipy, PyYAML (to read tracker descriptions) and the standard library only: no ROS,
no torch, no onnxruntime.
"""
