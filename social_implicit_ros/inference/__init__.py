"""Runs model files. The only folder that imports onnxruntime; imports `core`, never `ros`."""
