"""Model files (ONNX) with their model cards (JSON): package data, no code."""
