"""Tracks, windows, predictions and their measures.

Imports numpy, scipy and the standard library only: no ROS, no torch, no onnxruntime.
"""
