"""Measures of a prediction against what came to pass: pure functions of arrays.

Imports numpy, scipy and the standard library only: no ROS, no torch, no onnxruntime.
"""
